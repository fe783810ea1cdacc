import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import * as jose from "jose";
import type { IssuerConfig } from "../../../src/config/schema.ts";
import { createKeySet } from "../../../src/token/key-set.ts";
import { createTokenVerifier } from "../../../src/token/token-verifier.ts";
import type { TokenVerifier } from "../../../src/token/token-verifier.ts";
import type { VerifiedToken } from "../../../src/token/verified-token.ts";
import {
  AGENT_ID,
  AGENT_KEY,
  athOf,
  encode,
  ISSUER,
  ISSUER_KEY,
  JWKS,
  makeKey,
  makeToken,
  NOW_MS,
  NOW_S,
  signJws,
  tokenPayload,
} from "./token-fixtures.ts";

const LIMITS = { token_bytes_max: 16_384, token_cache_entries: 100 };

function verifierWith(
  changes: Partial<IssuerConfig> = {},
  keys = createKeySet({ jwks: JWKS }),
  limits = LIMITS,
): TokenVerifier {
  return createTokenVerifier({
    issuers: [{ ...ISSUER, ...changes }],
    keySets: new Map([[ISSUER.issuer, keys]]),
    limits,
  });
}

function verifyNow(token: string, verifier = verifierWith(), nowMs = NOW_MS) {
  const result = verifier.verify(token, nowMs);
  assert.ok(!(result instanceof Promise), "with the key at hand the verifier is synchronous");
  return result;
}

function outcome(token: string, verifier = verifierWith(), nowMs = NOW_MS): string {
  const result = verifyNow(token, verifier, nowMs);
  return result.ok ? "ok" : result.error.reason;
}

