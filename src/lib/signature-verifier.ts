// In: a public key and a JWS algorithm. Out: the check of one signature, synchronous, by node:crypto.
// The algorithm comes from an allow-list and must fit the key; a symmetric one or `none` has no entry here.
import { constants, verify } from "node:crypto";
import type { KeyKind, PublicKey } from "./public-key.ts";

/** True when `signature` over `data` is the key's. Never throws for hostile input. */
export type SignatureVerifier = (data: Buffer, signature: Buffer) => boolean;

interface Algorithm {
  readonly kind: KeyKind;
  /** null where the algorithm hashes by itself. */
  readonly hash: string | null;
  /** Length of the signature, where it is fixed by the algorithm. */
  readonly signatureBytes?: number;
  readonly pss?: true;
}

/** RFC 7518 section 3, RFC 8037 and RFC 9864. `EdDSA` means Ed25519 here: no other curve is accepted. */
const TABLE = {
  ES256: { kind: "P-256", hash: "sha256", signatureBytes: 64 },
  ES384: { kind: "P-384", hash: "sha384", signatureBytes: 96 },
  ES512: { kind: "P-521", hash: "sha512", signatureBytes: 132 },
  EdDSA: { kind: "Ed25519", hash: null, signatureBytes: 64 },
  Ed25519: { kind: "Ed25519", hash: null, signatureBytes: 64 },
  PS256: { kind: "RSA", hash: "sha256", pss: true },
  PS384: { kind: "RSA", hash: "sha384", pss: true },
  PS512: { kind: "RSA", hash: "sha512", pss: true },
  RS256: { kind: "RSA", hash: "sha256" },
  RS384: { kind: "RSA", hash: "sha384" },
  RS512: { kind: "RSA", hash: "sha512" },
} as const satisfies Record<string, Algorithm>;

/** All that can be verified. Which of them are accepted is said by a configuration or a standard. */
export const VERIFIED_ALGORITHMS = Object.keys(TABLE) as readonly (keyof typeof TABLE)[];

const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>(Object.entries(TABLE));

/** Whether a key may be used with `alg`: the key type fits, and the JWK's own `alg`, if any, is the same. */
export function keyFits(key: { readonly kind: KeyKind; readonly alg: string | undefined }, alg: string): boolean {
  return ALGORITHMS.get(alg)?.kind === key.kind && (key.alg === undefined || sameAlgorithm(key.alg, alg));
}

/** The verifier of `alg` by `key`, or undefined where they do not fit. Made once for a key, used for each signature. */
export function createSignatureVerifier(key: PublicKey, alg: string): SignatureVerifier | undefined {
  const algorithm = ALGORITHMS.get(alg);
  if (algorithm === undefined || !keyFits(key, alg)) return undefined;
  const { hash } = algorithm;
  const signatureBytes = algorithm.signatureBytes ?? modulusBytes(key);
  const verifyKey = verifyKeyOf(key, algorithm);
  // RFC 7518 section 3.4 fixes the length; node:crypto refuses others too, and is not relied on for it.
  return (data, signature) => signature.length === signatureBytes && verify(hash, data, verifyKey, signature);
}

function verifyKeyOf(key: PublicKey, algorithm: Algorithm) {
  if (algorithm.kind === "RSA") {
    return algorithm.pss
      ? { key: key.key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
      : { key: key.key, padding: constants.RSA_PKCS1_PADDING };
  }
  return algorithm.hash === null ? key.key : { key: key.key, dsaEncoding: "ieee-p1363" as const };
}

function modulusBytes(key: PublicKey): number {
  return Math.ceil((key.key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
}

/** `EdDSA` (RFC 8037) and `Ed25519` (RFC 9864) name one algorithm for an Ed25519 key. */
function sameAlgorithm(left: string, right: string): boolean {
  const isEd25519 = (alg: string) => alg === "EdDSA" || alg === "Ed25519";
  return left === right || (isEd25519(left) && isEd25519(right));
}
