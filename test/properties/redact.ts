// In: answers of a tool and JSON pointers. Out: the property of the redaction.
// The model: the tree of a reader of our own (json-reader.ts), with the pointed-at nodes left out one by one.
import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import fc from "fast-check";
import { redactJson } from "../../src/upstream/redact-json.ts";
import { type JsonNode, readJson } from "./json-reader.ts";
import { mutatedText } from "./mutated-text.ts";
import { ACCEPTED, property } from "./property.ts";

interface Redaction {
  readonly body: string;
  readonly pointers: readonly string[];
}

const NAMES = [
  "a",
  "b",
  "salary",
  "0",
  "1",
  "2",
  "",
  "~",
  "/",
  "a/b",
  "~1",
  "__proto__",
  "constructor",
  "length",
  "é",
  "rawJSON",
];
const NUMBERS =
  "0 -0 1 1.0 1e2 1E+2 -1.50 0.1 9007199254740993 123456789012345678901234567890 1e400 1e-400 5e-324".split(" ");

const leaf = fc.oneof(
  fc.constantFrom(...NUMBERS),
  fc.constantFrom('"x"', '"\\u0041"', '"\\ud800"', '"\u2028"', '"1.0"', "true", "null", '"-0"'),
);
const { document } = fc.letrec<{ document: string }>((tie) => ({
  document: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.array(tie("document"), { maxLength: 4 }).map((items) => `[${items.join(", ")}]`),
    fc
      .array(fc.tuple(fc.constantFrom(...NAMES), tie("document")), { maxLength: 4 })
      .map((members) => `{${members.map(([name, value]) => `${JSON.stringify(name)} : ${value}`).join(",")}}`),
  ),
}));
const token = fc.oneof(
  fc.constantFrom(...NAMES.map((name) => name.replaceAll("~", "~0").replaceAll("/", "~1"))),
  fc.constantFrom("-", "00", "01", "+1", "1e0", "~", "~2", "4294967296"),
);
const pointer = fc.oneof(
  { weight: 20, arbitrary: fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => `/${tokens.join("/")}`) },
  { weight: 1, arbitrary: fc.constantFrom("", "a", "#/a", " /a") },
);
const corpus = [
  '{"a":{"salary":1.50},"b":[1,2,{"salary":2}]}',
  '[{"a":1},[0,[1]],"x"]',
  '{"a":1,"a":2,"b":1e400}',
  " 1 ",
  "\xef\xbb\xbf{}",
];
const bytesOf = (text: string): string => Buffer.from(text).toString("latin1");

const WORDS = '{ } [ ] , : " "salary": 1.0'.split(" ").concat("\xff", "\xef\xbb\xbf");
const anything = fc.record({
  body: fc.oneof({ weight: 4, arbitrary: document.map(bytesOf) }, { weight: 1, arbitrary: mutatedText(corpus, WORDS) }),
  pointers: fc.array(pointer, { maxLength: 4 }),
});
/** Removing one element must not move another that is to go, or to stay. */
const ofOneArray = fc.record({
  body: fc.constantFrom("[1,2,3,[4,5,6]]", '{"3":[1,2]}', "[[1,2],[3,4],[5,6],[7,8,9]]"),
  pointers: fc.array(fc.constantFrom("/0", "/1", "/2", "/3", "/3/0", "/3/1", "/0/1"), { minLength: 2, maxLength: 4 }),
});

export const REDACTION = [
  property<Redaction>({
    name: "redact.exact",
    says: "the pointed-at values are gone, everything else is there with its numbers as written, and what is not JSON is refused",
    inputs: fc.oneof({ weight: 5, arbitrary: anything }, { weight: 1, arbitrary: ofOneArray }),
    check: checkRedaction,
    runs: 2000,
  }),
];

function checkRedaction({ body, pointers }: Redaction): string {
  const bytes = Buffer.from(body, "latin1");
  const redacted = redactJson(bytes, pointers);
  const tree = isUtf8(bytes) ? readJson(bytes.toString("utf8")) : undefined;
  const paths = pointers.map(readPointer);
  if (redacted === null) {
    assert.ok(tree === undefined || paths.includes(undefined), "good JSON was refused");
    return tree === undefined ? "not JSON" : "not a pointer";
  }
  assert.ok(tree !== undefined && !paths.includes(undefined), "redacted, though it cannot be");
  assert.ok(isUtf8(redacted));
  const left = readJson(redacted.toString("utf8"));
  assert.ok(left !== undefined, "the redacted answer is no JSON");
  assert.deepEqual(plain(left), without(plain(tree), paths as string[][]));
  return ACCEPTED;
}

function readPointer(text: string): string[] | undefined {
  if (text === "" || text[0] !== "/") return undefined;
  const tokens = text.slice(1).split("/");
  if (tokens.some((one) => /~([^01]|$)/.test(one))) return undefined;
  return tokens.map((one) =>
    one
      .split("~1")
      .map((half) => half.split("~0").join("~"))
      .join("/"),
  );
}

/** A tree to compare: members by name (the last of one name counts), numbers as the text that was written. */
type Plain = ReadonlyMap<string, Plain> | readonly Plain[] | string | boolean | null | { readonly number: string };

function plain(node: JsonNode): Plain {
  switch (node.kind) {
    case "object":
      return new Map(node.members.map(([name, member]) => [name, plain(member)]));
    case "array":
      return node.items.map(plain);
    case "number":
      return { number: node.text };
    case "string":
    case "literal":
      return node.value;
  }
}

/** The tree without what the paths name, all of them read on the whole tree. */
function without(node: Plain, paths: readonly (readonly string[])[]): Plain {
  const goesOn = (key: string): string[][] => paths.filter(([first]) => first === key).map(([, ...rest]) => rest);
  const isGone = (key: string): boolean => paths.some((path) => path.length === 1 && path[0] === key);
  if (node instanceof Map) {
    const kept = [...(node as ReadonlyMap<string, Plain>)].filter(([name]) => !isGone(name));
    return new Map(kept.map(([name, member]) => [name, without(member, goesOn(name))]));
  }
  if (Array.isArray(node)) {
    return (node as readonly Plain[]).flatMap((item, at) =>
      isGone(String(at)) ? [] : [without(item, goesOn(String(at)))],
    );
  }
  return node;
}
