import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseJson, survives } from "../../../src/action/parse-json.ts";

const DEPTH = 64;
const bytes = (text: string): Uint8Array => Buffer.from(text, "utf8");

function reasonOf(body: string | Uint8Array, depthMax = DEPTH): string {
  const parsed = parseJson(typeof body === "string" ? bytes(body) : body, depthMax);
  return parsed.ok ? "" : parsed.error.reason;
}

test("plain JSON is its value and its own text, byte for byte", () => {
  const text = ' { "a" : [1, -2.5, 1e2, true, null, "\\u00e4\\ud83d\\ude00"], "b": {"a": ""} }\n';
  const parsed = parseJson(bytes(text), DEPTH);
  assert.ok(parsed.ok);
  assert.deepEqual(parsed.value.value, JSON.parse(text));
  assert.equal(parsed.value.text, text);
});

const CASES: readonly (readonly [string, string])[] = [
  ['{"a":1,"a":2}', "body.duplicate_key"],
  ['{"a":1,"A":2}', "body.duplicate_key"],
  ['{"a":1,"\\u0061":2}', "body.duplicate_key"],
  ['{"x":{"a":1,"b":[{"c":1}],"a":2}}', "body.duplicate_key"],
  ['[{"a":{"b":1},"a":2}]', "body.duplicate_key"],
  ['{"score":1,"\u017fcore":2}', "body.duplicate_key"],
  ['{"k":1,"\u212a":2}', "body.duplicate_key"],
  ['{"\u00e4":1,"\u00c4":2}', "body.duplicate_key"],
  ['{"__proto__":1}', "body.forbidden_key"],
  ['{"a":{"\\u005f_proto__":{}}}', "body.forbidden_key"],
  ['{"__PROTO__":1}', "body.forbidden_key"],
  ["9007199254740993", "body.number"],
  ["1e400", "body.number"],
  ["-1e400", "body.number"],
  ["1e-400", "body.number"],
  ["-0", "body.number"],
  ["-0.0", "body.number"],
  ["-0e1", "body.number"],
  ["0.1000000000000000055", "body.number"],
  ["123456789012345678901234567890", "body.number"],
  ["{", "body.malformed"],
  ["", "body.malformed"],
  ["{}{}", "body.malformed"],
  ["{'a':1}", "body.malformed"],
  ['{"a":1,}', "body.malformed"],
  ["[1,]", "body.malformed"],
  ["NaN", "body.malformed"],
  ["Infinity", "body.malformed"],
  ["01", "body.malformed"],
  ["+1", "body.malformed"],
  [".5", "body.malformed"],
  ["1.", "body.malformed"],
  ["0x10", "body.malformed"],
  ["// c\n1", "body.malformed"],
  ['"\\ud800"', "body.malformed"],
  ['"\\udc00\\ud800"', "body.malformed"],
  ['{"\\ud800":1}', "body.malformed"],
  ['"\\x41"', "body.malformed"],
  ['"a\nb"', "body.malformed"],
  ['"a', "body.malformed"],
  ["\ufeff{}", "body.malformed"],
];
for (const [text, reason] of CASES) {
  test(`H10 ${JSON.stringify(text)} is refused as ${reason}`, () => {
    assert.equal(reasonOf(text), reason);
  });
}

test("H10 bytes that are not UTF-8 are refused, overlong and surrogate forms too", () => {
  for (const body of [
    [0xff],
    [0x22, 0xc0, 0xae, 0x22],
    [0x22, 0xed, 0xa0, 0x80, 0x22],
    [0xff, 0xfe, 0x7b, 0],
    [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22],
  ]) {
    assert.equal(reasonOf(Uint8Array.from(body)), "body.malformed");
  }
});

test("H10 depth has a limit, in objects and arrays alike, and 10,000 levels cost no more than that", () => {
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  assert.equal(reasonOf(nested(DEPTH)), "");
  assert.equal(reasonOf(nested(DEPTH + 1)), "body.too_deep");
  assert.equal(reasonOf('{"a":'.repeat(10_000) + "1" + "}".repeat(10_000)), "body.too_deep");
  assert.equal(reasonOf(`{"a":${nested(DEPTH)}}`), "body.too_deep");
});

test("the same name in two objects is no duplicate", () => {
  assert.equal(reasonOf('[{"a":1},{"a":2},{"b":{"a":1},"a":3}]'), "");
});

test("numbers that a double carries unchanged are accepted", () => {
  for (const number of [
    "0",
    "-1",
    "1.0",
    "1.50",
    "1e2",
    "1E+2",
    "1e21",
    "0.1",
    "9007199254740991",
    "9007199254740992",
    "5e-324",
    "0.30000000000000004",
    "0.0",
    "0e9",
    "1000000000000000000000",
  ]) {
    assert.ok(survives(number), number);
    assert.equal(reasonOf(number), "");
  }
});

test("what is accepted is what JSON.parse reads, and nothing that JSON.parse refuses is accepted", () => {
  const piece = fc.constantFrom(
    ...'{}[],: \n\t"\\01-.eEu'.split(""),
    '"a"',
    '"A"',
    "true",
    "null",
    "1e5",
    "-0",
    '\\"',
    "\\u0061",
    '{"a":',
    "[1]",
    "ä",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      const text = pieces.join("");
      const parsed = parseJson(bytes(text), DEPTH);
      if (parsed.ok) assert.deepEqual(parsed.value.value, JSON.parse(text));
    }),
    { numRuns: 3000 },
  );
});

test("every JSON value that I-JSON can carry is accepted, printed in whatever way", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), fc.constantFrom(0, 1, 2), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      const parsed = parseJson(bytes(text), DEPTH);
      if (parsed.ok) assert.deepEqual(parsed.value.value, JSON.parse(text));
      else assert.match(parsed.error.reason, /^body\.(?:duplicate_key|forbidden_key|malformed|number)$/);
    }),
  );
});

test("an object with a name twice is never accepted, however the name is written", () => {
  const escaped = (name: string): string =>
    name
      .split("")
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
      .join("");
  const name = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(name, fc.jsonValue(), fc.boolean(), fc.boolean(), (text, between, escape, upper) => {
      const second = upper ? text.toUpperCase() : text;
      const written = escape ? `"${escaped(second)}"` : JSON.stringify(second);
      const body = `{${JSON.stringify(text)}:1,"between-the-two":${JSON.stringify(between)},${written}:2}`;
      assert.notEqual(reasonOf(body), "");
    }),
  );
});

test("of an object with any number of names none may come again, and the next object begins with none", () => {
  for (const count of [1, 7, 8, 9, 10, 40]) {
    const names = Array.from({ length: count }, (_, index) => `"name-${index}":${index}`);
    const whole = `{${names.join(",")}}`;
    assert.equal(reasonOf(`[${whole},${whole},{"x":${whole}}]`), "", String(count));
    for (const index of [0, Math.floor(count / 2), count - 1]) {
      assert.equal(reasonOf(`[${whole},{${names.join(",")},"Name-${index}":0}]`), "body.duplicate_key", `${count}`);
    }
  }
});
