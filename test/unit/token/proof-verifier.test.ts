import assert from "node:assert/strict";
import { test } from "node:test";
import * as dpop from "dpop";
import * as fc from "fast-check";
import * as jose from "jose";
import type { ProofConfig } from "../../../src/config/schema.ts";
import { createNonceService } from "../../../src/token/nonce-service.ts";
import { createProofVerifier } from "../../../src/token/proof-verifier.ts";
import type { ExpectedProof, ProofVerifierOptions } from "../../../src/token/proof-verifier.ts";
import { attachReplayTable, createReplayTable } from "../../../src/token/replay-table.ts";
import {
  AGENT_KEY,
  athOf,
  countingReplay,
  encode,
  HTU,
  makeKey,
  makeProof,
  NOW_MS,
  NOW_S,
  PROOF,
  signJws,
} from "./token-fixtures.ts";
import type { TestKey } from "./token-fixtures.ts";

const EXPECTED: ExpectedProof = { method: "GET", htu: HTU, ath: "ath", jkt: AGENT_KEY.thumbprint };

function verifierWith(proof: Partial<ProofConfig> = {}, rest: Partial<ProofVerifierOptions> = {}) {
  return createProofVerifier({
    proof: { ...PROOF, ...proof },
    replay: countingReplay(),
    startedAtMs: NOW_MS - 3_600_000,
    keyCacheEntries: 100,
    ...rest,
  });
}

function outcome(
  proof: string,
  expected: Partial<ExpectedProof> = {},
  verifier = verifierWith(),
  nowMs = NOW_MS,
): string {
  const result = verifier.verify(proof, { ...EXPECTED, ...expected }, nowMs);
  return result.ok ? "ok" : result.error.reason;
}

test("a valid proof of each key type is accepted", () => {
  for (const alg of ["ES256", "ES384", "EdDSA", "Ed25519", "PS256", "RS256"] as const) {
    const key = makeKey(alg);
    assert.equal(outcome(makeProof({}, {}, key), { jkt: key.thumbprint }), "ok", alg);
  }
});

test("an algorithm that is not configured is refused, though its signature is right", () => {
  for (const alg of ["ES384", "EdDSA", "RS256"] as const) {
    const key = makeKey(alg);
    const verifier = verifierWith({ algorithms: ["ES256"] });
    assert.equal(outcome(makeProof({}, {}, key), { jkt: key.thumbprint }, verifier), "proof.algorithm", alg);
  }
});

