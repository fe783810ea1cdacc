// In: text that claims to be a compact JWS (RFC 7515 section 7.1). Out: its decoded parts, or a problem.
// Trusts nothing and verifies no signature. One byte string has exactly one accepted text.
import { err, ok } from "./result.ts";
import type { Result } from "./result.ts";
import { parseStrictObject } from "./strict-json.ts";
import type { JsonObject } from "./strict-json.ts";

export type JwsProblem = "malformed" | "too_large" | "critical_header";

/** The three base64url parts, not yet decoded. */
export interface JwsParts {
  readonly header: string;
  readonly payload: string;
  readonly signature: string;
  /** What is signed: `header.payload`. */
  readonly signingInput: string;
}

export interface CompactJws {
  readonly header: JsonObject;
  readonly payload: Buffer;
  readonly signature: Buffer;
  readonly signingInput: Buffer;
}

const MALFORMED = err("malformed" as const);
const TOO_LARGE = err("too_large" as const);
const CRITICAL_HEADER = err("critical_header" as const);

/** Splits without decoding. `charsMax` bounds all later work. */
export function splitCompactJws(text: string, charsMax: number): Result<JwsParts, JwsProblem> {
  if (text.length > charsMax) return TOO_LARGE;
  const first = text.indexOf(".");
  const second = text.indexOf(".", first + 1);
  if (first < 1 || second < 0 || second === text.length - 1 || text.indexOf(".", second + 1) >= 0) return MALFORMED;
  return ok({
    header: text.slice(0, first),
    payload: text.slice(first + 1, second),
    signature: text.slice(second + 1),
    signingInput: text.slice(0, second),
  });
}

/**
 * Decodes canonical base64url without padding (RFC 7515 section 2), or returns undefined.
 * Encoding again gives the same text only for the one canonical form: no other alphabet, no white space,
 * no padding, no set bits after the last byte.
 */
export function decodeBase64url(part: string): Buffer | undefined {
  const bytes = Buffer.from(part, "base64url");
  return bytes.toString("base64url") === part ? bytes : undefined;
}

/**
 * The JOSE header. No extension is understood here, so `crit` is refused (RFC 7515 section 4.1.11),
 * and so is `b64`, which changes what is signed (RFC 7797).
 */
export function parseJwsHeader(part: string): Result<JsonObject, JwsProblem> {
  const header = parseJwsPayload(part);
  if (header === undefined) return MALFORMED;
  if (Object.hasOwn(header, "crit") || Object.hasOwn(header, "b64")) return CRITICAL_HEADER;
  return ok(header);
}

/** The payload as a JSON object, as every JWT has one (RFC 7519 section 7.2). */
export function parseJwsPayload(part: string): JsonObject | undefined {
  const bytes = decodeBase64url(part);
  return bytes === undefined ? undefined : parseStrictObject(bytes);
}

/** The whole parse. The payload stays bytes: a JWS may carry any. */
export function parseCompactJws(text: string, charsMax: number): Result<CompactJws, JwsProblem> {
  const parts = splitCompactJws(text, charsMax);
  if (!parts.ok) return parts;
  const header = parseJwsHeader(parts.value.header);
  if (!header.ok) return header;
  const payload = decodeBase64url(parts.value.payload);
  const signature = decodeBase64url(parts.value.signature);
  if (payload === undefined || signature === undefined) return MALFORMED;
  return ok({
    header: header.value,
    payload,
    signature,
    signingInput: Buffer.from(parts.value.signingInput, "latin1"),
  });
}

/** `typ` as RFC 7515 section 4.1.9 compares it: no case, `application/` may be left out. */
export function mediaTypeOf(typ: unknown): string | undefined {
  if (typeof typ !== "string") return undefined;
  const lower = typ.toLowerCase();
  return lower.startsWith("application/") ? lower.slice("application/".length) : lower;
}
