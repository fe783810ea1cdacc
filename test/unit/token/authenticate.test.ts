import assert from "node:assert/strict";
import { test } from "node:test";
import { createAuthenticator } from "../../../src/token/authenticate.ts";
import type { AuthDenial, CredentialFacts } from "../../../src/token/authenticate.ts";
import type { CertificateFacts } from "../../../src/token/certificate-binding.ts";
import { createFailedProofs } from "../../../src/token/failed-proofs.ts";
import { createKeySet } from "../../../src/token/key-set.ts";
import { createNonceService } from "../../../src/token/nonce-service.ts";
import { createProofVerifier } from "../../../src/token/proof-verifier.ts";
import { createTokenVerifier } from "../../../src/token/token-verifier.ts";
import {
  AGENT_KEY,
  athOf,
  countingReplay,
  HTU,
  ISSUER,
  JWKS,
  makeKey,
  makeProof,
  makeToken,
  NOW_MS,
  PROOF,
} from "./token-fixtures.ts";

const NONCES = createNonceService(Buffer.alloc(32, 3));
const X5T = athOf("a certificate");
const CERTIFICATE: CertificateFacts = {
  thumbprint: X5T,
  chain: [],
  validFromMs: NOW_MS - 1000,
  validToMs: NOW_MS + 1000,
  authorized: true,
};
const PEER = "192.0.2.1";
const FAILURES_MAX = 3;
const ALGS = `algs="ES256 EdDSA"`;

function authenticator(nonce: "off" | "required" = "off", replay = countingReplay()) {
  const keySets = new Map([[ISSUER.issuer, createKeySet({ jwks: JWKS })]]);
  const tokens = createTokenVerifier({
    issuers: [ISSUER],
    keySets,
    limits: { token_bytes_max: 16_384, token_cache_entries: 10 },
  });
  const proofs = createProofVerifier({
    proof: { ...PROOF, nonce },
    replay,
    startedAtMs: 0,
    nonces: NONCES,
    keyCacheEntries: 100,
  });
  const failures = createFailedProofs(FAILURES_MAX);
  return createAuthenticator({ tokens, proofs, failures, algorithms: ["ES256", "EdDSA"], nonces: NONCES });
}

const TOKEN = makeToken();
const PROOF_OF_TOKEN = makeProof({ ath: athOf(TOKEN) });
const X5T_TOKEN = makeToken({ cnf: { "x5t#S256": X5T } });
const BOTH_TOKEN = makeToken({ cnf: { jkt: AGENT_KEY.thumbprint, "x5t#S256": X5T } });

function run(facts: Partial<CredentialFacts>, authenticate = authenticator()) {
  const result = authenticate(
    { authorization: [], dpop: [], certificate: undefined, sourceIp: PEER, method: "GET", htu: HTU, ...facts },
    NOW_MS,
  );
  assert.ok(!(result instanceof Promise));
  return result;
}

function denial(facts: Partial<CredentialFacts>, authenticate = authenticator()): AuthDenial {
  const result = run(facts, authenticate);
  assert.ok(!result.ok);
  return result.error;
}

test("a DPoP-bound token with its proof becomes an Agent, whatever the case of the scheme", () => {
  for (const scheme of ["DPoP", "dpop", "DPOP "]) {
    const result = run({ authorization: [`${scheme} ${TOKEN}`], dpop: [PROOF_OF_TOKEN] });
    assert.ok(result.ok && result.value.binding === "dpop");
  }
});

test("without credentials the challenge names the scheme and its algorithms, and no error", () => {
  assert.deepEqual(denial({}), { reason: "credentials.missing", wwwAuthenticate: `DPoP ${ALGS}` });
  assert.equal(denial({ dpop: [PROOF_OF_TOKEN] }).reason, "credentials.missing");
});

test("H04: two schemes, two Authorization or two DPoP headers are refused", () => {
  const dpop = [PROOF_OF_TOKEN];
  const twice = denial({ authorization: [`DPoP ${TOKEN}`, `DPoP ${TOKEN}`], dpop });
  assert.deepEqual(twice, { reason: "credentials.two_schemes", wwwAuthenticate: undefined });
  assert.equal(denial({ authorization: [`DPoP ${TOKEN}, Bearer ${TOKEN}`], dpop }).reason, "credentials.two_schemes");
  assert.equal(denial({ authorization: [`DPoP ${TOKEN}`], dpop: [...dpop, ...dpop] }).reason, "proof.duplicate");
  assert.equal(
    denial({ authorization: [`DPoP ${TOKEN}`], dpop: [`${dpop[0]}, ${dpop[0]}`] }).reason,
    "proof.malformed",
  );
  assert.equal(
    denial({ authorization: [`Bearer ${X5T_TOKEN}`], dpop, certificate: CERTIFICATE }).reason,
    "credentials.two_schemes",
  );
});

test("other schemes and malformed values are refused", () => {
  for (const value of ["", "DPoP", "DPoP ", `DPoP${TOKEN}`, `DPoP ${TOKEN} x`, "Basic YTpi", `DPoP "${TOKEN}"`]) {
    assert.equal(denial({ authorization: [value], dpop: [PROOF_OF_TOKEN] }).reason, "credentials.malformed", value);
  }
});

