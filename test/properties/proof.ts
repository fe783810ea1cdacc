// In: DPoP proofs, valid and forged in one or a few ways. Out: the properties of the proof verifier.
// The model: the checks of RFC 9449 section 4.3, written plainly one after the other, with jose for the signature.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as dpop from "dpop";
import fc from "fast-check";
import * as jose from "jose";
import { normaliseHtu } from "../../src/token/normalise-htu.ts";
import { createProofVerifier, type ExpectedProof } from "../../src/token/proof-verifier.ts";
import { attachReplayTable, createReplayTable } from "../../src/token/replay-table.ts";
import { athOf, countingReplay, NOW_MS, PROOF } from "../unit/token/token-fixtures.ts";
import { nodesOf, readJson } from "./json-reader.ts";
import { withNormalEscapes } from "./normal-escapes.ts";
import { mutatedProofs, PROOF_CORPUS, type PresentedProof, presentedProofs } from "./proof-inputs.ts";
import { ACCEPTED, property } from "./property.ts";

const STARTED_AT_MS = NOW_MS - 3_600_000;
const MODULES = [
  "token/proof-verifier",
  "lib/parse-compact-jws",
  "lib/strict-json",
  "lib/public-key",
  "token/normalise-htu",
].map((name) => `src/${name}.ts`);

export const PROOFS = [
  property<PresentedProof>({
    name: "proof.forged",
    says: "a proof is accepted only if jose and every check of RFC 9449 section 4.3 accept it too, and never twice",
    inputs: presentedProofs,
    check: checkForged,
    isAsync: true,
    runs: 400,
  }),
  property<PresentedProof>({
    name: "proof.bytes",
    says: "no change of its bytes turns a proof into another one that is accepted",
    inputs: mutatedProofs,
    check: checkForged,
    isAsync: true,
    runs: 1000,
    guide: { corpus: PROOF_CORPUS, textOf: ({ proof }) => proof, modules: MODULES },
  }),
  property<ClientCall>({
    name: "proof.client",
    says: "a proof that the public `dpop` client makes for a request is accepted for it once, and for no other request",
    inputs: fc.record({
      alg: fc.constantFrom("ES256", "Ed25519", "RS256", "PS256"),
      method: fc.constantFrom("GET", "POST", "DELETE", "OPTIONS"),
      url: fc
        .tuple(
          fc.constantFrom("https://gateway.example", "http://127.0.0.1:8080", "https://gateway.example:8443"),
          fc.array(fc.constantFrom(..."a J42 %20 %C3%A4 %2F x.y ~ ; @ b-c".split(" ")), { maxLength: 5 }),
          fc.constantFrom("", "?", "?a=1&b=%26"),
        )
        .map(([origin, segments, query]) => `${origin}/${segments.join("/")}${query}`),
      token: fc.stringMatching(/^[A-Za-z0-9._~+/-]{1,40}$/),
    }),
    check: checkClient,
    isAsync: true,
    runs: 60,
  }),
];

/** For a verifier of one input: a large cache costs more than all checks together. */
const FRESH = { proof: PROOF, keyCacheEntries: 1 };

/** One that lives as long as the process, so that what it remembers of headers is under test too. */
const lasting = createProofVerifier({
  proof: PROOF,
  keyCacheEntries: 10_000,
  replay: countingReplay(),
  startedAtMs: STARTED_AT_MS,
});

function withReplay(nowMs: number, startedAtMs: number) {
  const { max_age_s, max_ahead_s } = PROOF;
  const times = { maxAgeMs: max_age_s * 1000, maxAheadMs: max_ahead_s * 1000, nowMs };
  const replay = attachReplayTable(createReplayTable({ slots: 4096, ...times }), randomBytes(32));
  return createProofVerifier({ ...FRESH, replay, startedAtMs });
}

async function checkForged({ proof, expected, nowMs }: PresentedProof): Promise<string> {
  const result = lasting.verify(proof, expected, nowMs);
  if (!result.ok) {
    const fresh = createProofVerifier({ ...FRESH, replay: countingReplay(), startedAtMs: STARTED_AT_MS });
    assert.equal(fresh.verify(proof, expected, nowMs).ok, false, "what it remembered refused a good proof");
    return result.error.reason;
  }
  assert.equal(await faultOf(proof, expected, nowMs), undefined);
  const verifier = withReplay(nowMs, STARTED_AT_MS);
  assert.ok(verifier.verify(proof, expected, nowMs).ok);
  for (const again of [proof, otherSignature(proof), proof]) {
    assert.equal(verifier.verify(again, expected, nowMs).ok, false, "accepted twice");
  }
  return ACCEPTED;
}

