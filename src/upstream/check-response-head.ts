// In: the head of a tool's response. Out: the length that it declares, and null where its body may be read, or the denial.
// Trusts: nothing that the tool sends; undici has parsed the framing.
import { type Denial, deny } from "../errors.ts";
import { checkRedactable } from "./check-redactable.ts";
import type { ParsedHeaders } from "./header-rules.ts";
import { tooLargeToRedact } from "./kept-response.ts";

/** -1 where the head declares none that counts (RFC 9112 section 6.3). */
export function declaredLength(headers: ParsedHeaders): number {
  const length = headers["content-length"];
  return typeof length === "string" && headers["transfer-encoding"] === undefined ? Number(length) : -1;
}

export function checkResponseHead(
  status: number,
  headers: ParsedHeaders,
  body: {
    readonly expected: boolean;
    readonly bytesMax: number;
    /** Undefined where nothing of the body is to be redacted. */
    readonly redactBytesMax: number | undefined;
  },
): Denial | null {
  const coding = headers["transfer-encoding"];
  // undici undoes `chunked` only; another coding would be lost with the header that names it.
  if (coding !== undefined && String(coding).toLowerCase() !== "chunked")
    return deny("upstream.protocol", "transfer coding");
  if (!body.expected) return null;
  const bytes = declaredLength(headers);
  if (bytes > body.bytesMax) return deny("upstream.response_too_large");
  if (body.redactBytesMax === undefined) return null;
  return bytes > body.redactBytesMax ? tooLargeToRedact() : checkRedactable(status, headers);
}
