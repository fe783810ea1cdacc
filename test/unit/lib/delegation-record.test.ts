import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import * as jose from "jose";
import {
  type DelegationCode,
  type Delegator,
  rootDelegator,
  verifyDelegationChain,
  verifyDelegationRecord,
} from "../../../src/lib/delegation-record.ts";
import { type DelegationRecord, parseDelegationClaim } from "../../../src/lib/parse-delegation-record.ts";
import {
  idOf,
  makeChain,
  nextRecord,
  PRINCIPAL,
  SESSION,
  signRecord,
  TASK,
  type TestChain,
} from "../../fixtures/delegation.ts";
import { encode, makeKey, NOW_S } from "../token/token-fixtures.ts";

const rootOf = ({ root }: Pick<TestChain, "root">): Delegator =>
  rootDelegator(root, { session: SESSION, principal: PRINCIPAL });

function codeOf(records: readonly string[], chain: Pick<TestChain, "root">): string {
  const result = verifyDelegationChain(records, rootOf(chain));
  return result.ok ? "ok" : `${result.error.code} ${result.error.hop}`;
}

test("a chain of one to five hops verifies, with both algorithms mixed, and says who may do what at its end", () => {
  for (let length = 1; length <= 5; length++) {
    const chain = makeChain(length);
    const result = verifyDelegationChain(chain.records, rootOf(chain));
    assert.ok(result.ok, JSON.stringify(result));
    assert.deepEqual(
      result.value.map(({ record }) => record),
      chain.hops.map(({ payload }) => payload),
    );
    const { delegate } = result.value[length - 1] ?? result.value[0];
    assert.equal(delegate.id, idOf(chain.keys[length] ?? makeKey()));
    assert.equal(delegate.depth, length);
    assert.equal(delegate.expiresAtMs, (NOW_S + 3600 - 10 * length) * 1000);
  }
});

test("what jose signs verifies here, and what verifies here verifies with jose", async () => {
  for (const alg of ["ES256", "EdDSA"] as const) {
    const pair = await jose.generateKeyPair(alg, { extractable: true, ...(alg === "EdDSA" ? { crv: "Ed25519" } : {}) });
    const jwk = await jose.exportJWK(pair.publicKey);
    const key = { ...makeKey(), jwk: { ...jwk }, thumbprint: await jose.calculateJwkThumbprint(jwk) };
    const delegate = makeKey();
    const { root } = makeChain(0);
    const own = { root: { ...root, id: idOf(key), jkt: key.thumbprint }, hops: [] };
    const payload = nextRecord(own, key, delegate);
    const record = await new jose.CompactSign(Buffer.from(JSON.stringify(payload)))
      .setProtectedHeader({ typ: "cordon-delegation+jwt", alg, jwk })
      .sign(pair.privateKey);
    assert.equal(codeOf([record], own), "ok");
  }
  for (const record of makeChain(5).records) {
    const { payload } = await jose.compactVerify(record, jose.EmbeddedJWK, { algorithms: ["ES256", "EdDSA"] });
    assert.equal((JSON.parse(Buffer.from(payload).toString()) as DelegationRecord).v, 1);
  }
});