test("H07: each failed check has its own reason", () => {
  const other = makeKey("ES256");
  const rsa = makeKey("RS256");
  const { privateKey } = AGENT_KEY;
  const valid = makeProof();
  const cases: [string, string, Partial<ExpectedProof>?][] = [
    ["proof.malformed", "x.y"],
    ["proof.malformed", `${valid}=`],
    ["proof.malformed", `${valid}, ${valid}`],
    [
      "proof.malformed",
      signJws(AGENT_KEY, { typ: "dpop+jwt", alg: "ES256", jwk: AGENT_KEY.jwk }, '{"jti":"a","jti":"b"}'),
    ],
    ["proof.too_large", makeProof({ pad: "x".repeat(9000) })],
    ["proof.critical_header", makeProof({}, { crit: ["x"], x: 1 })],
    ["proof.critical_header", makeProof({}, { b64: false })],
    ["proof.type", makeProof({}, { typ: "jwt" })],
    ["proof.type", makeProof({}, { typ: undefined })],
    ["proof.algorithm", makeProof({}, { alg: "none" })],
    ["proof.algorithm", makeProof({}, { alg: "HS256" })],
    ["proof.algorithm", makeProof({}, { alg: "ES384" })],
    ["proof.key", makeProof({}, { jwk: undefined })],
    ["proof.key", makeProof({}, { jwk: { ...AGENT_KEY.jwk, use: "enc" } })],
    ["proof.key", makeProof({}, { jwk: { ...AGENT_KEY.jwk, key_ops: ["sign"] } })],
    ["proof.private_key", makeProof({}, { jwk: privateKey.export({ format: "jwk" }) })],
    ["proof.private_key", makeProof({}, { jwk: { kty: "oct", k: "AAAA" } })],
    ["proof.private_key", makeProof({}, { jwk: { kty: "oct" } })],
    ["proof.key_mismatch", makeProof({}, {}, other)],
    ["proof.key_mismatch", makeProof({}, {}, rsa)],
    ["proof.signature", makeProof({}, { jwk: AGENT_KEY.jwk }, other)],
    ["proof.signature", `${valid.slice(0, -4)}AAAA`],
    ["proof.claims", makeProof({ jti: undefined })],
    ["proof.claims", makeProof({ jti: "" })],
    ["proof.claims", makeProof({ jti: "x".repeat(257) })],
    ["proof.claims", makeProof({ jti: 7 })],
    ["proof.claims", makeProof({ iat: undefined })],
    ["proof.claims", makeProof({ iat: String(NOW_S) })],
    [
      "proof.claims",
      signJws(
        AGENT_KEY,
        { typ: "dpop+jwt", alg: "ES256", jwk: AGENT_KEY.jwk },
        `{"jti":"a","htm":"GET","htu":"${HTU}","iat":1e999}`,
      ),
    ],
    ["proof.claims", makeProof({ htm: undefined })],
    ["proof.claims", makeProof({ htu: 1 })],
    ["proof.claims", makeProof({ exp: "soon" })],
    ["proof.claims", makeProof({ nbf: null })],
    ["proof.method", makeProof({ htm: "POST" })],
    ["proof.method", makeProof({ htm: "get" })],
    ["proof.uri", makeProof({ htu: "https://gateway.example/jobs/J43" })],
    ["proof.uri", makeProof({ htu: "http://gateway.example/jobs/J42" })],
    ["proof.uri", makeProof({ htu: "https://u@gateway.example/jobs/J42" })],
    ["proof.too_old", makeProof({ iat: NOW_S - 61 })],
    ["proof.too_old", makeProof({ exp: NOW_S })],
    ["proof.from_the_future", makeProof({ iat: NOW_S + 6 })],
    ["proof.from_the_future", makeProof({ nbf: NOW_S + 6 })],
    ["proof.token_hash", makeProof({ ath: "other" })],
    ["proof.token_hash", makeProof({ ath: undefined })],
  ];
  for (const [reason, proof] of cases) assert.equal(outcome(proof), reason, reason + proof.slice(0, 80));
  assert.equal(outcome(makeProof({ iat: NOW_S - 60 })), "ok");
  assert.equal(outcome(makeProof({ iat: NOW_S + 5 })), "ok");
});

test("a key that is not on its curve is refused", () => {
  const jwk: Record<string, unknown> = { ...AGENT_KEY.jwk, y: Buffer.alloc(32, 1).toString("base64url") };
  const thumbprint = athOf(JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y }));
  assert.equal(outcome(makeProof({}, { jwk }), { jkt: thumbprint }), "proof.key");
});

test("a remembered header does not answer for another key, algorithm or signature", () => {
  const verifier = verifierWith();
  assert.equal(outcome(makeProof(), {}, verifier), "ok");
  assert.equal(outcome(makeProof(), { jkt: makeKey().thumbprint }, verifier), "proof.key_mismatch");
  const [header, payload] = makeProof().split(".");
  assert.equal(
    outcome(`${header}.${payload}.${Buffer.alloc(64, 1).toString("base64url")}`, {}, verifier),
    "proof.signature",
  );
  assert.equal(
    outcome(
      `${header}.${encode({ jti: "z", htm: "GET", htu: HTU, iat: NOW_S, ath: "ath" })}.${makeProof().split(".")[2]}`,
      {},
      verifier,
    ),
    "proof.signature",
  );
});

test("a proof made before the process started is refused, so that a restart forgets nothing", () => {
  const verifier = verifierWith({}, { startedAtMs: NOW_MS - 5000 });
  assert.equal(outcome(makeProof({ iat: NOW_S - 5 }), {}, verifier), "proof.before_start");
  assert.equal(outcome(makeProof({ iat: NOW_S - 4 }), {}, verifier), "ok");
});

