// JWT-SVIDs and bundles of SPIFFE trust domains: which key counts for which token, and trust domains that never mix.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import type { IssuerConfig } from "../../../src/config/schema.ts";
import { createKeySet } from "../../../src/token/key-set.ts";
import { createTokenVerifier } from "../../../src/token/token-verifier.ts";
import type { TokenVerifier } from "../../../src/token/token-verifier.ts";
import { makeCa } from "../../fixtures/certificates.ts";
import { AGENT_KEY, ISSUER, JWKS, makeKey, makeToken, NOW_MS, NOW_S, signJws, type TestKey } from "./token-fixtures.ts";

const AUDIENCE = "https://gateway.example";
const [A, B] = [makeKey(), makeKey()];
const jwtKey = (key: TestKey, kid = "k1") => ({ ...key.jwk, kid, use: "jwt-svid" });
const bundle = (...keys: unknown[]) => ({ keys, spiffe_sequence: 3, spiffe_refresh_hint: 300 });
const setOf = (...keys: unknown[]) => createKeySet({ format: "spiffe_bundle", jwks: bundle(...keys) });

function spiffe(domain: string, changes: Partial<IssuerConfig> = {}): IssuerConfig {
  const { token_types: _, ...rest } = ISSUER;
  return {
    ...rest,
    kind: "spiffe",
    issuer: `spiffe://${domain}`,
    trust_domain: domain,
    claims: { "principal.type": { value: "workload" }, "principal.id": { claim: "sub" } },
    ...changes,
  };
}

/** Two trust domains whose keys have the same `kid`, and an OAuth issuer beside them. */
function twoDomains(): TokenVerifier {
  return createTokenVerifier({
    issuers: [ISSUER, spiffe("a.example"), spiffe("b.example")],
    keySets: new Map([
      [ISSUER.issuer, createKeySet({ jwks: JWKS })],
      ["spiffe://a.example", setOf(jwtKey(A))],
      ["spiffe://b.example", setOf(jwtKey(B))],
    ]),
    limits: { token_bytes_max: 16_384, token_cache_entries: 10 },
  });
}

const idOf = (domain: string) => `spiffe://${domain}/agent/o1/t1/i1`;

function svid(key: TestKey, domain: string, changes: Record<string, unknown> = {}, header: object = {}): string {
  const payload = { sub: idOf(domain), aud: [AUDIENCE], exp: NOW_S + 290, iat: NOW_S - 10, ...changes };
  return signJws(key, { alg: "ES256", kid: "k1", typ: "JWT", ...header }, payload);
}

function outcome(token: string, verifier = twoDomains()): string {
  const result = verifier.verify(token, NOW_MS);
  assert.ok(!(result instanceof Promise));
  return result.ok ? `ok ${result.value.claims.agent.id}` : result.error.reason;
}

test("a JWT-SVID needs no iss, iat, jti or typ: its trust domain is found by sub", () => {
  for (const header of [{}, { typ: "JOSE" }, { typ: undefined }, { kid: undefined }]) {
    assert.equal(outcome(svid(A, "a.example", {}, header)), `ok ${idOf("a.example")}`);
  }
  assert.equal(outcome(svid(B, "b.example", { iat: undefined })), `ok ${idOf("b.example")}`);
  const named = svid(A, "a.example", { iss: "spiffe://a.example", cnf: { jkt: AGENT_KEY.thumbprint } });
  assert.equal(outcome(named), `ok ${idOf("a.example")}`);
});

test("trust domains never mix: neither kid, iss, sub nor mapping lets one speak for the other", () => {
  // The same kid stands in both bundles.
  assert.equal(outcome(svid(A, "b.example")), "token.signature");
  assert.equal(outcome(svid(B, "a.example")), "token.signature");
  // The iss of one with the key of the other, and the iss of one with the sub of the other.
  assert.equal(outcome(svid(B, "b.example", { iss: "spiffe://a.example" })), "token.signature");
  assert.equal(outcome(svid(A, "b.example", { iss: "spiffe://a.example" })), "token.claims");
  // An OAuth issuer names no agent of a SPIFFE trust domain, and no SPIFFE authority signs for an OAuth issuer.
  assert.equal(outcome(makeToken({ sub: idOf("a.example") })), "token.claims");
  assert.equal(outcome(makeToken({ iss: undefined, sub: idOf("a.example") })), "token.type");
  assert.equal(outcome(makeToken({}, {}, A)), "token.signature");
  assert.equal(outcome(svid(A, "a.example", { iss: ISSUER.issuer })), "token.type");
  // A trust domain that nobody configured, names that are none, and an iss that nobody has.
  for (const sub of [
    "spiffe://c.example/x",
    "spiffe://A.example/x",
    "https://a.example/x",
    "spiffe://a.example/x/",
    7,
  ]) {
    assert.equal(outcome(svid(A, "a.example", { sub })), "token.issuer", String(sub));
  }
  assert.equal(outcome(svid(A, "a.example", { iss: "https://c.example" })), "token.issuer");
  assert.equal(outcome(svid(A, "a.example", { iss: 7 })), "token.issuer");
});

