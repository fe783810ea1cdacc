// In: a request of a proven caller on its route. Out: the body that policy judges, read whole; "stream" where the route
// does not read it. Trusts: nothing; `hold` says whether there is room for the bytes.
import type { IncomingMessage } from "node:http";
import type { HeaderFacts } from "../../action/check-headers.ts";
import { parseJson } from "../../action/parse-json.ts";
import { type Denial, deny } from "../../errors.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import { isJsonMediaType, readBody } from "./read-body.ts";
import type { Route } from "../thread/services.ts";

export interface ReadAction {
  readonly kind: "none" | "json" | "stream";
  readonly bytes: Buffer | null;
  readonly text: string | null;
  readonly value: unknown;
}

const NO_BODY: ReadAction = { kind: "none", bytes: null, text: null, value: null };
const STREAMED: ReadAction = { kind: "stream", bytes: null, text: null, value: null };

export async function readAction(
  route: Route,
  headers: HeaderFacts,
  request: IncomingMessage,
  upgrade: boolean,
  beforeBody: () => void,
  hold: (bytes: number) => Denial | null,
): Promise<Result<ReadAction, Denial>> {
  if (!headers.hasBody) return ok(NO_BODY);
  if (upgrade) return err(deny("exchange.upgrade_refused", "an upgrade with a body"));
  if (route.config.body === "stream") return ok(STREAMED);
  if (headers.contentEncoding !== undefined && headers.contentEncoding.toLowerCase() !== "identity") {
    return err(deny("body.encoding", headers.contentEncoding));
  }
  if (!isJsonMediaType(headers.contentType)) return err(deny("body.media_type", headers.contentType ?? "none"));
  if (Number(headers.contentLength ?? 0) > route.config.limits.body_bytes_max) {
    return err(deny("body.too_large", `${headers.contentLength} bytes declared`));
  }
  beforeBody();
  const bytes = await readBody(request, headers.contentLength, route.config.limits.body_bytes_max, hold);
  if (!bytes.ok) return bytes;
  if (bytes.value.length === 0) return ok(NO_BODY);
  const json = parseJson(bytes.value, route.config.limits.body_depth_max);
  if (!json.ok) return json;
  return ok({ kind: "json", bytes: bytes.value, text: json.value.text, value: json.value.value });
}

/** Undefined where nobody knows it before the body has ended. */
export function bytesOf({ kind, bytes }: ReadAction, { contentLength }: HeaderFacts): number | undefined {
  if (kind !== "stream") return bytes?.length ?? 0;
  return contentLength === undefined ? undefined : Number(contentLength);
}
