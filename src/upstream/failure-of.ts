// In: an error that ended an exchange with a tool. Out: the reason. Trusts: undici's and node's error codes.
import { type Denial, deny } from "../errors.ts";
import { ConnectError } from "./connect-upstream.ts";

/** Carries a denial of the gateway itself through undici. */
export class DenialError extends Error {
  readonly denial: Denial;

  constructor(denial: Denial) {
    super(denial.reason);
    this.denial = denial;
  }
}

const REASON_OF_CODE: ReadonlyMap<string, Denial["reason"]> = new Map<string, Denial["reason"]>([
  ["UND_ERR_HEADERS_TIMEOUT", "upstream.timeout"],
  ["UND_ERR_BODY_TIMEOUT", "upstream.timeout"],
  ["UND_ERR_HEADERS_OVERFLOW", "upstream.protocol"],
  ["UND_ERR_RES_CONTENT_LENGTH_MISMATCH", "upstream.closed"],
  ["UPSTREAM_RESET", "upstream.closed"],
  ["ECONNRESET", "upstream.closed"],
  ["EPIPE", "upstream.closed"],
  ["ETIMEDOUT", "upstream.closed"],
  ["UND_ERR_REQ_CONTENT_LENGTH_MISMATCH", "exchange.malformed"],
  ["UND_ERR_DESTROYED", "gateway.draining"],
  ["UND_ERR_CLOSED", "gateway.draining"],
]);

export function failureOf(error: Error & { code?: unknown }): Denial {
  if (error instanceof DenialError || error instanceof ConnectError) return error.denial;
  const code = typeof error.code === "string" ? error.code : error.name;
  const reason = REASON_OF_CODE.get(code);
  if (reason !== undefined) return deny(reason, code);
  if (code === "UND_ERR_SOCKET") {
    const unasked = error.message === "bad response" || error.message === "bad upgrade";
    return deny(unasked ? "upstream.protocol" : "upstream.closed", error.message);
  }
  // undici gives its parser's errors no code, node's parser does; an early end is the one that breaks no rule.
  if (error.name === "HTTPParserError" || code.startsWith("HPE_")) {
    return deny(error.message.includes("Invalid EOF state") ? "upstream.closed" : "upstream.protocol", code);
  }
  // A tool that asks for a client certificate may refuse ours after the handshake (TLS 1.3).
  if (code.startsWith("ERR_SSL_")) return deny("upstream.untrusted", code);
  return deny("gateway.internal_error", code);
}
