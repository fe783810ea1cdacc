// In: a request's method and URL, the key, and where there are such the access token and the server's nonce.
// Out: a fresh DPoP proof (RFC 9449 section 4.2). A proof is for one request: its `jti` is never used again.
import { createHash, randomUUID } from "node:crypto";
import type { AgentKey } from "./create-key.ts";
import { signJwt } from "./sign-jwt.ts";

export interface ProofRequest {
  readonly key: AgentKey;
  readonly method: string;
  readonly url: string | URL;
  readonly accessToken?: string | undefined;
  readonly nonce?: string | undefined;
}

export function createDpopProof({ key, method, url, accessToken, nonce }: ProofRequest): string {
  const target = new URL(url);
  const claims: Record<string, unknown> = {
    jti: randomUUID(),
    htm: method,
    // Without query and fragment, as the server will see it.
    htu: `${target.origin}${target.pathname}`,
    iat: Math.floor(Date.now() / 1000),
  };
  if (accessToken !== undefined) claims["ath"] = createHash("sha256").update(accessToken).digest("base64url");
  if (nonce !== undefined) claims["nonce"] = nonce;
  return signJwt({ typ: "dpop+jwt", jwk: key.publicJwk }, claims, key);
}
