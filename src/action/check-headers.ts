// In: the raw headers of a request, as name and value pairs in one flat list. Out: the few that matter, or a denial.
// One pass: counts, refuses what may occur once but does not, and what would change the meaning behind the gateway.
import { type Denial, deny } from "../errors.ts";
import { err, ok, type Result } from "../lib/result.ts";

export interface HeaderFacts {
  readonly host: string;
  /** Every `Authorization` value. More than one is refused where credentials are read. */
  readonly authorization: readonly string[];
  /** Every `DPoP` value. */
  readonly dpop: readonly string[];
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly contentLength: string | undefined;
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
  readonly upgrade: string | undefined;
  readonly chunked: boolean;
  readonly hasBody: boolean;
  /** Bytes of all names and values. */
  readonly bytes: number;
}

/** May occur once; parsers disagree on which of two counts. */
const SINGLE = new Set([
  "host",
  "content-type",
  "content-length",
  "content-encoding",
  "upgrade",
  "expect",
  "transfer-encoding",
]);

/** Let a client speak for another method or path than the one that policy judged. */
const REWRITING = new Set([
  "x-http-method-override",
  "x-http-method",
  "x-method-override",
  "x-original-url",
  "x-rewrite-url",
  "x-original-uri",
]);

/** End-to-end headers that `Connection` must not name: a proxy behind would drop them after they were judged. */
const NOT_HOP_BY_HOP = new Set([
  "host",
  "authorization",
  "dpop",
  "content-length",
  "content-type",
  "content-encoding",
  "traceparent",
  "tracestate",
  "cookie",
  "forwarded",
  "client-cert",
]);

const ODD_NAME = /[^a-z0-9-]/;
const ODD_CHARACTERS = /[^a-z0-9-]/g;

/** The gateway's own header names start with this; a client's are stripped, and `Connection` may not name them. */
const OWN_PREFIX = "x-cordon-";

/** Checks the raw headers (H04, H05, H10). `countMax` is the number of header lines. */
export function checkHeaders(raw: readonly string[], countMax: number): Result<HeaderFacts, Denial> {
  if (raw.length > countMax * 2) return err(deny("exchange.headers_too_large", "too many header lines"));
  const authorization: string[] = [];
  const dpop: string[] = [];
  const seen = new Map<string, string>();
  let bytes = 0;
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const rawName = raw[index] ?? "";
    const value = raw[index + 1] ?? "";
    bytes += rawName.length + value.length + 4;
    const name = rawName.toLowerCase();
    if (name === "authorization") authorization.push(value);
    else if (name === "dpop") dpop.push(value);
    else if (name === "connection") {
      const fault = checkConnection(value);
      if (fault !== null) return err(fault);
    } else {
      if (ODD_NAME.test(name) && isSpoof(name)) return err(deny("exchange.forbidden_header", "a variant of a name"));
      if (REWRITING.has(name)) return err(deny("exchange.forbidden_header", name));
      if (SINGLE.has(name) && seen.has(name)) return err(deny("exchange.duplicate_header", name));
      if (!seen.has(name)) seen.set(name, value);
    }
  }
  const host = seen.get("host");
  if (host === undefined || host === "") return err(deny("exchange.bad_host", "no Host header"));
  const expect = seen.get("expect");
  if (expect !== undefined && expect.toLowerCase() !== "100-continue")
    return err(deny("exchange.forbidden_header", "Expect"));
  const contentLength = seen.get("content-length");
  // The tool would be told the next length that a double can carry.
  if (contentLength !== undefined && !Number.isSafeInteger(Number(contentLength)))
    return err(deny("exchange.malformed", "a length beyond 2^53"));
  const coding = seen.get("transfer-encoding");
  // `gzip, chunked`: the chunks are undone here, and the tool would get coded bytes without the word that says so.
  if (coding !== undefined && coding.toLowerCase() !== "chunked") {
    return err(deny("exchange.forbidden_header", "a transfer coding other than chunked"));
  }
  return ok({
    host,
    authorization,
    dpop,
    contentType: seen.get("content-type"),
    contentEncoding: seen.get("content-encoding"),
    contentLength,
    traceparent: seen.get("traceparent"),
    tracestate: seen.get("tracestate"),
    upgrade: seen.get("upgrade"),
    chunked: coding !== undefined,
    hasBody: coding !== undefined || (contentLength !== undefined && contentLength !== "0"),
    bytes,
  });
}

/** CGI-like servers fold `_` and `-`, some every other sign, into one: a variant of a name of ours is an attack. */
function isSpoof(name: string): boolean {
  const folded = name.replaceAll(ODD_CHARACTERS, "-");
  return (
    folded.startsWith(OWN_PREFIX) ||
    folded.startsWith("x-forwarded-") ||
    folded.startsWith("client-cert") ||
    NOT_HOP_BY_HOP.has(folded) ||
    SINGLE.has(folded) ||
    REWRITING.has(folded)
  );
}

function checkConnection(value: string): Denial | null {
  for (const part of value.split(",")) {
    const option = part.trim().toLowerCase();
    if (NOT_HOP_BY_HOP.has(option) || option.startsWith(OWN_PREFIX) || option.startsWith("x-forwarded-")) {
      return deny("exchange.forbidden_header", "Connection names an end-to-end header");
    }
  }
  return null;
}
