// In: keys made at start. Out: arbitraries of proofs as they are presented: valid, or forged in one or a few ways.
// Each input is whole (text, expectation and time), so a kept case is judged again without the keys that made it.
import fc from "fast-check";
import type { ExpectedProof } from "../../src/token/proof-verifier.ts";
import { encode, HTU, makeKey, makeProof, NOW_MS, NOW_S, signJws, type TestKey } from "../unit/token/token-fixtures.ts";
import { mutatedText } from "./mutated-text.ts";

export interface PresentedProof {
  readonly proof: string;
  readonly expected: ExpectedProof;
  readonly nowMs: number;
}

const KEYS = [
  ...(["ES256", "ES384", "Ed25519", "RS256", "PS256"] as const).map((alg) => makeKey(alg)),
  makeKey("ES256"),
];
const [KEY = makeKey()] = KEYS;
const OTHER = makeKey("ES256");

const EXPECTED: ExpectedProof = { method: "GET", htu: HTU, ath: "ath", jkt: KEY.thumbprint };

const odd = fc.oneof(
  fc.constantFrom<unknown>(null, true, "", 0, [], {}, ["GET"], { jti: "x" }, "GET ", "get", "POST", "ath", "ath=", "p"),
  fc.jsonValue({ maxDepth: 1 }),
);
const times = fc.oneof(
  fc.constantFrom(-3600, -61, -60.001, -60, -59.999, -1, 0, 0.5, 4.999, 5, 5.001, 6, 1e15).map((by) => NOW_S + by),
  fc.constantFrom<unknown>(0, -1, 1e300, String(NOW_S)),
);
const GATEWAY = "https://gateway.example";
const uris = fc.constantFrom(
  ...["?q=1", "#f", "/", "%20", ""].map((end) => HTU + end),
  ...["/jobs/./J42", "/jobs/%4A42", "/jobs/%4a42", "/x/../jobs/J42", "/jobs//J42", "/jobs%2FJ42", "\\jobs\\J42"].map(
    (path) => GATEWAY + path,
  ),
  ...["HTTPS://GATEWAY.example:443", "http://gateway.example", "https://u@gateway.example", "//gateway.example"].map(
    (origin) => `${origin}/jobs/J42`,
  ),
  ` ${HTU}`,
  HTU.toUpperCase(),
  `${GATEWAY}:0443/jobs/J42`,
  `${GATEWAY}./jobs/J42`,
);
const claim: fc.Arbitrary<readonly [string, unknown]> = fc.oneof(
  fc.tuple(fc.constantFrom("jti", "htm", "htu", "iat", "ath", "exp", "nbf", "nonce", "extra", "__proto__"), odd),
  fc.tuple(fc.constantFrom("iat", "exp", "nbf"), times),
  fc.tuple(fc.constant("exp"), fc.constantFrom(NOW_S - 1, NOW_S, NOW_S + 1)),
  fc.tuple(fc.constant("htu"), uris),
);
const parameter: fc.Arbitrary<readonly [string, unknown]> = fc.oneof(
  fc.tuple(fc.constantFrom("typ", "alg", "jwk", "crit", "b64", "kid", "jku", "x5c", "__proto__"), odd),
  fc.tuple(
    fc.constant("typ"),
    fc.constantFrom("dpop+jwt", "DPoP+JWT", "application/dpop+jwt", "at+jwt", "JWT", " dpop+jwt"),
  ),
  fc.tuple(
    fc.constant("alg"),
    fc.constantFrom("none", "HS256", "ES256", "ES384", "EdDSA", "Ed25519", "RS256", "PS256"),
  ),
);
/** What stands in a header for the key that signed. */
const keyForms = fc.constantFrom<(key: TestKey) => unknown>(
  ({ privateKey }) => privateKey.export({ format: "jwk" }),
  ({ jwk }) => ({ ...jwk, use: "enc" }),
  ({ jwk }) => ({ ...jwk, key_ops: ["sign"] }),
  ({ jwk }) => ({ ...jwk, kid: "k", alg: "ES512", extra: 1 }),
  ({ jwk }) => ({ ...jwk, x: `${String(jwk.x)}=` }),
  ({ jwk }) => ({ ...jwk, y: jwk.x }),
  () => OTHER.jwk,
);
/** Written into the text where JSON.stringify would not. */
const jsonTrick = fc.constantFrom<(json: string) => string>(
  (json) => json.replace("{", '{"jti":"other",'),
  (json) => json.replace(/}$/, ',"iat":1800000000}'),
  (json) => json.replace("{", '{"\\u0061th":"ath",'),
  (json) => ` ${json}\n`,
  (json) => `\ufeff${json}`,
  (json) => `${json}{}`,
  (json) => json.replace('"p1"', '"\\ud800"'),
);
const rarely = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });
const few = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<readonly T[]> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 2, arbitrary: fc.array(arbitrary, { maxLength: 2 }) });
const BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

