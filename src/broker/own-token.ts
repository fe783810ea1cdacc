// In: text that claims to be a token of this issuer. Out: its claims where this issuer signed it, or nothing.
// Trusts the key ring. Whether the token has expired, was ended or renewed is another question: `token-status.ts`.
import { mediaTypeOf, parseCompactJws } from "../lib/parse-compact-jws.ts";
import { parseStrictObject } from "../lib/strict-json.ts";
import { TOKEN_CHARS_MAX } from "./grants/agent-token.ts";
import type { KeyRing } from "./keys/key-ring.ts";

export interface OwnToken {
  readonly iss: string;
  readonly sub: string;
  readonly aud: unknown;
  readonly client_id: string;
  readonly jti: string;
  /** Unix seconds. */
  readonly iat: number;
  readonly exp: number;
  readonly [claim: string]: unknown;
}

export function readOwnToken(text: string, keyRing: Pick<KeyRing, "verify">, issuer: string): OwnToken | undefined {
  const jws = parseCompactJws(text, TOKEN_CHARS_MAX);
  if (!jws.ok) return undefined;
  const { header, payload, signature, signingInput } = jws.value;
  if (header["alg"] !== "ES256" || mediaTypeOf(header["typ"]) !== "at+jwt") return undefined;
  if (!keyRing.verify(header["kid"], signingInput, signature)) return undefined;
  const claims = parseStrictObject(payload);
  return claims !== undefined && claims["iss"] === issuer && isOwnToken(claims) ? claims : undefined;
}

/** What was signed here has these; it is looked at again, since a key file may have served an older version. */
function isOwnToken(claims: Readonly<Record<string, unknown>>): claims is OwnToken {
  const { sub, client_id: client, jti, iat, exp } = claims;
  const texts = [sub, client, jti].every((value) => typeof value === "string" && value !== "");
  return texts && typeof iat === "number" && typeof exp === "number";
}
