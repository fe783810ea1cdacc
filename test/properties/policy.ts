// In: archives of policies and what policies answer. Out: the properties of the three parsers of the policy room.
// The models: a plain reader of ustar headers, and the decision's form written once more as one condition.
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { parseBundle } from "../../src/policy/parse-bundle.ts";
import { parseDecision } from "../../src/policy/parse-decision.ts";
import { readTar } from "../../src/policy/read-tar.ts";
import { type TarEntry, writeTar } from "../unit/policy/tar-writer.ts";
import { mutatedText } from "./mutated-text.ts";
import { ACCEPTED, property } from "./property.ts";

const MANIFEST = '{"revision":"r1","roots":[""],"wasm":[{"entrypoint":"cordon/decision","module":"/policy.wasm"}]}';
const entry = fc.record({
  path: fc.constantFrom(
    ..."/data.json /policy.wasm /.manifest /cordon/decision.rego data.json /a/data.json /data.yaml ../x /a/../b a//b /./a a/"
      .split(" ")
      .concat("a\\b", "", "\u0001", "x".repeat(100), "/policy.wasm\u0000/../x", " "),
  ),
  content: fc.constantFrom("", "{}", MANIFEST, '{"a":1}', "[]", "\u0000asm", "x".repeat(600), "{", '{"wasm":[]}'),
  type: fc.constantFrom("0", "0", "0", "0", "\u0000", "5", "1", "2", "x", "g", "L"),
});
const GOOD: readonly TarEntry[] = [
  { path: "/data.json", content: '{"limits":{"a":1}}' },
  { path: "/policy.wasm", content: "\u0000asm\u0001" },
  { path: "/.manifest", content: MANIFEST },
];
const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
const tarCorpus = [
  writeTar(GOOD),
  writeTar([{ path: "d/", type: "5" }, ...GOOD, { path: "/x.rego", content: "package x" }]),
  writeTar([]),
].map(latin1);
const TAR_WORDS = [
  "\u0000",
  "0",
  "7",
  "\u0000".repeat(8),
  "ustar",
  "../",
  "/",
  "00000000600\u0000",
  "\u0080\u0000",
  " ",
  "5",
  "2",
  "x",
];
const archives = fc.oneof(
  // A change of a header is found out by its checksum, so most archives get theirs written anew.
  { weight: 4, arbitrary: mutatedText(tarCorpus, TAR_WORDS).map(withChecksums) },
  { weight: 1, arbitrary: mutatedText(tarCorpus, TAR_WORDS) },
  { weight: 3, arbitrary: fc.array(entry, { maxLength: 4 }).map((entries) => latin1(writeTar(entries))) },
);

/** Mostly the members that a bundle needs, some of them odd. */
const bundles = fc
  .tuple(
    fc.array(fc.tuple(fc.nat(GOOD.length - 1), entry), { maxLength: 1 }),
    fc.array(entry, { maxLength: 1 }),
    fc.constantFrom(MANIFEST, MANIFEST, '{"revision":1}', MANIFEST.replace('"revision":"r1",', "")),
  )
  .map(([odd, more, manifest]) => {
    const entries = GOOD.map((one, at) => ({ ...one, content: at === 2 ? manifest : one.content }));
    for (const [at, { content }] of odd) entries[at] = { ...(entries[at] as TarEntry), content };
    return latin1(writeTar([...entries, ...more]));
  });