test("a record is refused for another key, hop, chain, task, principal, delegate, time or a wider grant, each by its code", () => {
  const other = makeKey();
  const cases: readonly (readonly [DelegationCode, Partial<Record<keyof DelegationRecord, unknown>>])[] = [
    ["record_order", { depth: 1 }],
    ["record_order", { depth: 3 }],
    ["depth_exceeded", { depth: 6 }],
    ["record_spliced", { iss: idOf(other) }],
    ["record_spliced", { prev: "" }],
    ["record_spliced", { prev: other.thumbprint }],
    ["record_spliced", { session: "session-2" }],
    ["record_spliced", { task: TASK.replace("rank-j42", "rank-j43") }],
    ["record_spliced", { principal: { ...PRINCIPAL, id: "bob" } }],
    ["record_spliced", { principal: { ...PRINCIPAL, type: "service" } }],
    ["record_spliced", { principal: { ...PRINCIPAL, issuer: "https://other.example" } }],
    ["delegate_mismatch", { sub: idOf(other) }],
    ["delegate_mismatch", { delegate_jkt: other.thumbprint }],
    ["delegate_mismatch", { sub: idOf(other, TASK.replace("hiring", "paying")), delegate_jkt: other.thumbprint }],
    ["expiry_beyond_parent", { exp: NOW_S + 3591 }],
    ["issued_before_parent", { iat: NOW_S - 1 }],
    ["scope_wider", { scope: ["read:candidates:*", "write:scores:*", "write:candidates:*"] }],
    ["scope_wider", { scope: ["delete:scores:*"] }],
    ["constraint_wider", { constraints: { job_id: "J42" } }],
    ["constraint_wider", { constraints: { job_id: ["J42", "J44"], amount: { max: 500 } } }],
    ["constraint_wider", { constraints: { job_id: "J42", amount: { max: 501 } } }],
    ["details_wider", { details: [{ type: "ranking", actions: ["read"], limit: { max: 101 } }] }],
    ["details_wider", { details: [{ type: "hiring", actions: ["read"] }] }],
  ];
  for (const [code, change] of cases) {
    const chain = makeChain(2, { 2: change });
    assert.equal(codeOf(chain.records, chain), `${code} 2`, JSON.stringify(change));
  }
  const beyondRoot = makeChain(1, { 1: { exp: NOW_S + 3601 } });
  assert.equal(codeOf(beyondRoot.records, beyondRoot), "expiry_beyond_parent 1");
  const toItself = makeChain(1);
  const [self = makeKey()] = toItself.keys;
  const payload = { ...nextRecord({ ...toItself, hops: [] }, self, self) };
  assert.equal(codeOf([signRecord(self, payload)], toItself), "delegate_mismatch 1");
});

test("a narrower grant is taken at every hop, and what was given up once does not come back", () => {
  const narrowed = {
    scope: ["read:candidates:J42"],
    constraints: { job_id: "J42", amount: { max: 10, min: 1 }, region: "eu" },
    details: [{ type: "ranking", actions: "read", limit: { max: 5 } }],
  };
  const chain = makeChain(4, { 2: narrowed });
  assert.equal(codeOf(chain.records, chain), "ok");
  for (const change of [
    { scope: ["write:scores:*"] },
    { constraints: { ...narrowed.constraints, amount: { max: 11, min: 1 } } },
    { constraints: { job_id: "J42", amount: { max: 10, min: 1 } } },
    { details: [{ type: "ranking", actions: ["read"], limit: { max: 5 } }] },
  ]) {
    const back = makeChain(4, { 2: narrowed, 4: change });
    assert.match(codeOf(back.records, back), /_wider 4$/, JSON.stringify(change));
  }
});

test("a chain that is cut in front or within, reordered, doubled or spliced is refused", () => {
  const chain = makeChain(5);
  const [one = "", two = "", three = "", four = "", five = ""] = chain.records;
  const stranger = makeChain(5);
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ["record_malformed 0", []],
    ["record_order 1", [two, three, four, five]],
    ["record_order 2", [one, three, four, five]],
    ["record_order 2", [one, three, two, four, five]],
    ["record_order 2", [one, one, two]],
    ["record_signer 1", stranger.records],
    ["record_signer 2", [one, stranger.records[1] ?? ""]],
    ["depth_exceeded 0", [one, two, three, four, five, five]],
  ];
  for (const [code, records] of cases) assert.equal(codeOf(records, chain), code);
  // Its end may be cut: that is the chain of the agent there. Its token then names another agent.
  assert.equal(codeOf([one, two], chain), "ok");
});

test("a record of the same delegator is not taken from another of its chains or after another record", () => {
  const chain = makeChain(3);
  const [, first = makeKey(), second = makeKey()] = chain.keys;
  const [one] = chain.hops;
  assert.ok(one);
  const again = {
    text: signRecord(chain.keys[0] ?? first, { ...one.payload, purpose: "other" }),
    payload: one.payload,
  };
  const afterOther = signRecord(first, nextRecord({ root: chain.root, hops: [again] }, first, second));
  assert.equal(codeOf([one.text, afterOther], chain), "record_spliced 2");
  assert.equal(codeOf([again.text, chain.records[1] ?? ""], chain), "record_spliced 2");
});

test("a record that is signed again, by another key or with the delegator's key in its header, is refused", () => {
  const chain = makeChain(1);
  const [from = makeKey()] = chain.keys;
  const thief = makeKey();
  const payload = chain.hops[0]?.payload;
  assert.equal(codeOf([signRecord(thief, payload)], chain), "record_signer 1");
  assert.equal(codeOf([signRecord(thief, payload, { jwk: from.jwk })], chain), "record_signature 1");
  const [header = "", body = "", signature = ""] = (chain.records[0] ?? "").split(".");
  const flipped = Buffer.from(signature, "base64url");
  flipped[10] = (flipped[10] ?? 0) ^ 1;
  assert.equal(codeOf([`${header}.${body}.${flipped.toString("base64url")}`], chain), "record_signature 1");
});

