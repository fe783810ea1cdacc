// In: the text of one DPoP header and what it must prove. Out: the proven key, or the reason why not (RFC 9449 section 4.3).
// Trusts the configured algorithms and the token's `cnf.jkt`, nothing in the proof. Synchronous; the cheap checks come first,
// the signature after them, and the replay slot is claimed last, so that a proof that fails elsewhere uses none up.
import { deny } from "../errors.ts";
import { LRUCache } from "lru-cache";
import type { ProofConfig } from "../config/schema.ts";
import type { Denial, Reason } from "../errors.ts";
import { err, ok } from "../lib/result.ts";
import type { Result } from "../lib/result.ts";
import type { NonceService } from "./nonce-service.ts";
import { normaliseHtu } from "./normalise-htu.ts";
import {
  decodeBase64url,
  mediaTypeOf,
  parseJwsHeader,
  parseJwsPayload,
  splitCompactJws,
} from "../lib/parse-compact-jws.ts";
import type { JwsProblem } from "../lib/parse-compact-jws.ts";
import { checkPublicJwk, importPublicKey } from "../lib/public-key.ts";
import type { Claim, ReplayTable } from "./replay-table.ts";
import { createSignatureVerifier } from "../lib/signature-verifier.ts";
import type { SignatureVerifier } from "../lib/signature-verifier.ts";
import type { JsonObject } from "../lib/strict-json.ts";

export interface ProofVerifierOptions {
  readonly proof: ProofConfig;
  readonly replay: ReplayTable;
  /** Unix milliseconds when this process started: older proofs may have been used before a restart. */
  readonly startedAtMs: number;
  /** Needed where `proof.nonce` is `required`. */
  readonly nonces?: NonceService | undefined;
  /** Proof keys that a thread remembers: as many as tokens, so that a known token never waits for its key to be read. */
  readonly keyCacheEntries: number;
}

export interface ExpectedProof {
  readonly method: string;
  /** Canonical target URI without query and fragment, built from a configured origin. */
  readonly htu: string;
  /** Base64url SHA-256 of the token text. */
  readonly ath: string;
  /** The token's `cnf.jkt`. */
  readonly jkt: string;
}

export interface VerifiedProof {
  readonly jti: string;
  readonly jkt: string;
}

export interface ProofVerifier {
  verify(proof: string, expected: ExpectedProof, nowMs: number): Result<VerifiedProof, Denial>;
  /** Whether a proof with this header, and so with this key, was verified here before. Costs no cryptography. */
  isKnownKey(proof: string): boolean;
}

/** A proof with an RSA-4096 key and a long URI stays below this. */
const PROOF_CHARS_MAX = 8192;
const JTI_CHARS_MAX = 256;
/** A header with an RSA-8192 key. A longer one is read anew each time, so that nobody can make the cache heavy. */
const KNOWN_HEADER_CHARS_MAX = 2048;

/** What the header of a proof says; the same for every proof of a client, so it is read once. */
interface ProofHeader {
  readonly jkt: string;
  readonly verifySignature: SignatureVerifier;
}

const PARSE_REASONS: Readonly<Record<JwsProblem, Reason>> = {
  malformed: "proof.malformed",
  too_large: "proof.too_large",
  critical_header: "proof.critical_header",
};

const CLAIM_DENIALS: Readonly<Record<Exclude<Claim, "claimed">, Denial>> = {
  replayed: deny("proof.replayed"),
  key_quota: deny("proof.key_quota"),
  full: deny("proof.table_full", "the generation is full"),
  stale: deny("proof.table_full", "the generation of this iat is not open"),
};