const text = fc.constantFrom(
  "a.b",
  "cordon.default_deny",
  "A",
  "",
  "a",
  "a.b.",
  "x".repeat(200),
  "high",
  "quarantined",
  "/a~1b",
  "/a~",
  "",
);
const code = fc.oneof({ weight: 4, arbitrary: fc.constantFrom("cordon.default_deny", "a1.b_2.c") }, text);
const more = fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.constant(1) });
const reason = fc.record({ code, detail: text, more }, { requiredKeys: ["code"] });
const decisions: fc.Arbitrary<string> = fc
  .record(
    {
      allow: fc.oneof({ weight: 6, arbitrary: fc.boolean() }, fc.constantFrom<unknown>(1, "true", null)),
      reasons: fc.oneof({ weight: 6, arbitrary: fc.array(reason, { maxLength: 2 }) }, fc.jsonValue({ maxDepth: 1 })),
      obligations: fc.oneof(
        { weight: 4, arbitrary: fc.constant({}) },
        {
          weight: 4,
          arbitrary: fc.record(
            {
              redact: fc.oneof(
                fc.array(fc.constantFrom("/a", "/a/b~0", "/", "a", "/~"), { maxLength: 3 }),
                fc.jsonValue({ maxDepth: 1 }),
              ),
              containment: fc.constantFrom("quarantined", "blocked", "active", null, 1),
              alert: fc.constantFrom("low", "critical", "loud", true),
              max_response_bytes: fc.constantFrom(0, 1024, -1, 1.5, 1e300, "5"),
              unknown: fc.constant(1),
            },
            { requiredKeys: [] },
          ),
        },
        fc.jsonValue({ maxDepth: 1 }),
      ),
      more,
    },
    { requiredKeys: ["allow", "reasons", "obligations"] },
  )
  .map((decision) => JSON.stringify(decision));
const decisionCorpus = [
  '{"allow":true,"reasons":[],"obligations":{}}',
  '{"allow":false,"reasons":[{"code":"cordon.default_deny","detail":"no rule"}],"obligations":{"alert":"high"}}',
  '{"allow":true,"reasons":[],"obligations":{"redact":["/salary"],"containment":"blocked","max_response_bytes":10}}',
];

export const POLICY = [
  property<string>({
    name: "policy.tar",
    says: "an archive that is read has only plain files with plain paths, each with exactly its own bytes",
    inputs: fc.oneof({ weight: 3, arbitrary: archives }, { weight: 1, arbitrary: bundles }),
    check: checkTar,
    runs: 1000,
    guide: { corpus: tarCorpus, modules: ["src/policy/read-tar.ts"] },
  }),
  property<string>({
    name: "policy.bundle",
    says: "a bundle that is accepted has one module, data that is an object, and the entry point of decisions",
    inputs: fc.oneof(archives, bundles),
    check: checkBundle,
    runs: 500,
    guide: { corpus: tarCorpus, modules: ["src/policy/parse-bundle.ts", "src/policy/read-tar.ts"] },
  }),
  property<string>({
    name: "policy.decision",
    says: "a decision is taken if and only if every member of it is known and of its form; anything else denies",
    inputs: fc.oneof(
      decisions,
      mutatedText(decisionCorpus, [
        '"',
        ",",
        ":",
        "{}",
        "[]",
        "true",
        "null",
        '"redact":',
        '"allow":true,',
        '"__proto__":{"allow":true},',
      ]),
    ),
    check: checkDecision,
    runs: 2000,
    guide: { corpus: decisionCorpus, modules: ["src/policy/parse-decision.ts"] },
  }),
];

const BLOCK = 512;