test("a replay slot is claimed by a proof that passed every other check, and by no other", () => {
  const replay = countingReplay();
  const verifier = verifierWith({}, { replay });
  for (const proof of [makeProof({ ath: "x" }), `${makeProof().slice(0, -4)}AAAA`, makeProof({ iat: NOW_S - 99 })])
    outcome(proof, {}, verifier);
  assert.equal(replay.claims, 0);
  outcome(makeProof(), {}, verifier);
  assert.equal(replay.claims, 1);
});

test("H06: the same proof is refused the second time, also with its URI written another way", () => {
  const shared = createReplayTable({ slots: 65_536, maxAgeMs: 60_000, maxAheadMs: 5000, nowMs: NOW_MS });
  const verifier = verifierWith({}, { replay: attachReplayTable(shared, Buffer.alloc(32, 7)) });
  assert.equal(outcome(makeProof(), {}, verifier), "ok");
  assert.equal(outcome(makeProof(), {}, verifier), "proof.replayed");
  assert.equal(
    outcome(makeProof({ htu: "HTTPS://GATEWAY.example:443/jobs/./J42?q=1#f" }), {}, verifier),
    "proof.replayed",
  );
  assert.equal(outcome(makeProof({ jti: "p2" }), {}, verifier), "ok");
});

test("a proof that was used, or that its key has no room for, is refused before its signature is looked at", () => {
  const shared = createReplayTable({ slots: 65_536, maxAgeMs: 60_000, maxAheadMs: 5000, nowMs: NOW_MS });
  const verifier = verifierWith({}, { replay: attachReplayTable(shared, Buffer.alloc(32, 7)) });
  const proof = makeProof();
  assert.equal(outcome(proof, {}, verifier), "ok");
  assert.equal(outcome(`${proof.slice(0, -4)}AAAA`, {}, verifier), "proof.replayed");
});

test("a key is known once it has signed, not when somebody showed it, and no header of any length is kept", () => {
  const verifier = verifierWith({});
  const proof = makeProof();
  assert.equal(outcome(`${proof.slice(0, -4)}AAAA`, {}, verifier), "proof.signature");
  assert.equal(verifier.isKnownKey(proof), false);
  assert.equal(outcome(proof, {}, verifier), "ok");
  assert.equal(verifier.isKnownKey(makeProof({ jti: "p2" })), true);
  const long = makeProof({ jti: "p3" }, { note: "x".repeat(2048) });
  assert.equal(outcome(long, {}, verifier), "ok");
  assert.equal(verifier.isKnownKey(long), false);
});

test("what the replay table cannot take is denied with its own reason", () => {
  for (const [claim, reason] of [
    ["key_quota", "proof.key_quota"],
    ["full", "proof.table_full"],
    ["stale", "proof.table_full"],
  ] as const) {
    for (const look of [claim, "claimed"] as const) {
      const replay = { claim: () => claim, look: () => look, fill: () => 1 };
      assert.equal(outcome(makeProof(), {}, verifierWith({}, { replay })), reason);
    }
  }
});

test("a required nonce is asked for, compared, and accepted", () => {
  const nonces = createNonceService(Buffer.alloc(32, 1));
  const verifier = verifierWith({ nonce: "required" }, { nonces });
  assert.equal(outcome(makeProof(), {}, verifier), "proof.nonce_required");
  assert.equal(outcome(makeProof({ nonce: "guess" }), {}, verifier), "proof.nonce_mismatch");
  assert.equal(outcome(makeProof({ nonce: 5 }), {}, verifier), "proof.nonce_mismatch");
  assert.equal(outcome(makeProof({ nonce: nonces.issue(NOW_MS) }), {}, verifier), "ok");
});

test("proofs of the public `dpop` client verify unchanged", async () => {
  for (const alg of ["ES256", "Ed25519", "RS256", "PS256"] as const) {
    const pair = await dpop.generateKeyPair(alg);
    const proof = await dpop.generateProof(pair, `${HTU}?q=1`, "GET", undefined, "the-token");
    const jkt = await jose.calculateJwkThumbprint(await jose.exportJWK(pair.publicKey));
    const nowMs = Date.now();
    assert.equal(
      outcome(proof, { jkt, ath: athOf("the-token") }, verifierWith({}, { startedAtMs: 0 }), nowMs),
      "ok",
      alg,
    );
  }
});

