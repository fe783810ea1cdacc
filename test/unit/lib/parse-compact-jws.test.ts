import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { decodeBase64url, parseCompactJws, parseJwsPayload } from "../../../src/lib/parse-compact-jws.ts";
import { parseStrictObject } from "../../../src/lib/strict-json.ts";
import { encode } from "../token/token-fixtures.ts";

const HEADER = encode({ alg: "ES256" });
const problemOf = (text: string, max = 1000) => {
  const parsed = parseCompactJws(text, max);
  return parsed.ok ? "ok" : parsed.error;
};

test("a compact JWS is parsed into its decoded parts", () => {
  const parsed = parseCompactJws(`${HEADER}.Zm9v.AQID`, 1000);
  assert.ok(parsed.ok);
  assert.deepEqual(parsed.value.header, { alg: "ES256" });
  assert.equal(parsed.value.payload.toString(), "foo");
  assert.equal(parsed.value.signingInput.toString(), `${HEADER}.Zm9v`);
  assert.deepEqual([...parsed.value.signature], [1, 2, 3]);
});

test("H08: everything but three canonical base64url parts is malformed", () => {
  for (const text of [
    "",
    ".",
    "..",
    `${HEADER}.Zm9v`,
    `${HEADER}.Zm9v.`,
    `.Zm9v.AQID`,
    `${HEADER}.Zm9v.AQID.AQID`,
    `${HEADER}.Zm9v.AQID=`,
    ` ${HEADER}.Zm9v.AQID`,
    `${HEADER}.Zm9v.AQID `,
    `${HEADER}.Zm9v.AQ+/`,
    `${HEADER}.Zm9.AQID`,
    `${HEADER}.Z.AQID`,
    `${HEADER}.Zm9v.AR`,
    `${HEADER}\n.Zm9v.AQID`,
    `${encode("[]")}.Zm9v.AQID`,
    `${encode("null")}.Zm9v.AQID`,
    `${encode('{"alg":"ES256"')}.Zm9v.AQID`,
    `${encode('{"alg":"ES256","alg":"none"}')}.Zm9v.AQID`,
  ]) {
    assert.equal(problemOf(text), "malformed", text);
  }
});

test("H08: `crit` and `b64` are refused whatever they hold, and a large text is refused unread", () => {
  for (const extra of [{ crit: ["exp"] }, { crit: [] }, { b64: false }, { b64: true, crit: ["b64"] }]) {
    assert.equal(problemOf(`${encode({ alg: "ES256", ...extra })}.Zm9v.AQID`), "critical_header");
  }
  assert.equal(problemOf("x".repeat(1_048_576)), "too_large");
});

test("one byte string has exactly one accepted text", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 40 }),
      fc.nat(),
      fc.string({ unit: "binary", maxLength: 1 }),
      (bytes, at, other) => {
        const text = Buffer.from(bytes).toString("base64url");
        assert.deepEqual(decodeBase64url(text), Buffer.from(bytes));
        const place = text.length === 0 ? 0 : at % text.length;
        const changed = text.slice(0, place) + other + text.slice(place + 1);
        const decoded = decodeBase64url(changed);
        if (changed !== text && decoded !== undefined) assert.notDeepEqual(decoded, Buffer.from(bytes));
      },
    ),
  );
});

test("any JSON object survives the strict parse unchanged", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 })), (value) => {
      const text = JSON.stringify(value);
      assert.deepEqual(parseJwsPayload(encode(text)), JSON.parse(text));
    }),
  );
});

test("an object that names a member twice is refused at any depth, however the name is written", () => {
  fc.assert(
    fc.property(fc.string(), fc.jsonValue(), fc.integer({ min: 0, max: 5 }), (name, value, depth) => {
      const key = JSON.stringify(name);
      const units = Array.from({ length: name.length }, (_, at) => name.charCodeAt(at).toString(16).padStart(4, "0"));
      const escaped = `"${units.map((unit) => `\\u${unit}`).join("")}"`;
      const inner = `{${key}:1,${escaped}:${JSON.stringify(value)}}`;
      const text = `${'{"a":['.repeat(depth)}${inner}${"]}".repeat(depth)}`;
      JSON.parse(text);
      assert.equal(parseStrictObject(Buffer.from(text)), undefined);
    }),
  );
});

test("invalid UTF-8, a byte order mark and deep nesting are refused in bounded time", () => {
  assert.equal(parseStrictObject(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), undefined);
  assert.equal(parseStrictObject(Buffer.from('\ufeff{"a":1}')), undefined);
  assert.equal(parseStrictObject(Buffer.from(`{"a":${"[".repeat(10_000)}${"]".repeat(10_000)}}`)), undefined);
  assert.equal(parseStrictObject(Buffer.from('{"a":"\\')), undefined);
});

test("no text makes the parser throw", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void parseCompactJws(text, 100)));
  fc.assert(fc.property(fc.uint8Array(), (bytes) => void parseStrictObject(Buffer.from(bytes))));
});