/** Every block that may be a header gets the checksum of its bytes. */
function withChecksums(archive: string): string {
  const bytes = Buffer.from(archive, "latin1");
  for (let at = 0; at + BLOCK <= bytes.length; at += BLOCK) {
    const block = bytes.subarray(at, at + BLOCK);
    if (block.toString("latin1", 257, 262) !== "ustar") continue;
    block.fill(0x20, 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, "0")}\u0000 `, 148, "latin1");
  }
  return latin1(bytes);
}

/** The kind of an error, without what it quotes. */
function firstWords(error: string): string {
  return error.split(" ").slice(0, 6).join(" ");
}

function checkTar(archive: string): string {
  const bytes = Buffer.from(archive, "latin1");
  const files = readTar(bytes);
  if (!files.ok) return firstWords(files.error);
  const expected = new Map<string, string>();
  for (let at = 0; ; ) {
    const head = archive.slice(at, at + BLOCK);
    assert.equal(head.length, BLOCK, "an archive without an end");
    if (/^\0+$/.test(head)) break;
    const field = (start: number, length: number): string => head.slice(start, start + length).split("\u0000")[0] ?? "";
    const size = Number.parseInt(field(124, 12).trim(), 8);
    const name = [head.startsWith("ustar", 257) ? field(345, 155) : "", field(0, 100)]
      .filter((one) => one !== "")
      .join("/");
    const content = archive.slice(at + BLOCK, at + BLOCK + size);
    assert.equal(content.length, size, "a file that is cut");
    if (head[156] !== "5") {
      assert.ok(head[156] === "0" || head[156] === "\u0000", "something else than a plain file");
      const path = name.replace(/^\//, "");
      assert.match(path, /^[ -[\]-~]+$/);
      for (const part of path.split("/")) assert.ok(part !== "" && part !== "." && part !== "..", path);
      assert.ok(!expected.has(path), "a file twice");
      expected.set(path, content);
    }
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  assert.deepEqual(new Map([...files.value].map(([path, data]) => [path, latin1(data)])), expected);
  return expected.size === 0 ? "empty" : ACCEPTED;
}

function checkBundle(archive: string): string {
  const bundle = parseBundle(gzipSync(Buffer.from(archive, "latin1"), { level: 0 }));
  if (!bundle.ok) return firstWords(bundle.error);
  const { wasm, dataJson, manifest, revision, entrypoints } = bundle.value;
  const files = readTar(Buffer.from(archive, "latin1"));
  assert.ok(files.ok);
  assert.equal(latin1(wasm), latin1(files.value.get("policy.wasm") ?? Buffer.alloc(0)));
  const data: unknown = JSON.parse(dataJson);
  assert.ok(typeof data === "object" && data !== null && !Array.isArray(data));
  assert.deepEqual(data, JSON.parse(Buffer.from(files.value.get("data.json") ?? "{}").toString("utf8")));
  assert.deepEqual(manifest, JSON.parse(Buffer.from(files.value.get(".manifest") ?? "").toString("utf8")));
  assert.ok(entrypoints.includes("cordon/decision"));
  assert.ok(typeof revision === "string" && revision !== "");
  return ACCEPTED;
}

function checkDecision(json: string): string {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return "not JSON";
  }
  const decision = parseDecision(value);
  assert.equal(decision.ok, isDecision(value), json);
  if (!decision.ok) return decision.error.reason;
  assert.deepEqual(decision.value, JSON.parse(json));
  return ACCEPTED;
}

/** docs/policy.md: the whole form of a decision. */
function isDecision(value: unknown): boolean {
  const decision = membersOf(value, ["allow", "reasons", "obligations"]);
  const obligations = membersOf(decision?.get("obligations"), ["redact", "containment", "max_response_bytes", "alert"]);
  const reasons = decision?.get("reasons");
  if (decision === undefined || obligations === undefined || !Array.isArray(reasons) || reasons.length > 64)
    return false;
  const goodReason = (one: unknown): boolean => {
    const reason = membersOf(one, ["code", "detail"]);
    const [code, detail] = [reason?.get("code"), reason?.get("detail") ?? ""];
    const isCode = typeof code === "string" && code.length <= 128 && /^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/.test(code);
    return isCode && typeof detail === "string" && detail.length <= 2048 && reason?.get("detail") !== null;
  };
  const fits = (name: string, test: (found: unknown) => boolean): boolean =>
    !obligations.has(name) || test(obligations.get(name));
  return (
    typeof decision.get("allow") === "boolean" &&
    reasons.every(goodReason) &&
    fits("redact", (list) => Array.isArray(list) && list.length <= 256 && list.every((one) => isPointer(one))) &&
    fits("containment", (mode) => mode === "quarantined" || mode === "blocked") &&
    fits("alert", (level) => ["low", "medium", "high", "critical"].includes(level as string)) &&
    fits("max_response_bytes", (cap) => Number.isSafeInteger(cap) && (cap as number) >= 0)
  );
}

function isPointer(value: unknown): boolean {
  return typeof value === "string" && value.startsWith("/") && !/~([^01]|$)/u.test(value);
}

/** The own members of an object that has no others than these. */
function membersOf(value: unknown, names: readonly string[]): Map<string, unknown> | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const members = new Map<string, unknown>(Object.entries(value));
  return [...members.keys()].every((name) => names.includes(name)) ? members : undefined;
}