export const presentedProofs: fc.Arbitrary<PresentedProof> = fc
  .record({
    key: fc.nat(KEYS.length - 1),
    signer: rarely(fc.nat(KEYS.length - 1)),
    header: few(parameter),
    keyForm: rarely(keyForms),
    payload: few(claim),
    headerTrick: rarely(jsonTrick),
    payloadTrick: rarely(jsonTrick),
    /** The last character of a part: its spare bits make it another text of the same bytes. */
    ending: rarely(fc.record({ part: fc.nat(2), add: fc.integer({ min: 1, max: 63 }) })),
    text: rarely(mutatedText(["."], `${BASE64URL}=+/ ,\n`.split(""))),
    expected: rarely(
      fc.oneof(
        fc.record({ method: fc.constantFrom("POST", "get", "") }),
        fc.record({ htu: fc.constantFrom("https://gateway.example/", "https://gateway.example/jobs/J43") }),
        fc.record({ ath: fc.constantFrom("other", "") }),
        fc.record({ jkt: fc.constantFrom(OTHER.thumbprint, "") }),
      ),
    ),
    nowShiftS: fc.oneof(
      { weight: 6, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: -70, max: 70 }) },
    ),
  })
  .map((plan) => {
    const key = KEYS[plan.key] ?? KEY;
    const header = { typ: "dpop+jwt", alg: key.alg, jwk: plan.keyForm?.(key) ?? key.jwk };
    const payload = { jti: "p1", htm: "GET", htu: HTU, iat: NOW_S, ath: "ath" };
    const headerJson = withMembers(header, plan.header);
    const payloadJson = withMembers(payload, plan.payload);
    let proof = signJws(
      plan.signer === null ? key : (KEYS[plan.signer] ?? key),
      plan.headerTrick?.(headerJson) ?? headerJson,
      plan.payloadTrick?.(payloadJson) ?? payloadJson,
    );
    if (plan.ending !== null) proof = withEnding(proof, plan.ending.part, plan.ending.add);
    if (plan.text !== null) proof = plan.text.length % 2 === 0 ? proof + plan.text : plan.text + proof;
    return {
      proof,
      expected: { ...EXPECTED, jkt: key.thumbprint, ...plan.expected },
      nowMs: NOW_MS + plan.nowShiftS * 1000,
    };
  });

/** Proofs by one key, all valid for one request; what grows here has reached new code. */
export const PROOF_CORPUS: string[] = [
  makeProof({}, {}, KEY),
  makeProof({ jti: "p2", nonce: "n", exp: NOW_S + 60 }, { typ: "application/dpop+jwt" }, KEY),
  makeProof({ htu: `${HTU}?a=b#c` }, { kid: "k" }, KEY),
  `${encode({ typ: "dpop+jwt", alg: "none", jwk: KEY.jwk })}.${encode({ jti: "p" })}.`,
  makeProof({}, {}, OTHER),
];

export const mutatedProofs: fc.Arbitrary<PresentedProof> = mutatedText(PROOF_CORPUS, [
  ...". .. = + / A e30".split(" ").concat(" ", encode({ jti: "x" }), encode("null")),
  ...PROOF_CORPUS.flatMap((proof) => proof.split(".")),
]).map((proof) => ({ proof, expected: EXPECTED, nowMs: NOW_MS }));

function withMembers(base: object, members: readonly (readonly [string, unknown])[]): string {
  // `Object.fromEntries` defines members, so `__proto__` becomes one.
  return JSON.stringify(Object.fromEntries([...Object.entries(base), ...members]));
}

function withEnding(proof: string, part: number, add: number): string {
  const parts = proof.split(".");
  const text = parts[part] ?? "";
  const last = BASE64URL.indexOf(text.at(-1) ?? "A");
  parts[part] = text.slice(0, -1) + BASE64URL[(last + add) % 64];
  return parts.join(".");
}
