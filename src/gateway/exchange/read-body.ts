// In: a request whose body policy must see, and the limit. Out: all of its bytes, or a denial. Never a part of them.
import type { IncomingMessage } from "node:http";
import { type Denial, deny } from "../../errors.ts";
import { err, ok, type Result } from "../../lib/result.ts";

const EMPTY = Buffer.alloc(0);

/**
 * Reads the whole body (H11). `contentLength` is the declared one: too large is refused before a byte is read.
 * `hold` is asked for room as the bytes come, so that a declared length alone takes nothing from others.
 * A client that goes away is `exchange.client_closed`; one that is slow is ended by the server's request timeout.
 */
export function readBody(
  request: IncomingMessage,
  contentLength: string | undefined,
  bytesMax: number,
  hold: (bytes: number) => Denial | null,
): Promise<Result<Buffer, Denial>> {
  if (contentLength !== undefined && Number(contentLength) > bytesMax) {
    return Promise.resolve(err(deny("body.too_large", `${contentLength} bytes declared`)));
  }
  // The client went away while its credentials were checked: no event will come any more.
  if (request.destroyed) return Promise.resolve(err(deny("exchange.client_closed")));
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const finish = (result: Result<Buffer, Denial>): void => {
      request.off("data", onData).off("end", onEnd).off("close", onClose).off("error", onError);
      resolve(result);
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > bytesMax) {
        request.pause();
        finish(err(deny("body.too_large", `more than ${bytesMax} bytes`)));
        return;
      }
      const full = hold(chunk.length);
      if (full !== null) {
        request.pause();
        finish(err(full));
        return;
      }
      chunks.push(chunk);
    };
    const onEnd = (): void => finish(ok(chunks.length === 1 ? (chunks[0] ?? EMPTY) : Buffer.concat(chunks, size)));
    const onClose = (): void => finish(err(deny("exchange.client_closed")));
    const onError = (): void => finish(err(deny("exchange.client_closed")));
    request.on("data", onData).on("end", onEnd).on("close", onClose).on("error", onError);
  });
}

/** `application/json` or a `+json` type, with at most a UTF-8 charset (RFC 8259 section 11). */
export function isJsonMediaType(contentType: string | undefined): boolean {
  if (contentType === undefined) return false;
  if (contentType === "application/json") return true;
  const [type = "", ...parameters] = contentType.toLowerCase().split(";");
  if (!/^application\/(?:json|[a-z0-9.!#$&^_-]+\+json)$/.test(type.trim())) return false;
  return parameters.every((parameter) => /^\s*charset\s*=\s*"?utf-8"?\s*$/.test(parameter));
}
