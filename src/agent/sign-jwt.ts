// In: a header, claims and a key. Out: a compact JWS (RFC 7515), signed with node:crypto.
import { sign } from "node:crypto";
import type { AgentKey } from "./create-key.ts";

export function signJwt(header: Record<string, unknown>, claims: Record<string, unknown>, key: AgentKey): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const input = `${part({ alg: key.algorithm, ...header })}.${part(claims)}`;
  // RFC 7518 section 3.4: an ECDSA signature is r and s side by side, not DER.
  const signature =
    key.algorithm === "ES256"
      ? sign("sha256", Buffer.from(input), { key: key.privateKey, dsaEncoding: "ieee-p1363" })
      : sign(null, Buffer.from(input), key.privateKey);
  return `${input}.${signature.toString("base64url")}`;
}