function verified(token: string, verifier = verifierWith()): VerifiedToken {
  const result = verifyNow(token, verifier);
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

test("a token of the embedded issuer becomes an Agent with the claims in their order", () => {
  const token = makeToken();
  const value = verified(token);
  assert.equal(value.tokenHash, athOf(token));
  const agent = value.agentFor("dpop");
  assert.equal(agent, value.agentFor("dpop"));
  assert.deepEqual(Object.keys(agent.claims), ["agent", "principal", "intent", "provenance", "session", "token"]);
  assert.deepEqual(JSON.parse(`{${agent.claimsJson}}`), agent.claims);
  assert.deepEqual(agent.claims.agent, {
    id: AGENT_ID,
    trust_domain: "acme.example",
    orchestration: "o1",
    task: "t1",
    instance: "i1",
  });
  assert.deepEqual(agent.claims.intent.scope, ["read:candidates:J42"]);
  assert.equal(agent.claims.provenance.verified, false);
  assert.deepEqual(agent.claims.session, {
    id: "s1",
    root_request: "r1",
    initiator: { type: "user", id: "alice" },
    depth: 0,
    chain: [],
    labels: [],
  });
  assert.equal(agent.keyThumbprint, AGENT_KEY.thumbprint);
  assert.equal(agent.expiresAtMs, (NOW_S + 290) * 1000);
  assert.deepEqual(agent.refs, {
    token: `${ISSUER.issuer} token-1`,
    agent: AGENT_ID,
    task: "spiffe://acme.example/agent/o1/t1",
    chain: `${ISSUER.issuer} s1`,
    ancestors: [],
  });
});

test("H08: each failed check has its own reason", () => {
  const other = makeKey("ES256");
  const valid = makeToken();
  const none = `${encode({ typ: "at+jwt", alg: "none" })}.${valid.split(".")[1]}.AA`;
  const cases: [string, string][] = [
    ["token.malformed", "abc"],
    ["token.malformed", `${valid}=`],
    ["token.malformed", signJws(ISSUER_KEY, { typ: "at+jwt", alg: "ES256" }, '{"iss":"a","iss":"b"}')],
    ["token.malformed", makeToken({}, { kid: 5 })],
    ["token.too_large", "x".repeat(1_048_576)],
    ["token.critical_header", makeToken({}, { crit: ["exp"] })],
    ["token.critical_header", makeToken({}, { b64: false })],
    ["token.type", makeToken({}, { typ: "JWT" })],
    ["token.type", makeToken({}, { typ: undefined })],
    ["token.algorithm", none],
    ["token.algorithm", makeToken({}, { alg: "HS256" })],
    ["token.algorithm", makeToken({}, { alg: "ES384" })],
    ["token.issuer", makeToken({ iss: "https://issuer.example/" })],
    ["token.issuer", makeToken({ iss: undefined })],
    ["token.key_unknown", makeToken({}, { kid: "../../etc/passwd" })],
    ["token.key_unknown", makeToken({}, { kid: "https://evil.example/jwks", jku: "https://evil.example/jwks" })],
    ["token.key_unknown", makeToken({}, { alg: "EdDSA" })],
    ["token.signature", makeToken({}, {}, other)],
    ["token.signature", makeToken({}, { jwk: other.jwk, x5u: "https://evil.example/" }, other)],
    ["token.signature", `${valid.slice(0, -4)}AAAA`],
    ["token.audience", makeToken({ aud: "https://other.example" })],
    ["token.audience", makeToken({ aud: ["https://gateway.example", 5] })],
    ["token.audience", makeToken({ aud: undefined })],
    ["token.expired", makeToken({ iat: NOW_S - 200, exp: NOW_S - 30 })],
    ["token.not_yet_valid", makeToken({ nbf: NOW_S + 31 })],
    ["token.not_yet_valid", makeToken({ iat: NOW_S + 31, exp: NOW_S + 60 })],
    ["token.lifetime", makeToken({ iat: NOW_S - 10, exp: NOW_S + 3591 })],
    ["token.lifetime", makeToken({ iat: NOW_S + 5, exp: NOW_S + 5 })],
    ["token.unbound", makeToken({ cnf: undefined })],
    ["token.unbound", makeToken({ cnf: { kid: "x" } })],
    ["token.claims", makeToken({ cnf: { jkt: "short" } })],
    ["token.claims", makeToken({ cnf: { jkt: AGENT_KEY.thumbprint, "x5t#S256": 5 } })],
    ["token.claims", makeToken({ jti: undefined })],
    ["token.claims", makeToken({ jti: "x".repeat(257) })],
    ["token.claims", makeToken({ sub: undefined })],
    ["token.claims", makeToken({ exp: "never" })],
    ["token.claims", makeToken({ exp: 1e300 })],
    ["token.claims", makeToken({ iat: undefined })],
    ["token.claims", makeToken({ nbf: "x" })],
  ];
  for (const [reason, token] of cases) assert.equal(outcome(token), reason, token.slice(0, 120));
  assert.equal(outcome(makeToken({ iat: NOW_S - 200, exp: NOW_S - 29 })), "ok");
  assert.equal(outcome(makeToken({ aud: ["x", "https://gateway.example"] }, { typ: "application/AT+jwt" })), "ok");
});

test("claims that are badly typed, unbounded or of another trust domain are refused", () => {
  const cordon = tokenPayload().cordon as Record<string, Record<string, unknown>>;
  const change = (group: string, member: string, value: unknown) => ({
    cordon: { ...cordon, [group]: { ...cordon[group], [member]: value } },
  });
  const hop = { delegator: "a", delegate: "b", scope: [], at: "2026-01-01T00:00:00Z" };
  for (const changes of [
    { sub: "spiffe://evil.example/agent/o1/t1/i1" },
    { sub: "spiffe://acme.example/agent/o1/t1" },
    { sub: "spiffe://acme.example/agent/o1/../i1" },
    { sub: "spiffe://acme.example/agent/o1/t%31/i1" },
    { sub: "client" },
    { cordon: undefined },
    change("agent", "id", "spiffe://acme.example/agent/o1/t1/other"),
    change("principal", "id", 5),
    change("principal", "id", ""),
    change("principal", "type", "line\nbreak"),
    change("principal", "attributes", []),
    change("principal", "attributes", { big: "x".repeat(9000) }),
    change("intent", "scope", ["read:candidates"]),
    change("intent", "scope", ["*:candidates:J42"]),
    change("intent", "scope", [5]),
    change("intent", "expires_at", "tomorrow"),
    change("provenance", "verified", "true"),
    change("provenance", "model", "x".repeat(513)),
    change("session", "depth", -1),
    change("session", "depth", 6),
    change(
      "session",
      "chain",
      Array.from({ length: 6 }, () => hop),
    ),
    change("session", "chain", [{ ...hop, at: "then" }]),
    {
      ...change("session", "chain", [hop]),
      cordon: { ...cordon, session: { ...cordon.session, chain: [hop], depth: 0 } },
    },
  ]) {
    assert.equal(outcome(makeToken(changes)), "token.claims", JSON.stringify(changes).slice(0, 120));
  }
  assert.equal(outcome(makeToken(change("session", "chain", [hop]))), "token.delegation");
});

test("a mapping makes tokens of other issuers work; the instance falls back on the key", () => {
  const verifier = verifierWith({
    token_types: ["JWT"],
    claims: {
      "agent.orchestration": { value: "partner" },
      "agent.task": { claim: "work.task" },
      "principal.type": { value: "service" },
      "principal.id": { claim: "/https:~1~1idp.example~1user" },
      "intent.scope": { claim: "permissions" },
      "provenance.model": { claim: "missing" },
    },
  });
  const changes = {
    sub: "client-7",
    cordon: undefined,
    work: { task: "t9" },
    "https://idp.example/user": "bob",
    permissions: ["read:a:*"],
  };
  const { claims } = verified(makeToken(changes, { typ: "JWT" }), verifier);
  assert.equal(claims.agent.id, `spiffe://acme.example/agent/partner/t9/${AGENT_KEY.thumbprint}`);
  assert.equal(claims.principal.id, "bob");
  assert.deepEqual(claims.intent.scope, ["read:a:*"]);
  assert.deepEqual(claims.session.initiator, { type: "unknown", id: "" });
  assert.equal(outcome(makeToken({ ...changes, work: { task: "a/b" } }, { typ: "JWT" }), verifier), "token.claims");
  assert.equal(outcome(makeToken({ ...changes, work: {} }, { typ: "JWT" }), verifier), "token.claims");
});

test("tokens that are larger than most are kept in smaller number, and a single one always fits", () => {
  const verifier = verifierWith({}, undefined, { ...LIMITS, token_cache_entries: 2 });
  const [first, second, small] = [9000, 9000, 10].map((chars) => makeToken({ pad: "x".repeat(chars) }));
  assert.ok(first !== undefined && second !== undefined && small !== undefined);
  const kept = verified(first, verifier);
  assert.equal(verified(first, verifier), kept);
  verified(small, verifier);
  assert.equal(verified(first, verifier), kept);
  verified(second, verifier);
  assert.notEqual(verified(first, verifier), kept, "it was pushed out");
});

test("a token is verified once, and its cached claims never outlive it", () => {
  const verifier = verifierWith();
  const token = makeToken();
  const first = verified(token, verifier);
  assert.equal(verified(token, verifier), first);
  assert.equal(outcome(token, verifier, (NOW_S + 319) * 1000), "ok");
  assert.equal(outcome(token, verifier, (NOW_S + 320) * 1000), "token.expired");
  assert.equal(outcome(`${token.slice(0, -4)}AAAA`, verifier), "token.signature");
});

test("H14: cached claims go when their key leaves the key set, and stay when another key comes", async () => {
  const extra = { ...makeKey().jwk, kid: "k2" };
  let jwks: { keys: unknown[] } = JWKS;
  const keys = createKeySet({
    url: "https://i.example/",
    cooldownMs: 1000,
    maxAgeMs: 2000,
    fetchText: async () => JSON.stringify(jwks),
  });
  const verifier = verifierWith({}, keys);
  const token = makeToken();
  const first = await verifier.verify(token, NOW_MS);
  assert.ok(first.ok);
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  jwks = { keys: [...JWKS.keys, extra] };
  await verifier.verify(token, NOW_MS + 2000);
  await settle();
  assert.equal(keys.version, 2);
  assert.equal(verified(token, verifier), first.value);
  jwks = { keys: [extra] };
  await verifier.verify(token, NOW_MS + 4000);
  await settle();
  const refused = await verifier.verify(token, NOW_MS + 4001);
  assert.ok(!refused.ok && refused.error.reason === "token.key_unknown");
});

test("the verifier and jose agree on valid and mutated tokens", async () => {
  const jwks = jose.createLocalJWKSet(JWKS);
  const joseAccepts = (token: string) =>
    jose
      .jwtVerify(token, jwks, {
        issuer: ISSUER.issuer,
        audience: [...ISSUER.audience],
        typ: "at+jwt",
        algorithms: [...ISSUER.algorithms],
        clockTolerance: 30,
        currentDate: new Date(NOW_MS),
        requiredClaims: ["exp", "iat", "jti", "sub", "cnf"],
      })
      .then(
        () => true,
        () => false,
      );
  const value = fc.oneof(
    fc.constantFrom<unknown>("ES256", "none", "k1", "https://gateway.example", ISSUER.issuer),
    fc.integer({ min: NOW_S - 400, max: NOW_S + 400 }),
  );
  const change = fc.record({
    header: fc.dictionary(fc.constantFrom("alg", "kid", "typ", "jku", "crit"), value, { maxKeys: 1 }),
    payload: fc.dictionary(fc.constantFrom("iss", "aud", "nbf", "exp"), value, { maxKeys: 1 }),
    at: fc.option(fc.nat(), { freq: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(change, async ({ header, payload, at }) => {
      let token = makeToken(payload, header);
      if (at !== null) token = `${token.slice(0, at % token.length)}A${token.slice((at % token.length) + 1)}`;
      const got = outcome(token);
      // Stricter here, on purpose: the lifetime is bounded and positive.
      if (got === "token.lifetime") return;
      assert.equal(got === "ok", await joseAccepts(token), got);
    }),
    { numRuns: 300 },
  );
});
