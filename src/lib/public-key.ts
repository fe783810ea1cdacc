// In: a JWK (RFC 7517) from a key set or a proof. Out: a checked public key with its RFC 7638 thumbprint.
// Trusts nothing: private, symmetric, weak, malformed and off-curve keys are refused.
import { createPublicKey, hash } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { err, ok } from "./result.ts";
import type { Result } from "./result.ts";
import { decodeBase64url } from "./parse-compact-jws.ts";
import { isRocaModulus } from "./roca-modulus.ts";
import { isObject } from "./strict-json.ts";
import type { JsonObject } from "./strict-json.ts";

export type KeyKind = "P-256" | "P-384" | "P-521" | "Ed25519" | "RSA";

/** A public JWK that was checked, but not yet imported. */
export interface CheckedJwk {
  readonly kind: KeyKind;
  /** Base64url SHA-256 of the required members in lexical order (RFC 7638 section 3). */
  readonly thumbprint: string;
  /** Only the members that make the key; nothing else of the JWK reaches the import. */
  readonly members: Readonly<Record<string, string>>;
  readonly alg: string | undefined;
  readonly kid: string | undefined;
}

export interface PublicKey extends CheckedJwk {
  readonly key: KeyObject;
}

export interface KeyProblem {
  readonly kind: "private" | "unusable";
  readonly detail: string;
}

/** RSA moduli below 2048 bits are refused (RFC 7518 section 3.3); above 8192 a verification costs too much. */
const RSA_BITS_MIN = 2048;
const RSA_BITS_MAX = 8192;
/** Larger exponents make a verification needlessly slow. */
const RSA_EXPONENT_BYTES_MAX = 8;
const KID_CHARS_MAX = 256;
/** Members that only a private (RFC 7518 sections 6.2.2, 6.3.2; RFC 8037) or symmetric key has. */
const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] as const;
const COORDINATE_BYTES: Readonly<Record<string, number>> = { "P-256": 32, "P-384": 48, "P-521": 66 };

/** Checks a JWK without importing it: shape, strength, `use`, `key_ops`. */
export function checkPublicJwk(jwk: unknown): Result<CheckedJwk, KeyProblem> {
  if (!isObject(jwk)) return unusable("the key is not an object");
  if (PRIVATE_MEMBERS.some((member) => Object.hasOwn(jwk, member)) || jwk.kty === "oct") {
    return err({ kind: "private", detail: "the key is private or symmetric" });
  }
  if (jwk.use !== undefined && jwk.use !== "sig") return unusable("`use` is not `sig`");
  if (jwk.key_ops !== undefined && !(Array.isArray(jwk.key_ops) && jwk.key_ops.includes("verify"))) {
    return unusable("`key_ops` does not include `verify`");
  }
  if (!isOptionalString(jwk.alg) || !isOptionalString(jwk.kid)) return unusable("`alg` or `kid` is not a short string");
  if (jwk.kty === "EC") return checkEc(jwk);
  if (jwk.kty === "OKP") return checkOkp(jwk);
  if (jwk.kty === "RSA") return checkRsa(jwk);
  return unusable("`kty` is not EC, OKP or RSA");
}

/** Imports a checked key; a point that is not on its curve is refused here. */
export function importPublicKey(checked: CheckedJwk): Result<PublicKey, KeyProblem> {
  try {
    const key = createPublicKey({ key: { ...checked.members }, format: "jwk" });
    return ok({ ...checked, key });
  } catch (error) {
    return unusable(error instanceof Error ? error.message : "the key cannot be imported");
  }
}

function checkEc(jwk: JsonObject): Result<CheckedJwk, KeyProblem> {
  const { crv, x, y } = jwk;
  if (crv !== "P-256" && crv !== "P-384" && crv !== "P-521") return unusable("`crv` is not P-256, P-384 or P-521");
  const length = COORDINATE_BYTES[crv];
  if (typeof x !== "string" || typeof y !== "string" || bytesOf(x) !== length || bytesOf(y) !== length) {
    return unusable("a coordinate is malformed");
  }
  return ok(checkedJwk(jwk, crv, { crv, kty: "EC", x, y }));
}

function checkOkp(jwk: JsonObject): Result<CheckedJwk, KeyProblem> {
  const { crv, x } = jwk;
  if (crv !== "Ed25519") return unusable("`crv` is not Ed25519");
  if (typeof x !== "string" || bytesOf(x) !== 32) return unusable("`x` is malformed");
  return ok(checkedJwk(jwk, crv, { crv, kty: "OKP", x }));
}

function checkRsa(jwk: JsonObject): Result<CheckedJwk, KeyProblem> {
  const { n, e } = jwk;
  if (typeof n !== "string" || typeof e !== "string") return unusable("`n` or `e` is missing");
  const modulus = decodeBase64url(n);
  const exponent = decodeBase64url(e);
  // RFC 7518 section 2: Base64urlUInt has no leading zero octets.
  if (!modulus?.[0] || !exponent?.[0]) return unusable("`n` or `e` is malformed");
  const bits = modulus.length * 8 - (Math.clz32(modulus[0]) - 24);
  if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) return unusable(`an RSA key of ${bits} bits is refused`);
  const exponentValue = exponent.length > RSA_EXPONENT_BYTES_MAX ? 0n : BigInt(`0x${exponent.toString("hex")}`);
  if (exponentValue < 3n || exponentValue % 2n === 0n) return unusable("the RSA exponent is refused");
  if (isRocaModulus(BigInt(`0x${modulus.toString("hex")}`))) return unusable("the RSA key has the ROCA weakness");
  return ok(checkedJwk(jwk, "RSA", { e, kty: "RSA", n }));
}

/** `members` stand in lexical order, as RFC 7638 section 3.3 wants them; their values need no JSON escape. */
function checkedJwk(jwk: JsonObject, kind: KeyKind, members: Readonly<Record<string, string>>): CheckedJwk {
  const thumbprint = hash("sha256", JSON.stringify(members), "base64url");
  const alg = typeof jwk.alg === "string" ? jwk.alg : undefined;
  const kid = typeof jwk.kid === "string" ? jwk.kid : undefined;
  return { kind, thumbprint, members, alg, kid };
}

function bytesOf(part: string): number | undefined {
  return decodeBase64url(part)?.length;
}

function isOptionalString(value: unknown): boolean {
  return value === undefined || (typeof value === "string" && value.length <= KID_CHARS_MAX);
}

function unusable(detail: string): Result<never, KeyProblem> {
  return err({ kind: "unusable", detail });
}
