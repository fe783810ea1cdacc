// In: how many tokens. Out: the token room's work for five hops of delegation, on the real code and real signatures.
// Each token has a chain of its own, with keys of its own: nothing of one is known from another.
import { hash } from "node:crypto";
import { configSchema } from "../../src/config/schema.ts";
import type { Result } from "../../src/lib/result.ts";
import { createAuthenticator, type CredentialFacts } from "../../src/token/authenticate.ts";
import { createFailedProofs } from "../../src/token/failed-proofs.ts";
import { createKeySet } from "../../src/token/key-set.ts";
import { createProofVerifier, type ProofVerifier } from "../../src/token/proof-verifier.ts";
import { attachReplayTable, createReplayTable } from "../../src/token/replay-table.ts";
import { createTokenVerifier } from "../../src/token/token-verifier.ts";
import { chainOf, delegatedClaims } from "../../test/fixtures/delegation.ts";
import { makeKey, signJws, type TestKey } from "../../test/unit/token/token-fixtures.ts";
import { createIssuer, openIssuer, signProof } from "../load/agents.ts";
import type { Measured } from "./cpu-per-call.ts";

const ISSUER = "https://issuer.bench";
const AUDIENCE = "https://gateway.bench";
const PATH = "/ats/jobs/J42/candidates/C7";
const HOPS = 5;
/** Signed once and verified in each sample with an empty replay table. */
const PROOFS = 512;
const LIFETIME_S = 3500;
/** One key may hold a 512th of it: all the proofs of a sample. */
const REPLAY_SLOTS = 2 ** 19;

export interface ChainChecks {
  readonly first: Measured;
  readonly warm: Measured;
  readonly warmDepth0: Measured;
  readonly tokenBytes: number;
}

function must<T>(result: Result<T, unknown> | Promise<unknown>): T {
  if (result instanceof Promise || !result.ok) {
    throw new Error(`the bench's own value is refused: ${JSON.stringify(result)}`);
  }
  return result.value;
}

export function createChainChecks(count: number): ChainChecks {
  const issuer = createIssuer();
  const [config] = configSchema.shape.issuers.parse([
    { issuer: ISSUER, audience: [AUDIENCE], trust_domain: "acme.example", jwks: { file: "unused" } },
  ]);
  if (config === undefined) throw new Error("no issuer");
  const nowMs = Date.now();
  const delegates = Array.from({ length: count }, () => delegateOf(issuer.privateKey, Math.floor(nowMs / 1000)));
  const tokenVerifier = () =>
    createTokenVerifier({
      issuers: [config],
      keySets: new Map([[ISSUER, createKeySet({ jwks: issuer.jwks })]]),
      limits: { token_bytes_max: 16_384, token_cache_entries: 20_000 },
    });

  let tokens = tokenVerifier();
  const first: Measured = {
    // Nothing is known at the start of a sample, and no token comes twice in it.
    prepare: () => void (tokens = tokenVerifier()),
    call: (index) => must(tokens.verify(delegates[index]?.token ?? "", nowMs)),
    callsMax: count,
  };
  const [delegate] = delegates;
  if (delegate === undefined) throw new Error("no delegate");
  const root = openIssuer(issuer.privateKey).agent(AUDIENCE);
  return {
    first,
    warm: warmCheck(delegate, tokenVerifier(), nowMs),
    warmDepth0: warmCheck(root, tokenVerifier(), nowMs),
    tokenBytes: delegate.token.length,
  };
}

type Caller = Parameters<typeof signProof>[0];

/** An agent at the end of five delegations, of which each hop was signed by its own key. */
function delegateOf(issuerKey: TestKey["privateKey"], nowS: number): Caller {
  const keys = Array.from({ length: HOPS + 1 }, () => makeKey("ES256"));
  const options = {
    nowS,
    principal: { type: "user", id: "recruiter_alice", issuer: ISSUER },
    scope: ["read:candidates:J42"],
    // The first delegator hands on no details: five hops are then about the size that the header limits were made for.
    changes: { 1: { details: [], constraints: { job_id: "J42", amount: { max: 500 } } } },
  };
  const claims = delegatedClaims(chainOf(keys, options), options);
  const key = keys[HOPS];
  if (key === undefined) throw new Error("no key");
  const registered = { iss: ISSUER, aud: AUDIENCE, iat: nowS, exp: nowS + LIFETIME_S, jti: key.thumbprint };
  const token = signJws(
    { ...key, privateKey: issuerKey },
    { alg: "ES256", typ: "at+jwt", kid: "k1" },
    { ...registered, ...claims },
  );
  const { kty, crv, x, y } = key.jwk;
  const header = { typ: "dpop+jwt", alg: "ES256", jwk: { kty, crv, x, y } };
  return {
    id: claims.sub,
    token,
    tokenHash: hash("sha256", token, "base64url"),
    proofHeader: Buffer.from(JSON.stringify(header)).toString("base64url"),
    privateKey: key.privateKey,
  };
}

/** The second step of an exchange: this caller again, with a fresh proof. */
function warmCheck(caller: Caller, tokens: ReturnType<typeof createTokenVerifier>, nowMs: number): Measured {
  const { proof } = configSchema.pick({ proof: true }).parse({});
  const htu = `${AUDIENCE}${PATH}`;
  const iat = Math.floor(nowMs / 1000);
  const requests = Array.from(
    { length: PROOFS },
    (_, index): CredentialFacts => ({
      authorization: [`DPoP ${caller.token}`],
      dpop: [signProof(caller, { jti: `chain-${index}-0123456789abcdef`, htm: "GET", htu, iat })],
      certificate: undefined,
      sourceIp: "127.0.0.1",
      method: "GET",
      htu,
    }),
  );
  const failures = createFailedProofs(1);
  let authenticate: ReturnType<typeof createAuthenticator> | undefined;
  const prepare = (): void => {
    const times = { maxAgeMs: proof.max_age_s * 1000, maxAheadMs: proof.max_ahead_s * 1000, nowMs };
    const replay = attachReplayTable(createReplayTable({ slots: REPLAY_SLOTS, ...times }), Buffer.alloc(32, 7));
    const proofs: ProofVerifier = createProofVerifier({ proof, replay, startedAtMs: 0, keyCacheEntries: 10_000 });
    authenticate = createAuthenticator({ tokens, proofs, failures, algorithms: proof.algorithms });
    must(tokens.verify(caller.token, nowMs));
  };
  return {
    prepare,
    callsMax: PROOFS,
    call: (index) => must(authenticate?.(requests[index % PROOFS] as CredentialFacts, nowMs) ?? Promise.resolve()),
  };
}