test("H09: a bound token as Bearer is refused, with a challenge to use DPoP", () => {
  for (const dpop of [[], [PROOF_OF_TOKEN]]) {
    const refused = denial({ authorization: [`Bearer ${TOKEN}`], dpop, certificate: CERTIFICATE });
    assert.deepEqual(refused, {
      reason: "credentials.bound_token_as_bearer",
      wwwAuthenticate: `DPoP error="invalid_token", ${ALGS}`,
    });
  }
});

test("H07: a missing proof, and a proof of another key or token, are refused with `invalid_dpop_proof`", () => {
  const authorization = [`DPoP ${TOKEN}`];
  const wwwAuthenticate = `DPoP error="invalid_dpop_proof", ${ALGS}`;
  assert.deepEqual(denial({ authorization }), { reason: "proof.missing", wwwAuthenticate });
  assert.deepEqual(denial({ authorization, dpop: [makeProof({ ath: athOf(TOKEN) }, {}, makeKey())] }), {
    reason: "proof.key_mismatch",
    wwwAuthenticate,
  });
  assert.deepEqual(denial({ authorization, dpop: [makeProof({ ath: athOf(X5T_TOKEN) })] }), {
    reason: "proof.token_hash",
    wwwAuthenticate,
  });
});

test("a bad token is `invalid_token`, and its proof is not looked at", () => {
  const replay = countingReplay();
  const refused = denial({ authorization: [`DPoP ${TOKEN}x`], dpop: [PROOF_OF_TOKEN] }, authenticator("off", replay));
  assert.equal(refused.wwwAuthenticate, `DPoP error="invalid_token", ${ALGS}`);
  assert.equal(replay.claims, 0);
});

test("H09: a certificate-bound token comes as Bearer, on its own certificate only", () => {
  const authorization = [`Bearer ${X5T_TOKEN}`];
  const result = run({ authorization, certificate: CERTIFICATE });
  assert.ok(result.ok && result.value.binding === "mtls" && result.value.keyThumbprint === X5T);
  const cases: [string, CertificateFacts | undefined][] = [
    ["certificate.missing", undefined],
    ["certificate.mismatch", { ...CERTIFICATE, thumbprint: athOf("another") }],
    ["certificate.untrusted", { ...CERTIFICATE, authorized: false }],
    ["certificate.expired", { ...CERTIFICATE, validToMs: NOW_MS - 1 }],
    ["certificate.expired", { ...CERTIFICATE, validFromMs: NOW_MS + 1 }],
    ["certificate.expired", { ...CERTIFICATE, validToMs: Number.NaN }],
  ];
  for (const [reason, certificate] of cases) assert.equal(denial({ authorization, certificate }).reason, reason);
  const asDpop = denial({
    authorization: [`DPoP ${X5T_TOKEN}`],
    dpop: [makeProof({ ath: athOf(X5T_TOKEN) })],
    certificate: CERTIFICATE,
  });
  assert.equal(asDpop.reason, "token.unbound");
});

test("a token with both bindings needs both, and a missing certificate uses up no replay slot", () => {
  const replay = countingReplay();
  const authenticate = authenticator("off", replay);
  const facts = { authorization: [`DPoP ${BOTH_TOKEN}`], dpop: [makeProof({ ath: athOf(BOTH_TOKEN) })] };
  assert.equal(denial(facts, authenticate).reason, "certificate.missing");
  assert.equal(replay.claims, 0);
  assert.ok(run({ ...facts, certificate: CERTIFICATE }, authenticate).ok);
  assert.equal(
    denial({ authorization: [`Bearer ${BOTH_TOKEN}`], certificate: CERTIFICATE }).reason,
    "credentials.bound_token_as_bearer",
  );
  assert.equal(denial({ ...facts, dpop: [], certificate: CERTIFICATE }).reason, "proof.missing");
});

test("a required nonce is given with the challenge, and the proof that carries it is accepted", () => {
  const authenticate = authenticator("required");
  const authorization = [`DPoP ${TOKEN}`];
  const refused = denial({ authorization, dpop: [PROOF_OF_TOKEN] }, authenticate);
  assert.equal(refused.wwwAuthenticate, `DPoP error="use_dpop_nonce", ${ALGS}`);
  assert.ok(refused.dpopNonce);
  assert.ok(
    run({ authorization, dpop: [makeProof({ ath: athOf(TOKEN), nonce: refused.dpopNonce })] }, authenticate).ok,
  );
});

test("who asks for a nonce is known once its key has proven a caller here, and not before", () => {
  const authenticate = authenticator("required");
  const authorization = [`DPoP ${TOKEN}`];
  const first = denial({ authorization, dpop: [PROOF_OF_TOKEN] }, authenticate);
  assert.equal(first.known, false);
  run({ authorization, dpop: [makeProof({ ath: athOf(TOKEN), nonce: first.dpopNonce })] }, authenticate);
  assert.equal(denial({ authorization, dpop: [PROOF_OF_TOKEN] }, authenticate).known, true);
  assert.equal(denial({ authorization, dpop: ["garbage"] }, authenticate).known, undefined);
});

