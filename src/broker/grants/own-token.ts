// In: text that claims to be an access token of this issuer. Out: its `jti`, agent and client, or undefined.
// Trusts: the published keys. Time, revocation and the proof of its key are the caller's matter: the database knows them.
import { mediaTypeOf, parseCompactJws } from "../../lib/parse-compact-jws.ts";
import { checkPublicJwk, importPublicKey } from "../../lib/public-key.ts";
import { createSignatureVerifier, type SignatureVerifier } from "../../lib/signature-verifier.ts";
import { parseStrictObject } from "../../lib/strict-json.ts";
import type { KeyRing } from "../keys/key-ring.ts";
import { TOKEN_CHARS_MAX } from "./agent-token.ts";

export interface OwnToken {
  readonly jti: string;
  readonly sub: string;
  readonly client_id: string;
  /** Unix seconds. */
  readonly exp: number;
}

export type OwnTokenVerifier = (text: string) => OwnToken | undefined;

/** Also takes what a retired key signed, as long as it is published. */
export function createOwnTokenVerifier(keyRing: Pick<KeyRing, "published">, issuer: string): OwnTokenVerifier {
  let published = "";
  let verifiers: ReadonlyMap<unknown, SignatureVerifier> = new Map();

  function verifierOf(kid: unknown): SignatureVerifier | undefined {
    if (published !== keyRing.published) {
      published = keyRing.published;
      verifiers = readVerifiers(published);
    }
    return verifiers.get(kid);
  }

  return (text) => {
    const jws = parseCompactJws(text, TOKEN_CHARS_MAX);
    if (!jws.ok) return undefined;
    const { header, payload, signature, signingInput } = jws.value;
    if (header["alg"] !== "ES256" || mediaTypeOf(header["typ"]) !== "at+jwt") return undefined;
    if (verifierOf(header["kid"])?.(signingInput, signature) !== true) return undefined;
    const { iss, jti, sub, client_id: clientId, exp } = parseStrictObject(payload) ?? {};
    if (iss !== issuer || typeof jti !== "string" || typeof sub !== "string") return undefined;
    if (typeof clientId !== "string" || typeof exp !== "number") return undefined;
    return { jti, sub, client_id: clientId, exp };
  };
}

function readVerifiers(published: string): ReadonlyMap<unknown, SignatureVerifier> {
  const { keys } = JSON.parse(published) as { readonly keys: readonly { readonly kid?: unknown }[] };
  const verifiers = new Map<unknown, SignatureVerifier>();
  for (const jwk of keys) {
    const checked = checkPublicJwk(jwk);
    const key = checked.ok ? importPublicKey(checked.value) : checked;
    const verifier = key.ok ? createSignatureVerifier(key.value, "ES256") : undefined;
    if (verifier !== undefined) verifiers.set(jwk.kid, verifier);
  }
  return verifiers;
}
