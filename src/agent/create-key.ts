// In: an algorithm, or a private JWK. Out: a key that can sign, with its public part and its RFC 7638 thumbprint.
// One key is one agent instance: an agent makes a new one at every start and keeps it in memory only.
import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { CordonError } from "./cordon-error.ts";

export type KeyAlgorithm = "ES256" | "EdDSA";

export interface PublicJwk {
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly y?: string;
}

export interface AgentKey {
  readonly algorithm: KeyAlgorithm;
  readonly privateKey: KeyObject;
  readonly publicJwk: PublicJwk;
  /** RFC 7638, base64url of SHA-256: what a bound token carries as `cnf.jkt`. */
  readonly thumbprint: string;
}

/** A fresh key: P-256 (`ES256`) unless `EdDSA` (Ed25519) is asked for. */
export function createKey(algorithm: KeyAlgorithm = "ES256"): AgentKey {
  const pair =
    algorithm === "ES256" ? generateKeyPairSync("ec", { namedCurve: "P-256" }) : generateKeyPairSync("ed25519");
  return toAgentKey(pair.privateKey);
}

/** Reads a private JWK (P-256 or Ed25519). Throws CordonError `key_invalid`; the message never quotes the key. */
export function parseKey(jwk: unknown): AgentKey {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: jwk as Record<string, string>, format: "jwk" });
  } catch {
    throw new CordonError("key_invalid", "The key is not a private JWK; expected P-256 or Ed25519 with member `d`.");
  }
  return toAgentKey(key);
}

function toAgentKey(privateKey: KeyObject): AgentKey {
  const { kty = "", crv = "", x = "", y } = privateKey.export({ format: "jwk" });
  if (crv !== "P-256" && crv !== "Ed25519") {
    throw new CordonError("key_invalid", "The key must be P-256 or Ed25519.");
  }
  const publicJwk: PublicJwk = y === undefined ? { kty, crv, x } : { kty, crv, x, y };
  // RFC 7638 section 3.2: the required members only, in lexicographic order, without white space.
  const canonical = y === undefined ? { crv, kty, x } : { crv, kty, x, y };
  return {
    algorithm: crv === "P-256" ? "ES256" : "EdDSA",
    privateKey,
    publicJwk,
    thumbprint: createHash("sha256").update(JSON.stringify(canonical)).digest("base64url"),
  };
}