/** RFC 9449 section 4.3, in its order. Undefined where nothing speaks against the proof. */
async function faultOf(proof: string, expected: ExpectedProof, nowMs: number): Promise<string | undefined> {
  const parts = proof.split(".");
  if (parts.length !== 3) return "2: not a JWT";
  for (const part of parts) {
    if (Buffer.from(part, "base64url").toString("base64url") !== part) return "2: not in canonical base64url";
  }
  for (const part of parts.slice(0, 2)) {
    const tree = readJson(Buffer.from(part, "base64url").toString("utf8"));
    if (tree?.kind !== "object") return "2: not a JSON object";
    for (const { node } of nodesOf(tree)) {
      const names = node.kind === "object" ? node.members.map(([name]) => name) : [];
      if (new Set(names).size !== names.length) return "2: a member stands twice";
    }
  }
  try {
    const { payload, protectedHeader } = await jose.jwtVerify(proof, jose.EmbeddedJWK, {
      algorithms: [...PROOF.algorithms],
      currentDate: new Date(nowMs),
      clockTolerance: PROOF.max_ahead_s,
    });
    const { jwk = {}, typ = "" } = protectedHeader;
    if (typ.toLowerCase().replace(/^application\//, "") !== "dpop+jwt") return "4: another type";
    if (["d", "k", "p", "q", "priv"].some((member) => member in jwk)) return "7: a private key";
    const { jti, htm, htu, iat, exp, ath } = payload;
    if (typeof jti !== "string" || jti === "" || jti.length > 256) return "3: no usable jti";
    if (htm !== expected.method) return "8: another method";
    if (typeof htu !== "string" || !isSameUri(htu, expected.htu)) return "9: another URI";
    if (typeof iat !== "number") return "3: no iat";
    if (iat * 1000 < nowMs - PROOF.max_age_s * 1000 || iat * 1000 > nowMs + PROOF.max_ahead_s * 1000) return "11: iat";
    if (iat * 1000 <= STARTED_AT_MS) return "11: made before the start";
    if (exp !== undefined && exp * 1000 <= nowMs) return "11: expired";
    if (ath !== expected.ath) return "12: another token";
    if ((await jose.calculateJwkThumbprint(jwk)) !== expected.jkt) return "12: another key";
    return undefined;
  } catch (error) {
    return `6: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** By the WHATWG parser, for a URI that it need not mend to be the expected one. */
function isSameUri(htu: string, expected: string): boolean {
  if (!URL.canParse(htu)) return false;
  const url = new URL(htu);
  return url.username + url.password === "" && withNormalEscapes(url.origin + url.pathname) === expected;
}

/** ECDSA has a second signature for each, which anyone can compute: (r, n - s). */
function otherSignature(proof: string): string {
  const [header = "", payload = "", signature = ""] = proof.split(".");
  const { alg } = JSON.parse(Buffer.from(header, "base64url").toString()) as { alg: string };
  if (alg !== "ES256") return proof;
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const bytes = Buffer.from(signature, "base64url");
  const s = BigInt(`0x${bytes.toString("hex", 32)}`);
  const other = (order - s).toString(16).padStart(64, "0");
  return `${header}.${payload}.${Buffer.concat([bytes.subarray(0, 32), Buffer.from(other, "hex")]).toString("base64url")}`;
}

interface ClientCall {
  readonly alg: "ES256" | "Ed25519" | "RS256" | "PS256";
  readonly method: string;
  readonly url: string;
  readonly token: string;
}

const clientKeys = new Map<ClientCall["alg"], Promise<{ pair: dpop.KeyPair; jkt: string }>>();

function clientKeyOf(alg: ClientCall["alg"]) {
  const made = clientKeys.get(alg) ?? makeClientKey(alg);
  clientKeys.set(alg, made);
  return made;
}

async function makeClientKey(alg: ClientCall["alg"]) {
  const pair = await dpop.generateKeyPair(alg);
  return { pair, jkt: await jose.calculateJwkThumbprint(await jose.exportJWK(pair.publicKey)) };
}

async function checkClient({ alg, method, url, token }: ClientCall): Promise<string> {
  const { pair, jkt } = await clientKeyOf(alg);
  const htu = normaliseHtu(url);
  assert.ok(htu !== undefined);
  const proof = await dpop.generateProof(pair, url, method, undefined, token);
  const nowMs = Date.now();
  const verifier = withReplay(nowMs, 0);
  const expected: ExpectedProof = { method, htu, ath: athOf(token), jkt };
  const others: Partial<ExpectedProof>[] = [
    { method: `${method}X` },
    { htu: `${htu}x` },
    { htu: htu.replace(/^http/, "https").replace("httpss", "http") },
    { ath: athOf(`${token}x`) },
    { jkt: athOf(jkt) },
  ];
  for (const other of others) assert.equal(verifier.verify(proof, { ...expected, ...other }, nowMs).ok, false);
  assert.equal(verifier.verify(proof, expected, nowMs + (PROOF.max_age_s + 1) * 1000).ok, false);
  const first = verifier.verify(proof, expected, nowMs);
  assert.ok(first.ok, first.ok ? "" : first.error.reason);
  assert.equal(verifier.verify(proof, expected, nowMs).ok, false);
  return ACCEPTED;
}
