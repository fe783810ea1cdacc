// In: bytes that may be JSON. Out: the properties of the two strict parsers, and of the policy input that bodies stand in.
// The model: a reader written from RFC 8259 alone (json-reader.ts), and the engine's own case folding of names.
import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import fc from "fast-check";
import { buildInput, createRouteInput } from "../../src/action/build-input.ts";
import { parseJson } from "../../src/action/parse-json.ts";
import { JSON_DEPTH_MAX, parseStrictObject } from "../../src/lib/strict-json.ts";
import { depthOf, isExactNumber, type JsonNode, nodesOf, readJson, valueOf } from "./json-reader.ts";
import { mutatedText } from "./mutated-text.ts";
import { ACCEPTED, property } from "./property.ts";

/** Small, so that a mutation gets over it. */
const DEPTH_MAX = 6;

const bytesOf = (text: string): string => Buffer.from(text).toString("latin1");

const WORDS = [
  ...'{ } [ ] : , " \\ {} [] "" "a": "A": "a":1, ,"a":2 true false null 0 -0 1e5 1e400 -1 0.1 1.0 9007199254740993'.split(
    " ",
  ),
  ...'"__proto__": "__PROTO__": "\\u005f_proto__": "\\u0061": \\ud800 \\udc00 \\u0000 \\" \\x [[[[[[[[ 1E-7 00 .5 1. NaN'.split(
    " ",
  ),
  ...['"ſ":1', '"s":1', '"K":1', '"k":1', '"ß":', '"ẞ":', '"é":', '"É":', '"σ":', '"ς":', '"ı":', '"İ":'].map(bytesOf),
  ...["\ufeff", "\u2028", "\u00a0"].map(bytesOf),
].concat("\xff", "\xc0\xaf", "\xed\xa0\x80", "\u0000", "\t", "\n", "\r", " ", "// c", "1e", "123456789012345678");

const corpus = [
  "{}",
  "[]",
  '""',
  "0",
  '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"score","arguments":{"candidate":"C1","score":0.75}},"id":1}',
  '{"a":[1,-2,3.5,1e2,"x\\u0041\\n",true,false,null,{"b":{}}],"":""}',
  "[[[[[[]]]]]]",
  "[[[[[[[]]]]]]]",
  "\xef\xbb\xbf{}",
  `{"a":${"[".repeat(JSON_DEPTH_MAX - 1)}${"]".repeat(JSON_DEPTH_MAX - 1)}}`,
  `{"a":${"[".repeat(JSON_DEPTH_MAX)}${"]".repeat(JSON_DEPTH_MAX)}}`,
  '{"amount":9007199254740991,"rate":0.1,"big":1e21}',
  '{"a":{"b":1},"B":{"b":2}}',
  bytesOf('{"naïve":"\u{1f600}","ΑΣ":1}'),
  ' \t\r\n{ "a" : [ ] } ',
];
const mutated = mutatedText(corpus, WORDS);
const valid = fc
  .tuple(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(0, 1))
  .map(([value, indent]) => bytesOf(JSON.stringify(value, undefined, indent)));
/** Names that are nearly the same, and numbers that are nearly right: what the strict rules are about. */
const nearly = fc
  .array(
    fc.tuple(
      fc.constantFrom(
        ..."a A b ſ s S K K k ß ẞ ss é É σ ς Σ ı i İ I __proto__ __Proto__ constructor ǆ ǅ Ω Ω".split(" "),
      ),
      fc.oneof(
        fc.constantFrom("0", "-0", "1.0", "1e2", "1E400", "0.1", "9007199254740993", "1e-400", "-0.0", "100e-2", "{}"),
        fc.double().map(String),
        fc.bigInt().map(String),
      ),
    ),
    { maxLength: 5 },
  )
  .map((members) => bytesOf(`{${members.map(([name, number]) => `"${name}":${number}`).join(",")}}`));

export const JSON_PARSERS = [
  property<string>({
    name: "json.body",
    says: "a body is accepted if and only if it is strict JSON that every reader reads alike, and it has that one value",
    inputs: fc.oneof({ weight: 3, arbitrary: mutated }, valid, nearly),
    check: checkBody,
    runs: 2000,
    guide: { corpus, modules: ["src/action/parse-json.ts"] },
  }),
  property<string>({
    name: "json.input",
    says: "a body that is spliced into the policy input stays inside of its arguments",
    inputs: fc.oneof(mutated, valid, nearly),
    check: checkSplice,
    runs: 500,
  }),
  property<string>({
    name: "json.token",
    says: "a token's JSON is accepted if and only if it is an object in UTF-8 without a repeated member and not too deep",
    inputs: fc.oneof({ weight: 3, arbitrary: mutated }, nearly, valid),
    check: checkToken,
    runs: 2000,
    guide: { corpus, modules: ["src/lib/strict-json.ts"] },
  }),
];