test("when the issuer's keys must be fetched the answer comes later, and an unreachable issuer is no 401", async () => {
  const keys = createKeySet({
    url: "https://i.example/",
    cooldownMs: 1000,
    maxAgeMs: 1000,
    fetchText: () => Promise.reject(new Error("down")),
  });
  const tokens = createTokenVerifier({
    issuers: [ISSUER],
    keySets: new Map([[ISSUER.issuer, keys]]),
    limits: { token_bytes_max: 16_384, token_cache_entries: 10 },
  });
  const proofs = createProofVerifier({ proof: PROOF, replay: countingReplay(), startedAtMs: 0, keyCacheEntries: 100 });
  const authenticate = createAuthenticator({ tokens, proofs, failures: createFailedProofs(1), algorithms: ["ES256"] });
  const facts = {
    authorization: [`DPoP ${TOKEN}`],
    dpop: [PROOF_OF_TOKEN],
    certificate: undefined,
    sourceIp: PEER,
    method: "GET",
    htu: HTU,
  };
  const result = await authenticate(facts, NOW_MS);
  assert.ok(!result.ok);
  assert.equal(result.error.reason, "token.keys_unavailable");
  assert.equal(result.error.wwwAuthenticate, undefined);
});

test("beyond the failed signatures of a peer nothing of it is verified, until its bucket fills again", () => {
  const authenticate = authenticator();
  const forged = { authorization: [`DPoP ${TOKEN.slice(0, -4)}AAAA`], dpop: [PROOF_OF_TOKEN] };
  for (let failed = 0; failed < FAILURES_MAX; failed++) {
    assert.equal(denial(forged, authenticate).reason, "token.signature");
  }
  const genuine = { authorization: [`DPoP ${TOKEN}`], dpop: [PROOF_OF_TOKEN] };
  const refused = denial(genuine, authenticate);
  assert.deepEqual([refused.reason, refused.wwwAuthenticate], ["proof.peer_failures", undefined]);
  assert.equal(denial(forged, authenticate).reason, "proof.peer_failures");
  assert.ok(run({ ...genuine, sourceIp: "192.0.2.2" }, authenticate).ok, "another peer");
});

test("a peer over its limit is verified where the token, the key or the certificate was proven here before", () => {
  const authenticate = authenticator();
  assert.ok(run({ authorization: [`DPoP ${TOKEN}`], dpop: [PROOF_OF_TOKEN] }, authenticate).ok);
  const forged = (part: string) => ({ authorization: [`DPoP ${TOKEN.slice(0, -4)}${part}`], dpop: ["a.b.c"] });
  for (let failed = 0; failed < FAILURES_MAX; failed++) denial(forged("AAAA"), authenticate);
  assert.equal(denial(forged("AAAA"), authenticate).reason, "proof.peer_failures");
  const proof = (token: string) => makeProof({ jti: crypto.randomUUID(), ath: athOf(token) });
  assert.ok(run({ authorization: [`DPoP ${TOKEN}`], dpop: [proof(TOKEN)] }, authenticate).ok, "a known token");
  const renewed = makeToken({ jti: "renewed" });
  assert.ok(run({ authorization: [`DPoP ${renewed}`], dpop: [proof(renewed)] }, authenticate).ok, "a known key");
  assert.ok(run({ authorization: [`Bearer ${X5T_TOKEN}`], certificate: CERTIFICATE }, authenticate).ok, "mutual TLS");
  const stranger = { ...CERTIFICATE, authorized: false };
  const unknown = makeToken({ jti: "unknown", cnf: { "x5t#S256": X5T } });
  assert.equal(
    denial({ authorization: [`Bearer ${unknown}`], certificate: stranger }, authenticate).reason,
    "proof.peer_failures",
  );
});

test("what is refused before any signature is verified never counts as a failed proof", () => {
  const authenticate = authenticator();
  const cheap: Partial<CredentialFacts>[] = [
    {},
    { authorization: ["DPoP garbage"], dpop: ["garbage"] },
    { authorization: [`DPoP ${makeToken({ exp: NOW_MS / 1000 - 3600, iat: NOW_MS / 1000 - 4000 })}`], dpop: ["a.b.c"] },
    { authorization: [`DPoP ${makeToken({ aud: "https://other.example" })}`], dpop: ["a.b.c"] },
    { authorization: [`DPoP ${makeToken({}, { kid: "nobody" })}`], dpop: ["a.b.c"] },
  ];
  for (let round = 0; round < FAILURES_MAX * 2; round++) {
    for (const facts of cheap) assert.notEqual(denial(facts, authenticate).reason, "proof.peer_failures");
  }
  assert.ok(run({ authorization: [`DPoP ${TOKEN}`], dpop: [PROOF_OF_TOKEN] }, authenticate).ok);
});