/** The same checks by `jose`, straightforward and slow. */
async function joseAccepts(proof: string, expected: ExpectedProof): Promise<boolean> {
  try {
    const { payload, protectedHeader } = await jose.jwtVerify(proof, jose.EmbeddedJWK, {
      typ: "dpop+jwt",
      algorithms: [...PROOF.algorithms],
      currentDate: new Date(NOW_MS),
      requiredClaims: ["jti", "iat", "htm", "htu", "ath"],
    });
    const { jwk } = protectedHeader;
    if (jwk === undefined || (await jose.calculateJwkThumbprint(jwk)) !== expected.jkt) return false;
    const { jti, iat, htm, htu, ath } = payload;
    if (typeof jti !== "string" || jti === "" || jti.length > 256 || typeof iat !== "number" || typeof htu !== "string")
      return false;
    if (iat < NOW_S - 60 || iat > NOW_S + 5 || htm !== expected.method || ath !== expected.ath) return false;
    const url = new URL(htu);
    return `${url.origin}${url.pathname}` === expected.htu && url.username === "" && url.password === "";
  } catch {
    return false;
  }
}

const KEYS: readonly TestKey[] = (["ES256", "ES384", "Ed25519", "RS256", "PS256"] as const).map((alg) => makeKey(alg));

test("the fast verifier and jose agree on valid and mutated proofs", async () => {
  const mutation = fc.oneof(
    { weight: 3, arbitrary: fc.constant({ kind: "none" as const }) },
    fc.record({
      kind: fc.constant("payload" as const),
      name: fc.constantFrom("jti", "htm", "htu", "iat", "ath", "exp", "nbf", "extra"),
      value: fc.oneof(
        fc.jsonValue({ maxDepth: 1 }),
        fc.integer({ min: NOW_S - 70, max: NOW_S + 12 }),
        fc.constantFrom("GET", "ath", HTU, `${HTU}?x`),
      ),
    }),
    fc.record({
      kind: fc.constant("header" as const),
      name: fc.constantFrom("typ", "alg", "jwk", "crit", "kid", "jku"),
      value: fc.oneof(
        fc.jsonValue({ maxDepth: 1 }),
        fc.constantFrom("none", "HS256", "ES256", "PS256", "RS256", "dpop+jwt", "JWT"),
      ),
    }),
    fc.record({
      kind: fc.constant("text" as const),
      at: fc.nat(),
      character: fc.constantFrom("A", "b", "0", "-", "_", ".", "=", "+", "/", " "),
    }),
    fc.record({ kind: fc.constant("signer" as const), index: fc.nat({ max: KEYS.length - 1 }) }),
  );
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...KEYS), mutation, async (key, change) => {
      const payload: Record<string, unknown> = { jti: "p", htm: "GET", htu: HTU, iat: NOW_S, ath: "ath" };
      const header: Record<string, unknown> = { typ: "dpop+jwt", alg: key.alg, jwk: key.jwk };
      if (change.kind === "payload") payload[change.name] = change.value;
      if (change.kind === "header") header[change.name] = change.value;
      let proof = signJws(change.kind === "signer" ? (KEYS[change.index] ?? key) : key, header, payload);
      if (change.kind === "text") {
        const at = change.at % proof.length;
        proof = proof.slice(0, at) + change.character + proof.slice(at + 1);
      }
      // Stricter here, on purpose: `nbf` and `exp` must be numbers in our own window, and a URI that the WHATWG parser
      // would have to repair is refused. jose has no leeway for `nbf`; here clocks may differ by `max_ahead_s`.
      if (change.kind === "payload" && (change.name === "exp" || change.name === "nbf" || change.name === "htu")) {
        if (typeof change.value !== "string" || change.name !== "htu") return;
      }
      const expected = { ...EXPECTED, jkt: key.thumbprint };
      const fast = outcome(proof, expected) === "ok";
      if (fast) accepted++;
      assert.equal(fast, await joseAccepts(proof, expected), proof);
    }),
    { numRuns: 300 },
  );
  assert.ok(accepted > 30, "the property must see accepted proofs too");
});
