// In: request targets, plain and hostile. Out: the properties of the target parser, and of the path that is sent on.
// The models: a walk over the bytes written from RFC 3986, and the WHATWG parser, which many tools use.
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseTarget } from "../../src/action/parse-target.ts";
import { createTargetFactory } from "../../src/upstream/target.ts";
import { mutatedText } from "./mutated-text.ts";
import { ACCEPTED, property } from "./property.ts";
import { desyncVectors } from "./seeds.ts";

const HOST = "gateway.example";
const MODULES = ["src/action/parse-target.ts"];

const WORDS = [
  ..."/ // . .. ; ;x=1 ? & = + # @ : [ ] ' \" | { } ~ * , ! $ ( ) _ -".split(" "),
  ...`a id=1 &id=2 http:// https:// ${HOST} http://${HOST}`
    .split(" ")
    .concat("\\", " ", "\t", "\r\n", "\u0000", "\u00e4"),
  ..."% %2 %2f %2F %5c %2e %2E%2e %25 %252e %00 %0a %20 %7f %41 %3b %3B %c3%a4 %C3 %ff %ed%a0%80 %c2%85".split(" "),
  ..."%e2%80%a8 %ef%bb%bf %c0%af %f0%9f%98%80 %e2%80%ae %3d %26 %2b".split(" "),
];

const corpus = [
  "/",
  "/ats/jobs/J42/candidates/C1",
  "/ats/jobs/J42/candidates/C1?fields=name&page=2",
  "/a/b%20c/%C3%A4/d;v=1/",
  "/a?x=%26&y=a+b&z",
  "/files/a%2fb",
  `http://${HOST}/a/b?c=d`,
  `http://x.${HOST}/a`,
  `http://u@${HOST}/a`,
  `http://${HOST}:81/a`,
  "/..;/admin",
  "/a/%2e%2e%2fb",
  "/?",
  ...desyncVectors()
    .map(({ uri }) => uri)
    .filter((uri) => /^[\u0000-\u00ff]+$/.test(uri)),
];
const mutated = mutatedText(corpus, WORDS);
/** Mostly accepted: what is refused at once says nothing of the rest. */
const plain = fc
  .tuple(
    fc.array(fc.constantFrom(..."a b J42 x.y ...a ~ %20 %c3%a4 a%2fb %25 v;w=1 .git ,".split(" ")), { maxLength: 8 }),
    fc.array(fc.constantFrom("q=1", "r=%26", "s", "t=a+b", "w+x=1", "", "=", "u=%C3%A4", "__proto__=1", "v='[x]'"), {
      maxLength: 4,
    }),
  )
  .map(([segments, pairs]) => `/${segments.join("/")}${pairs.length === 0 ? "" : `?${pairs.join("&")}`}`);

export const TARGET = [
  property<string>({
    name: "target.canonical",
    says: "a target that is accepted reads the same to every parser, once and twice decoded, and is its own canonical form",
    inputs: fc.oneof(mutated, plain),
    check: checkCanonical,
    runs: 2000,
    guide: { corpus, modules: MODULES },
  }),
  property<Forwarded>({
    name: "target.forwarded",
    says: "the path that is sent is the base and the judged segments, less a prefix of whole segments, byte for byte",
    inputs: fc.record({
      raw: fc.oneof(
        plain,
        mutated,
        fc.tuple(fc.constantFrom(..."/ats /ats/v1 /at /atsx /ats/v12".split(" ")), plain).map((two) => two.join("")),
      ),
      prefix: fc.constantFrom(...[undefined, "/ats", "/ats/v1"].map((one) => one ?? null)),
      base: fc.constantFrom("", "/", "/base", "/base/"),
    }),
    check: checkForwarded,
    runs: 1000,
  }),
];