function checkBody(body: string): string {
  const bytes = Buffer.from(body, "latin1");
  const parsed = parseJson(bytes, DEPTH_MAX);
  const tree = isUtf8(bytes) ? readJson(bytes.toString("utf8")) : undefined;
  if (!parsed.ok) {
    if (tree !== undefined) assert.ok(!isPlainlyStrict(tree), `refused, though strict: ${parsed.error.detail}`);
    return `${parsed.error.reason} ${parsed.error.detail ?? ""}`;
  }
  assert.ok(tree !== undefined, "accepted, though not JSON");
  assert.ok(depthOf(tree) <= DEPTH_MAX, "too deep");
  for (const { node } of nodesOf(tree)) {
    if (node.kind === "number")
      assert.ok(isExactNumber(node.text), `another reader reads another number: ${node.text}`);
    if (node.kind === "string") assert.ok(node.value.isWellFormed(), "a lone surrogate");
    if (node.kind === "object") checkNames(node.members.map(([name]) => name));
  }
  assert.deepEqual(parsed.value.value, valueOf(tree));
  assert.ok(Buffer.from(parsed.value.text).equals(bytes), "the text is not the bytes");
  return ACCEPTED;
}

function checkNames(names: readonly string[]): void {
  for (const [at, name] of names.entries()) {
    assert.ok(name.isWellFormed(), "a lone surrogate in a name");
    assert.ok(!sameButCase(name, "__proto__"), "a prototype name");
    for (const other of names.slice(0, at)) assert.ok(!sameButCase(name, other), `${name} and ${other} are one name`);
  }
}

/** Equal under Unicode's simple case folding, as the regular expressions of the engine do it. */
function sameButCase(left: string, right: string): boolean {
  const escaped = left.replace(/[\\^$.*+?()[\]{}|/]/gu, "\\$&");
  return left === right || new RegExp(`^${escaped}$`, "iu").test(right);
}

/** True where nobody could object. Names beyond ASCII are left out: the gateway may fold more than it must. */
function isPlainlyStrict(tree: JsonNode): boolean {
  if (depthOf(tree) > DEPTH_MAX) return false;
  for (const { node } of nodesOf(tree)) {
    if (node.kind === "number" && !isExactNumber(node.text)) return false;
    if (node.kind === "string" && !node.value.isWellFormed()) return false;
    if (node.kind !== "object") continue;
    const names = node.members.map(([name]) => name.toLowerCase());
    if (new Set(names).size < names.length || !names.every((name) => /^[\u0000-\u007f]*$/.test(name))) return false;
    if (names.includes("__proto__")) return false;
  }
  return true;
}

const ROUTE = createRouteInput({
  name: "r",
  resource: { type: "t", classification: "c", owner: "", attributes: { a: '"}' } },
});

function checkSplice(body: string): string {
  const parsed = parseJson(Buffer.from(body, "latin1"), DEPTH_MAX);
  if (!parsed.ok) return parsed.error.reason;
  const json = buildInput({
    claimsJson: '"agent":{"id":"x"}',
    route: ROUTE,
    method: "POST",
    bodyText: parsed.value.text,
    target: { path: "/a", search: "", segments: ["a"], encodedSlash: false, query: { q: '"' } },
    params: { p: "{" },
    host: "h",
    timeMs: 0,
    sourceIp: "127.0.0.1",
    gateway: "g",
  });
  const tree = readJson(json);
  assert.ok(tree?.kind === "object", "the policy input is no JSON object");
  for (const { node } of nodesOf(tree)) if (node.kind === "object") checkNames(node.members.map(([name]) => name));
  assert.deepEqual(valueOf(tree), {
    agent: { id: "x" },
    action: { kind: "http", method: "POST", tool: "r", arguments: parsed.value.value, http: { method: "POST" } },
    resource: {
      route: "r",
      type: "t",
      classification: "c",
      owner: "",
      attributes: { a: '"}' },
      params: { p: "{" },
      host: "h",
      path: ["a"],
      query: { q: '"' },
    },
    environment: { time: "1970-01-01T00:00:00.000Z", source_ip: "127.0.0.1", gateway: "g" },
  });
  return ACCEPTED;
}

function checkToken(text: string): string {
  const bytes = Buffer.from(text, "latin1");
  const parsed = parseStrictObject(bytes);
  const tree = isUtf8(bytes) ? readJson(bytes.toString("utf8")) : undefined;
  const isStrict =
    tree?.kind === "object" &&
    depthOf(tree) <= JSON_DEPTH_MAX &&
    nodesOf(tree).every(({ node }) => {
      if (node.kind !== "object") return true;
      return new Set(node.members.map(([name]) => name)).size === node.members.length;
    });
  assert.equal(parsed !== undefined, isStrict);
  if (parsed === undefined || tree === undefined) return "refused";
  assert.deepEqual(parsed, valueOf(tree));
  return ACCEPTED;
}
