import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type BundleLimits, checkBundle, largestInput } from "../../../src/policy/check-bundle.ts";
import { startBundleCheck } from "../../../src/policy/check-thread.ts";
import { type Bundle, parseBundle } from "../../../src/policy/parse-bundle.ts";
import { packBundle } from "./tar-writer.ts";

const limits: BundleLimits = { input_bytes_max: 1_114_112, memory_pages_max: 1024, evaluation_budget_ms: 250 };
const read = (path: string): Buffer => readFileSync(new URL(path, import.meta.url));
const shipped = read("../../../policies/bundle.tar.gz");
const misbehaving = (() => {
  const parsed = parseBundle(read("./fixtures/misbehaving.tar.gz"));
  assert.ok(parsed.ok);
  return parsed.value;
})();
const inMode = (mode: string): Bundle => ({ ...misbehaving, dataJson: JSON.stringify({ mode }) });
const still = (): number => 0;

function problems(bundle: Bundle, monotonicMs: () => number = still): string {
  const checked = checkBundle(bundle, limits, monotonicMs);
  return checked.ok ? "" : checked.error.join("\n");
}

test("the default bundle passes its checks in a thread of its own", async () => {
  assert.deepEqual(await startBundleCheck(shipped, limits, 30_000), { ok: true, value: undefined });
});

test("H13 a bundle is checked with the data that it is to judge with, not with its own", async () => {
  const bytes = readFileSync(new URL("./fixtures/misbehaving.tar.gz", import.meta.url));
  assert.deepEqual(await startBundleCheck(bytes, limits, 30_000, '{"mode":"deny"}'), { ok: true, value: undefined });
  const checked = await startBundleCheck(bytes, limits, 30_000, '{"mode":"good"}');
  assert.match(checked.ok ? "" : checked.error.join("\n"), /the policy allows it/);
});

test("a policy that denies everything may be activated", () => assert.equal(problems(inMode("deny")), ""));

test("H13 a policy that allows an input without an agent is refused", () => {
  assert.match(problems(inMode("good")), /an input without an agent: the policy allows it/);
});

test("H13 a policy that is undefined or malformed is refused with its reason", () => {
  assert.match(problems(inMode("none")), /a sample input: policy\.undefined/);
  assert.match(problems(inMode("malformed")), /policy\.malformed_decision/);
});

test("H13 a policy that shows a list to nobody in particular is refused, and one that shows nothing is not", () => {
  assert.match(problems(inMode("shows")), /cordon\/visible, an empty input: the policy shows it/);
  assert.match(problems(inMode("shows")), /cordon\/visible, an input without an agent/);
  assert.match(problems(inMode("list-text")), /cordon\/visible, an empty input: policy\.malformed_decision/);
  assert.doesNotMatch(problems({ ...inMode("shows"), entrypoints: ["cordon/decision"] }), /visible/);
});

test("H13 a policy that lets an answer pass for nobody in particular is refused, and one that withholds it is not", () => {
  const parsed = parseBundle(read("./fixtures/judged.tar.gz"));
  assert.ok(parsed.ok);
  assert.equal(problems(parsed.value), "");
  const open = problems({ ...parsed.value, dataJson: '{"open":true}' });
  assert.match(open, /cordon\/response, an empty input: the policy lets it pass/);
  assert.match(open, /cordon\/response, an input without an agent/);
});

test("H13 a module that is no WebAssembly is refused", () => {
  assert.match(problems({ ...misbehaving, wasm: new Uint8Array([1, 2, 3]) }), /does not load/);
});

test("H12 a policy over its budget on the largest input is refused", () => {
  let now = 0;
  const slow = (): number => (now += 251);
  assert.match(problems(inMode("deny"), slow), /takes 251 ms; evaluation_budget_ms is 250/);
});

test("H12 a policy that loops is ended at the deadline and refused", async () => {
  const { manifest, wasm } = misbehaving;
  const bytes = packBundle([
    { path: "/policy.wasm", content: wasm },
    { path: "/.manifest", content: JSON.stringify(manifest) },
    { path: "/data.json", content: '{"mode":"loop"}' },
  ]);
  const checked = await startBundleCheck(bytes, { ...limits, memory_pages_max: 65_536 }, 1500);
  assert.match(checked.ok ? "" : checked.error.join("\n"), /did not finish its checks within 1500 ms/);
});

test("the largest input is valid JSON of exactly the asked size", () => {
  for (const size of [4096, 100_001, 1_114_112]) {
    const text = largestInput(size);
    assert.equal(Buffer.byteLength(text), size);
    JSON.parse(text);
  }
});
