// In: text that may be a compact JWS, and target URIs of proofs. Out: the properties of the two parsers.
// The models: jose for signatures, a plain base64url alphabet, the WHATWG parser for URIs.
import assert from "node:assert/strict";
import fc from "fast-check";
import * as jose from "jose";
import { normaliseHtu } from "../../src/token/normalise-htu.ts";
import { parseCompactJws } from "../../src/lib/parse-compact-jws.ts";
import { checkPublicJwk, importPublicKey } from "../../src/lib/public-key.ts";
import { createSignatureVerifier } from "../../src/lib/signature-verifier.ts";
import { makeKey, signJws } from "../unit/token/token-fixtures.ts";
import { readJson } from "./json-reader.ts";
import { mutatedText } from "./mutated-text.ts";
import { withNormalEscapes } from "./normal-escapes.ts";
import { ACCEPTED, property } from "./property.ts";
import { type JwsVector, jwsVectors } from "./seeds.ts";

const CHARS_MAX = 4096;
const WORDS = ". .. = == - _ + / A eyJ e30 eyJhbGciOiJub25lIn0 eyJjcml0IjpbXX0 %2e \u00e9"
  .split(" ")
  .concat(["", " ", "\n", "\0"]);

/** One of each algorithm, so that valid ones are never missing. */
const valid: readonly JwsVector[] = (["ES256", "ES384", "Ed25519", "RS256", "PS256"] as const).map((alg) => {
  const key = makeKey(alg);
  return { jws: signJws(key, { alg, typ: "at+jwt" }, { iss: "https://issuer.test", n: 1 }), jwk: key.jwk };
});
const signed = [...valid, ...jwsVectors()];
const corpus = signed.map(({ jws }) => jws);
const htuCorpus = [
  "https://gateway.example/jobs/J42",
  "HTTP://Gateway.Example:80/a/../b/./c/%7e%41?q#f",
  "https://gateway.example:443",
  "https://[::1]:8443/%C3%A4;v=1/",
  "https://gateway.example/%2e%2e/a%2Fb/",
  "https://gateway.example/a//b/..//c/..",
  "https://gateway.example:80/a",
  "http://gateway.example:443/a",
];
const HTU_WORDS = ". .. / // ; ? # @ : % %2e %2E %2f %2F %41 %7e %25 %00 %zz :443 :80 :0443 [::1] \\ \t".split(" ");

export const JWS = [
  property<string>({
    name: "jws.one-text",
    says: "a compact JWS that is accepted is the only text of its parts: no padding, no other alphabet, no spare bits",
    inputs: mutatedText(corpus, WORDS),
    check: checkOneText,
    runs: 1000,
    guide: { corpus, modules: ["src/lib/parse-compact-jws.ts", "src/lib/strict-json.ts"] },
  }),
  property<JwsVector>({
    name: "jws.signature",
    says: "a signature that the gateway takes, jose takes too, with the same key and for the same bytes",
    inputs: fc
      .tuple(
        fc.oneof(fc.constantFrom(...valid), fc.constantFrom(...signed)),
        fc.constantFrom(...signed),
        fc.nat(3),
        mutatedText(corpus, WORDS),
      )
      .map(([one, other, kind, text]) => ({
        jws: [one.jws, one.jws, text, swapPart(one.jws, other.jws)][kind] ?? one.jws,
        jwk: kind === 1 ? other.jwk : one.jwk,
      })),
    check: checkSignature,
    isAsync: true,
    runs: 300,
  }),
  property<string>({
    name: "jws.htu",
    says: "two target URIs with one normal form are one URI for the WHATWG parser, and a normal form is its own",
    inputs: fc.oneof(mutatedText(htuCorpus, HTU_WORDS), fc.webUrl({ withQueryParameters: true, withFragments: true })),
    check: checkHtu,
    runs: 1000,
    guide: { corpus: htuCorpus, modules: ["src/token/normalise-htu.ts"] },
  }),
];

function swapPart(left: string, right: string): string {
  const [header = "", payload = ""] = left.split(".");
  return `${header}.${payload}.${right.split(".")[2] ?? ""}`;
}

function checkOneText(text: string): string {
  const parsed = parseCompactJws(text, CHARS_MAX);
  if (!parsed.ok) return parsed.error;
  assert.ok(text.length <= CHARS_MAX);
  const parts = text.split(".");
  assert.equal(parts.length, 3);
  for (const part of parts) assert.match(part, /^[A-Za-z0-9_-]*$/);
  const { header, payload, signature, signingInput } = parsed.value;
  const [headerPart = "", payloadPart = "", signaturePart = ""] = parts;
  assert.equal(encodeBase64url(payload), payloadPart);
  assert.equal(encodeBase64url(signature), signaturePart);
  assert.equal(signingInput.toString("latin1"), `${headerPart}.${payloadPart}`);
  const json = Buffer.from(headerPart, "base64url").toString("utf8");
  assert.equal(encodeBase64url(Buffer.from(json)), headerPart, "the header is not UTF-8 in its one form");
  const tree = readJson(json);
  assert.ok(tree?.kind === "object");
  assert.ok(!tree.members.some(([name]) => name === "crit" || name === "b64"));
  assert.deepEqual(Object.keys(header).sort(), tree.members.map(([name]) => name).sort(), "a member is repeated");
  return ACCEPTED;
}

/** RFC 4648 section 5, by the table. */
function encodeBase64url(bytes: Uint8Array): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const [a = 0, b, c] = bytes.subarray(at, at + 3);
    const bits = (a << 16) | ((b ?? 0) << 8) | (c ?? 0);
    const chars = b === undefined ? 2 : c === undefined ? 3 : 4;
    for (let char = 0; char < chars; char++) text += alphabet[(bits >> (18 - 6 * char)) & 63];
  }
  return text;
}

async function checkSignature({ jws, jwk }: JwsVector): Promise<string> {
  const parsed = parseCompactJws(jws, 16_384);
  if (!parsed.ok) return parsed.error;
  const { alg } = parsed.value.header;
  const checked = checkPublicJwk(jwk);
  if (!checked.ok) return checked.error.detail;
  const key = importPublicKey(checked.value);
  if (!key.ok) return key.error.detail;
  const verify = typeof alg === "string" ? createSignatureVerifier(key.value, alg) : undefined;
  if (verify === undefined) return "the algorithm does not fit the key";
  if (!verify(parsed.value.signingInput, parsed.value.signature)) return "not the signature";
  const theirs = await jose.compactVerify(jws, await jose.importJWK({ ...jwk, alg } as jose.JWK));
  assert.ok(Buffer.from(theirs.payload).equals(parsed.value.payload));
  assert.equal(await jose.calculateJwkThumbprint(jwk as jose.JWK), checked.value.thumbprint);
  return ACCEPTED;
}

function checkHtu(htu: string): string {
  const normal = normaliseHtu(htu);
  if (normal === undefined) return "not a URI";
  assert.equal(normaliseHtu(normal), normal, "the normal form has another one");
  assert.match(normal, /^https?:\/\/[^/?#@\\\s]+\/[^?#\\\s]*$/);
  if (!URL.canParse(htu)) return "a host or port that no client can reach";
  const url = new URL(htu);
  assert.equal(new URL(normal).origin, url.origin);
  assert.ok(normal.endsWith(withNormalEscapes(url.pathname)), "another path");
  return ACCEPTED;
}
