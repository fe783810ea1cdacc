// In: a few words. Out: keys, tokens and proofs for the tests of this room, made by node:crypto alone.
import { generateKeyPairSync, hash, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { IssuerConfig, ProofConfig } from "../../../src/config/schema.ts";
import type { ReplayTable } from "../../../src/token/replay-table.ts";

export const NOW_MS = 1_800_000_000_000;
export const NOW_S = NOW_MS / 1000;
export const HTU = "https://gateway.example/jobs/J42";

export interface TestKey {
  readonly alg: string;
  readonly privateKey: KeyObject;
  readonly jwk: Readonly<Record<string, unknown>>;
  readonly thumbprint: string;
}

export function makeKey(alg: "ES256" | "ES384" | "Ed25519" | "EdDSA" | "RS256" | "PS256" = "ES256"): TestKey {
  const pair = alg.startsWith("ES")
    ? generateKeyPairSync("ec", { namedCurve: alg === "ES256" ? "P-256" : "P-384" })
    : alg.startsWith("Ed")
      ? generateKeyPairSync("ed25519")
      : generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk: Record<string, unknown> = { ...pair.publicKey.export({ format: "jwk" }) };
  const members = Object.entries(jwk).sort(([left], [right]) => (left < right ? -1 : 1));
  const thumbprint = hash("sha256", JSON.stringify(Object.fromEntries(members)), "base64url");
  return { alg, privateKey: pair.privateKey, jwk, thumbprint };
}

export const encode = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** Signs whatever is given; strings are taken as JSON text. */
export function signJws(key: TestKey, header: unknown, payload: unknown): string {
  const input = `${encode(header)}.${encode(payload)}`;
  const data = Buffer.from(input);
  const hashName = key.alg.startsWith("Ed") ? null : key.alg.endsWith("384") ? "sha384" : "sha256";
  const options = key.alg.startsWith("ES")
    ? { key: key.privateKey, dsaEncoding: "ieee-p1363" as const }
    : key.alg === "PS256"
      ? { key: key.privateKey, padding: 6, saltLength: 32 }
      : key.privateKey;
  return `${input}.${sign(hashName, data, options).toString("base64url")}`;
}

export const ISSUER_KEY = makeKey("ES256");
export const AGENT_KEY = makeKey("ES256");
export const AGENT_ID = "spiffe://acme.example/agent/o1/t1/i1";

export const ISSUER: IssuerConfig = {
  kind: "oauth",
  issuer: "https://issuer.example",
  audience: ["https://gateway.example"],
  trust_domain: "acme.example",
  algorithms: ["ES256", "EdDSA"],
  token_types: ["at+jwt"],
  jwks: { file: "/unused" },
  leeway_s: 30,
  max_lifetime_s: 3600,
  claims: {},
};

export const JWKS = { keys: [{ ...ISSUER_KEY.jwk, kid: "k1", use: "sig", alg: "ES256" }] };

export function tokenPayload(changes: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    iss: ISSUER.issuer,
    aud: "https://gateway.example",
    sub: AGENT_ID,
    jti: "token-1",
    iat: NOW_S - 10,
    exp: NOW_S + 290,
    scope: "openid read:candidates:J42",
    cnf: { jkt: AGENT_KEY.thumbprint },
    cordon: {
      principal: { type: "user", id: "alice", attributes: { team: "hiring" } },
      intent: { purpose: "rank-candidates", constraints: { job_id: "J42" } },
      provenance: { model: "m", model_version: "2026-09", environment: "production" },
      session: { id: "s1", root_request: "r1", initiator: { type: "user", id: "alice" } },
    },
    ...changes,
  };
}

export function makeToken(
  changes: Readonly<Record<string, unknown>> = {},
  header: Readonly<Record<string, unknown>> = {},
  key: TestKey = ISSUER_KEY,
): string {
  return signJws(key, { typ: "at+jwt", alg: key.alg, kid: "k1", ...header }, tokenPayload(changes));
}

export const PROOF: ProofConfig = {
  algorithms: ["ES256", "ES384", "EdDSA", "Ed25519", "PS256", "RS256"],
  max_age_s: 60,
  max_ahead_s: 5,
  nonce: "off",
  replay_slots: 65_536,
};

export const athOf = (token: string): string => hash("sha256", token, "base64url");

export function makeProof(
  changes: Readonly<Record<string, unknown>> = {},
  header: Readonly<Record<string, unknown>> = {},
  key: TestKey = AGENT_KEY,
): string {
  const payload = { jti: "p1", htm: "GET", htu: HTU, iat: NOW_S, ath: "ath", ...changes };
  return signJws(key, { typ: "dpop+jwt", alg: key.alg, jwk: key.jwk, ...header }, payload);
}

/** A replay table that counts, for tests that are not about replay. */
export function countingReplay(): ReplayTable & { claims: number } {
  const table = {
    claims: 0,
    claim: () => {
      table.claims++;
      return "claimed" as const;
    },
    look: () => "claimed" as const,
    fill: () => 0,
  };
  return table;
}