test("a header with another type, algorithm, key or member is refused before a signature is checked", () => {
  const chain = makeChain(1, {}, ["ES256"]);
  const [key = makeKey()] = chain.keys;
  const payload = chain.hops[0]?.payload;
  const ed = makeKey("EdDSA");
  const rsa = makeKey("RS256");
  const privateJwk = key.privateKey.export({ format: "jwk" });
  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey.export({ format: "jwk" });
  const cases: readonly (readonly [DelegationCode, Readonly<Record<string, unknown>>])[] = [
    ["record_type", { typ: "dpop+jwt" }],
    ["record_type", { typ: undefined }],
    ["record_type", { typ: "Cordon-Delegation+JWT" }],
    ["record_algorithm", { alg: "none" }],
    ["record_algorithm", { alg: "HS256" }],
    ["record_algorithm", { alg: "RS256", jwk: rsa.jwk }],
    ["record_algorithm", { alg: "Ed25519", jwk: ed.jwk }],
    ["record_key", { jwk: privateJwk }],
    ["record_key", { jwk: { kty: "oct", k: "AAAA" } }],
    ["record_key", { jwk: { ...key.jwk, kid: "k" } }],
    ["record_key", { jwk: { ...key.jwk, use: "sig" } }],
    ["record_key", { jwk: p384 }],
    ["record_key", { jwk: ed.jwk }],
    ["record_key", { jwk: undefined }],
    ["record_critical_header", { crit: ["x"], x: 1 }],
    ["record_critical_header", { b64: false }],
    ["record_malformed", { kid: "k" }],
    ["record_malformed", { jku: "https://evil.example/jwks" }],
    ["record_malformed", { x5u: "https://evil.example/cert" }],
  ];
  for (const [code, header] of cases) {
    assert.equal(codeOf([signRecord(key, payload, header)], chain), `${code} 1`, JSON.stringify(header));
  }
  const offCurve = { ...key.jwk, y: key.jwk["x"] };
  const root = { ...chain.root };
  assert.equal(codeOf([signRecord(key, payload, { jwk: offCurve })], { root }), "record_signer 1");
});

test("a point that is not on its curve is no key, also where the chain names its thumbprint", async () => {
  const key = makeKey();
  const offCurve = { ...key.jwk, y: key.jwk["x"] };
  const thumbprint = await jose.calculateJwkThumbprint(offCurve as jose.JWK);
  const false_ = { ...key, jwk: offCurve, thumbprint };
  const { root } = makeChain(0);
  const own = { root: { ...root, id: idOf(false_), jkt: thumbprint }, hops: [] };
  assert.equal(codeOf([signRecord(false_, nextRecord(own, false_, makeKey()))], own), "record_signature 1");
});

test("a payload with a member more, less, twice or of another type is refused", () => {
  const chain = makeChain(1);
  const [key = makeKey()] = chain.keys;
  const payload = chain.hops[0]?.payload as unknown as Record<string, unknown>;
  const changes: readonly Readonly<Record<string, unknown>>[] = [
    ...Object.keys(payload).map((name) => ({ [name]: undefined })),
    { extra: 1 },
    { v: 2 },
    { v: "1" },
    { iss: "spiffe://acme.example/agent/hiring" },
    { sub: "alice" },
    { delegate_jkt: "short" },
    { task: `${TASK}/` },
    { session: "" },
    { session: "a\nb" },
    { session: "x".repeat(513) },
    { principal: { type: "user", id: "alice" } },
    { principal: { ...PRINCIPAL, attributes: {} } },
    { principal: "alice" },
    { purpose: 1 },
    { purpose: "\ud800" },
    { scope: "read:a:b" },
    { scope: ["read:a"] },
    { scope: Array.from({ length: 129 }, (_, index) => `r:a:${index}`) },
    { details: {} },
    { details: [1] },
    { details: Array.from({ length: 33 }, () => ({ type: "a" })) },
    { constraints: [] },
    { constraints: null },
    { iat: 1.5 },
    { iat: -1 },
    { exp: "later" },
    { exp: payload["iat"] },
    { exp: 1e20 },
    { depth: 0 },
    { depth: 1.5 },
    { depth: "1" },
    { prev: null },
    { prev: "x" },
  ];
  for (const change of changes) {
    const record = signRecord(key, { ...payload, ...change });
    assert.equal(codeOf([record], chain), "record_malformed 1", JSON.stringify(change));
  }
  const json = JSON.stringify(payload);
  for (const text of [
    json.replace("{", '{"v":1,'),
    json.replace('"v"', '"\\u0076"').replace("{", '{"v":1,'),
    `[${json}]`,
    "null",
    "",
  ]) {
    assert.equal(codeOf([signRecord(key, text)], chain), "record_malformed 1", text);
  }
});