export function createProofVerifier(options: ProofVerifierOptions): ProofVerifier {
  const { proof: config, replay, startedAtMs, nonces } = options;
  const algorithms = new Set<string>(config.algorithms);
  const maxAgeMs = config.max_age_s * 1000;
  const maxAheadMs = config.max_ahead_s * 1000;
  const headers = new LRUCache<string, ProofHeader>({ max: options.keyCacheEntries });
  if (config.nonce === "required" && nonces === undefined) throw new TypeError("required nonces need a nonce service");

  function readHeader(part: string, expectedJkt: string): Result<ProofHeader, Denial> {
    const known = headers.get(part);
    if (known === undefined) return parseProofHeader(part, algorithms, expectedJkt);
    return known.jkt === expectedJkt ? ok(known) : err(deny("proof.key_mismatch"));
  }

  /** Called once its key has signed: whoever lacks the key cannot push others out, nor make a key known. */
  function remember(part: string, header: ProofHeader): void {
    if (part.length > KNOWN_HEADER_CHARS_MAX || headers.has(part)) return;
    // A copy: the part is a slice that would keep the whole proof in memory.
    headers.set(Buffer.from(part, "latin1").toString("latin1"), header);
  }

  function checkTimes(payload: JsonObject, iatMs: number, nowMs: number): Denial | undefined {
    if (iatMs < nowMs - maxAgeMs) return deny("proof.too_old");
    if (iatMs > nowMs + maxAheadMs) return deny("proof.from_the_future");
    if (iatMs <= startedAtMs) return deny("proof.before_start");
    const { exp, nbf } = payload;
    if (exp !== undefined) {
      if (!isFiniteNumber(exp)) return deny("proof.claims", "exp");
      if (nowMs >= exp * 1000) return deny("proof.too_old", "exp");
    }
    if (nbf !== undefined) {
      if (!isFiniteNumber(nbf)) return deny("proof.claims", "nbf");
      if (nbf * 1000 > nowMs + maxAheadMs) return deny("proof.from_the_future", "nbf");
    }
    return undefined;
  }

  function checkNonce(nonce: unknown, nowMs: number): Denial | undefined {
    if (config.nonce !== "required" || nonces === undefined) return undefined;
    if (nonce === undefined) return deny("proof.nonce_required");
    return typeof nonce === "string" && nonces.check(nonce, nowMs) ? undefined : deny("proof.nonce_mismatch");
  }

  function verify(proof: string, expected: ExpectedProof, nowMs: number): Result<VerifiedProof, Denial> {
    const parts = splitCompactJws(proof, PROOF_CHARS_MAX);
    if (!parts.ok) return err(deny(PARSE_REASONS[parts.error]));
    const header = readHeader(parts.value.header, expected.jkt);
    if (!header.ok) return header;
    const payload = parseJwsPayload(parts.value.payload);
    if (payload === undefined) return err(deny("proof.malformed", "payload"));

    const { jti, htm, htu, iat, ath, nonce } = payload;
    if (typeof jti !== "string" || jti.length === 0 || jti.length > JTI_CHARS_MAX)
      return err(deny("proof.claims", "jti"));
    if (typeof htm !== "string") return err(deny("proof.claims", "htm"));
    if (typeof htu !== "string") return err(deny("proof.claims", "htu"));
    if (!isFiniteNumber(iat)) return err(deny("proof.claims", "iat"));
    if (htm !== expected.method) return err(deny("proof.method"));
    if (htu !== expected.htu && normaliseHtu(htu) !== expected.htu) return err(deny("proof.uri"));
    if (ath !== expected.ath) return err(deny("proof.token_hash"));
    const iatMs = iat * 1000;
    const refusal = checkTimes(payload, iatMs, nowMs) ?? checkNonce(nonce, nowMs);
    if (refusal !== undefined) return err(refusal);

    const { jkt } = header.value;
    const identity = { jkt, jti, method: expected.method, uri: expected.htu };
    // Looked at first, so that a proof that is sent again and again costs its sender more than the gateway.
    const outlook = replay.look(identity, iatMs);
    if (outlook !== "claimed") return err(CLAIM_DENIALS[outlook]);
    const signature = decodeBase64url(parts.value.signature);
    if (signature === undefined) return err(deny("proof.malformed", "signature"));
    if (!header.value.verifySignature(Buffer.from(parts.value.signingInput, "latin1"), signature)) {
      return err(deny("proof.signature"));
    }
    remember(parts.value.header, header.value);

    const claim = replay.claim(identity, iatMs);
    return claim === "claimed" ? ok({ jti, jkt }) : err(CLAIM_DENIALS[claim]);
  }

  function isKnownKey(proof: string): boolean {
    const end = proof.indexOf(".");
    return end > 0 && end <= KNOWN_HEADER_CHARS_MAX && headers.has(proof.slice(0, end));
  }

  return { verify, isKnownKey };
}

function parseProofHeader(
  part: string,
  algorithms: ReadonlySet<string>,
  expectedJkt: string,
): Result<ProofHeader, Denial> {
  const parsed = parseJwsHeader(part);
  if (!parsed.ok) return err(deny(PARSE_REASONS[parsed.error], "header"));
  const { typ, alg, jwk } = parsed.value;
  if (mediaTypeOf(typ) !== "dpop+jwt") return err(deny("proof.type"));
  if (typeof alg !== "string" || !algorithms.has(alg)) return err(deny("proof.algorithm"));
  const checked = checkPublicJwk(jwk);
  if (!checked.ok)
    return err(deny(checked.error.kind === "private" ? "proof.private_key" : "proof.key", checked.error.detail));
  if (checked.value.thumbprint !== expectedJkt) return err(deny("proof.key_mismatch"));
  const key = importPublicKey(checked.value);
  if (!key.ok) return err(deny("proof.key", key.error.detail));
  const verifySignature = createSignatureVerifier(key.value, alg);
  if (verifySignature === undefined) return err(deny("proof.algorithm", "the key is not one of this algorithm"));
  return ok({ jkt: checked.value.thumbprint, verifySignature });
}

function isFiniteNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}