test("what else is wrong with a JWT-SVID has its own reason: type, audience, time, binding", () => {
  assert.equal(outcome(svid(A, "a.example", {}, { typ: "at+jwt" })), "token.type");
  assert.equal(outcome(svid(A, "a.example", {}, { alg: "none" })), "token.algorithm");
  assert.equal(outcome(svid(A, "a.example", { aud: ["https://other.example"] })), "token.audience");
  assert.equal(outcome(svid(A, "a.example", { aud: undefined })), "token.audience");
  assert.equal(outcome(svid(A, "a.example", { exp: undefined })), "token.claims");
  assert.equal(outcome(svid(A, "a.example", { exp: NOW_S - 31 })), "token.expired");
  // Without iat the lifetime counts from now: a token made for a year is refused.
  assert.equal(outcome(svid(A, "a.example", { iat: undefined, exp: NOW_S + 3601 })), "token.lifetime");
  assert.equal(outcome(svid(A, "a.example", { cnf: {} })), "token.unbound");
  assert.equal(outcome(svid(A, "a.example", { cnf: null })), "token.unbound");
});

test("an id of another shape is mapped; the instance is the workload's, and the token is named by what was signed", () => {
  const claims: IssuerConfig["claims"] = {
    "agent.orchestration": { value: "ranking" },
    "agent.task": { value: "rank" },
    "principal.type": { value: "workload" },
    "principal.id": { claim: "sub" },
  };
  const verifier = createTokenVerifier({
    issuers: [spiffe("a.example", { claims })],
    keySets: new Map([["spiffe://a.example", setOf(jwtKey(A))]]),
    limits: { token_bytes_max: 16_384, token_cache_entries: 10 },
  });
  const read = (sub: string, changes = {}) => {
    const result = verifier.verify(svid(A, "a.example", { sub, ...changes }), NOW_MS);
    assert.ok(!(result instanceof Promise) && result.ok, JSON.stringify(result));
    return result.value;
  };
  const one = read("spiffe://a.example/ns/hiring/sa/ranker");
  assert.match(one.claims.agent.id, /^spiffe:\/\/a\.example\/agent\/ranking\/rank\/[\w-]{43}$/);
  assert.equal(one.claims.principal.id, "spiffe://a.example/ns/hiring/sa/ranker");
  assert.notEqual(read("spiffe://a.example/ns/hiring/sa/other").claims.agent.id, one.claims.agent.id);
  // Signed again, as ECDSA does it, it is the same token: what names it is not its signature.
  const again = read("spiffe://a.example/ns/hiring/sa/ranker");
  assert.notEqual(again.tokenHash, one.tokenHash);
  assert.equal(again.jti, one.jti);
  assert.notEqual(read("spiffe://a.example/ns/hiring/sa/ranker", { exp: NOW_S + 291 }).jti, one.jti);
});

test("of a bundle only a jwt-svid key with a kid verifies, and only one certificate of an authority is a root", async () => {
  const pem = new X509Certificate(makeCa().certificate);
  const x5c = pem.raw.toString("base64");
  const x509 = { ...pem.publicKey.export({ format: "jwk" }), kid: "x", use: "x509-svid" };
  const keys = setOf(
    jwtKey(A),
    { ...B.jwk, kid: "sig", use: "sig" },
    { ...B.jwk, kid: "none" },
    { ...B.jwk, use: "jwt-svid" },
    { ...x509, x5c: [x5c] },
    { ...x509, x5c: [x5c, x5c] },
    { ...x509, x5c: ["AAAA"] },
    x509,
  );
  const find = async (kid: string | undefined) => (await keys.find(kid, "ES256", NOW_MS)).ok;
  assert.deepEqual(await Promise.all(["k1", "sig", "none", "x"].map(find)), [true, false, false, false]);
  assert.equal(await find(undefined), true, "one key is left");
  assert.deepEqual(
    keys.authorities.map(({ raw }) => raw),
    [pem.raw],
  );
  // An ordinary key set takes nothing of a bundle.
  const plain = createKeySet({ jwks: bundle(jwtKey(A), { ...x509, x5c: [x5c] }) });
  assert.equal((await plain.find("k1", "ES256", NOW_MS)).ok, false);
  assert.deepEqual(plain.authorities, []);
});

test("a bundle that changes is read again: a new key counts, one that is gone does not, a broken text changes nothing", async () => {
  let text = JSON.stringify(bundle(jwtKey(A)));
  const keys = createKeySet({
    format: "spiffe_bundle",
    url: "file:///bundle",
    cooldownMs: 1000,
    maxAgeMs: 1000,
    fetchText: async () => text,
    initialText: text,
  });
  const told: (string | undefined)[] = [];
  keys.onProblem((problem) => told.push(problem));
  const has = async (kid: string, nowMs: number) => (await keys.find(kid, "ES256", nowMs)).ok;
  const first = keys.find("k1", "ES256", NOW_MS);
  assert.ok(!(first instanceof Promise) && first.ok, "known before the first read");
  await new Promise((resolve) => setImmediate(resolve));
  const before = keys.authorities;
  text = JSON.stringify(bundle(jwtKey(B, "k2"), { use: "x509-svid", x5c: [derOf(makeCa().certificate)] }));
  assert.equal(await has("k2", NOW_MS + 1000), true);
  assert.equal(await has("k1", NOW_MS + 1000), false);
  assert.notEqual(keys.authorities, before);
  const { version, authorities } = keys;
  text = `${text}broken`;
  assert.equal(await has("k3", NOW_MS + 2000), false);
  assert.equal(await has("k2", NOW_MS + 2000), true);
  assert.equal(told.length, 1);
  assert.deepEqual([keys.version, keys.authorities], [version, authorities]);
});

const derOf = (pem: string): string => new X509Certificate(pem).raw.toString("base64");