test("a record or a chain beyond its size is refused before it is read", () => {
  const large = makeChain(1, {
    1: { purpose: "x".repeat(512), constraints: { ...makeChain(0).root.constraints, note: "x".repeat(3000) } },
  });
  assert.equal(codeOf(large.records, large), "record_too_large 1");
  const note = (hop: number) => ({
    constraints: { job_id: ["J42", "J43"], amount: { max: 500 }, note: "x".repeat(900), hop: { max: 10 - hop } },
  });
  const long = makeChain(5, { 1: note(1), 2: note(2), 3: note(3), 4: note(4), 5: note(5) });
  assert.ok(long.records.every((record) => record.length < 4096));
  assert.equal(codeOf(long.records, long), "record_too_large 0");
  assert.equal(codeOf(long.records.slice(0, 2), long), "ok");
});

test("texts that are no compact JWS are refused as malformed", () => {
  const chain = makeChain(1);
  const [record = ""] = chain.records;
  const [header = "", payload = "", signature = ""] = record.split(".");
  for (const text of [
    "",
    ".",
    "..",
    "a.b",
    `${record}.`,
    ` ${record}`,
    `${record}=`,
    `${header}.${payload}`,
    `${encode("null")}.${payload}.${signature}`,
  ]) {
    assert.equal(codeOf([text], chain), "record_malformed 1", text.slice(0, 40));
  }
  assert.equal(codeOf([`${encode({ alg: "none" })}.${payload}.`], chain), "record_malformed 1");
});

test("one record is verified against its delegator as the whole chain is", () => {
  const chain = makeChain(3);
  let delegator = rootOf(chain);
  for (const record of chain.records) {
    const result = verifyDelegationRecord(record, delegator);
    assert.ok(result.ok);
    delegator = result.value.delegate;
  }
  const whole = verifyDelegationChain(chain.records, rootOf(chain));
  assert.ok(whole.ok);
  assert.deepEqual(whole.value.at(-1)?.delegate, delegator);
  const [fourth = makeKey()] = makeChain(0).keys;
  const sixth = makeChain(5);
  const end = verifyDelegationChain(sixth.records, rootOf(sixth));
  assert.ok(end.ok);
  const beyond = signRecord(sixth.keys[5] ?? fourth, nextRecord(sixth, sixth.keys[5] ?? fourth, fourth));
  const result = verifyDelegationRecord(beyond, end.value.at(-1)?.delegate ?? rootOf(sixth));
  assert.equal(result.ok ? "ok" : result.error.code, "depth_exceeded");
});

test("the delegation claim of a token is exactly a root and records", () => {
  const { root, records } = makeChain(2);
  assert.deepEqual(parseDelegationClaim({ root, records }), { ok: true, value: { root, records } });
  const wrong: readonly unknown[] = [
    undefined,
    [],
    { root },
    { records },
    { root, records, more: 1 },
    { root, records: "a" },
    { root, records: [1] },
    { root: null, records },
    { root: { ...root, more: 1 }, records },
    { root: { ...root, id: `${TASK}/other` }, records },
    { root: { ...root, id: "alice" }, records },
    { root: { ...root, jkt: makeKey().thumbprint }, records },
    { root: { ...root, scope: ["read"] }, records },
    { root: { ...root, details: [1] }, records },
    { root: { ...root, constraints: [] }, records },
    { root: { ...root, expires_at: "tomorrow" }, records },
    { root: { ...root, expires_at: "2026-99-99T00:00:00Z" }, records },
    { root: { ...root, expires_at: 1 }, records },
  ];
  for (const claim of wrong) {
    const result = parseDelegationClaim(claim);
    assert.equal(result.ok ? "ok" : result.error.code, "record_malformed", JSON.stringify(claim));
  }
});

test("a root whose expiry is no time gives nobody anything", () => {
  const chain = makeChain(1);
  assert.equal(codeOf(chain.records, { root: { ...chain.root, expires_at: "soon" } }), "expiry_beyond_parent 1");
});