function checkCanonical(raw: string): string {
  const target = parseTarget(raw, HOST);
  if (!target.ok) return target.error.detail ?? target.error.reason;
  const { path, search, segments, encodedSlash, query } = target.value;

  assert.deepEqual(parseTarget(path + search, HOST), target, "its canonical form is another target");
  if (!raw.startsWith("/")) assert.equal(new URL(raw).host, HOST);
  assert.ok(raw.endsWith(path + search), "its bytes were changed");
  for (const byte of Buffer.from(path + search, "latin1")) {
    assert.ok(byte > 0x20 && byte < 0x7f && !'"#<>\\^`{|}'.includes(String.fromCharCode(byte)), "an odd byte");
  }

  const url = new URL(`http://${HOST}${path}${search}`);
  assert.equal(url.pathname, path, "the WHATWG parser mends the path");
  // It escapes apostrophes in a query, as a browser does; nothing else may change.
  assert.equal(url.search, search === "?" ? "" : search.replaceAll("'", "%27"));
  assert.equal(url.host + url.hash + url.username, HOST);

  const rawSegments = path.slice(1).split("/");
  assert.deepEqual(segments, rawSegments.map(percentDecode), "a segment is not what its bytes say");
  assert.equal(rawSegments.slice(0, -1).includes(""), false, "an empty segment");
  for (const segment of segments) {
    assert.doesNotMatch(segment, /\p{Cc}/u);
    assert.doesNotMatch(segment, /%[0-9A-Fa-f]{2}/, "an escape is left to be decoded once more");
  }
  assert.equal(
    encodedSlash,
    segments.some((segment) => /[/\\]/.test(segment)),
  );
  for (const reading of [path, segments.join("/")]) {
    for (const step of reading.split(/[/\\]/)) {
      assert.ok(!/^\.{1,2}$/.test(step.split(";")[0] ?? ""), `a dot segment for one of the readers: ${reading}`);
    }
  }

  const pairs = [...new URLSearchParams(search)];
  assert.equal(new Set(pairs.map(([name]) => name)).size, pairs.length, "a parameter occurs twice");
  assert.deepEqual({ ...query }, Object.fromEntries(pairs));
  return ACCEPTED;
}

/** RFC 3986 section 2.1: the bytes that a text stands for, as UTF-8. Throws where they are none. */
function percentDecode(text: string): string {
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "%") {
      const digits = text.slice(at + 1, at + 3);
      assert.match(digits, /^[0-9A-Fa-f]{2}$/);
      bytes.push(Number.parseInt(digits, 16));
      at += 2;
    } else {
      bytes.push(text.charCodeAt(at));
    }
  }
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

interface Forwarded {
  readonly raw: string;
  readonly prefix: string | null;
  readonly base: string;
}

const factory = createTargetFactory();

function checkForwarded({ raw, prefix, base }: Forwarded): string {
  const target = parseTarget(raw, HOST);
  if (!target.ok) return target.error.detail ?? target.error.reason;
  const { path, search } = target.value;
  const upstream = factory.prepare(
    {
      url: `http://127.0.0.1:9${base}`,
      ...(prefix === null ? {} : { strip_prefix: prefix }),
      allow_private_addresses: true,
      connections_max: 1,
      connect_timeout_ms: 1000,
      headers_timeout_ms: 1000,
      body_idle_timeout_ms: 1000,
    },
    undefined,
  );
  const segments = path.split("/").slice(1);
  const dropped = (prefix ?? "").split("/").slice(1);
  const isPrefix = dropped.every((segment, index) => segments[index] === segment);
  const rest = isPrefix ? segments.slice(dropped.length) : segments;
  const baseSegments = base.split("/").filter((segment) => segment !== "");
  const expected = `/${[...baseSegments, ...(rest.length === 0 ? [""] : rest)].join("/")}${search}`;

  const sent = upstream.pathFor(path + search);
  assert.equal(sent, expected);
  const url = new URL(`http://${HOST}${sent}`);
  assert.equal(url.pathname, sent.split("?")[0], "what is sent is not canonical any more");
  return ACCEPTED;
}
