import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseResponse } from "../../../src/policy/parse-response.ts";

const verdict = {
  allow: true,
  reasons: [{ code: "a.b", detail: "why" }],
  redact: ["/a~1b/0"],
  labels: ["tainted", "a.b-c_1"],
};

function reasonOf(value: unknown): string {
  const parsed = parseResponse(value);
  return parsed.ok ? "accepted" : parsed.error.reason;
}

test("a whole verdict is accepted, and nothing is redacted or labelled where it does not say what", () => {
  assert.deepEqual(parseResponse(verdict), { ok: true, value: verdict });
  const { redact: _redact, labels: _labels, ...short } = verdict;
  assert.deepEqual(parseResponse(short), { ok: true, value: { ...verdict, redact: [], labels: [] } });
});

const cases: readonly (readonly [string, unknown, string])[] = [
  ["undefined", undefined, "policy.undefined"],
  ["a bare true", true, "policy.malformed_decision"],
  ["allow as text", { ...verdict, allow: "true" }, "policy.malformed_decision"],
  ["no reasons", { allow: true }, "policy.malformed_decision"],
  ["a redaction that is no pointer", { ...verdict, redact: ["salary"] }, "policy.malformed_decision"],
  ["a label in capitals", { ...verdict, labels: ["Tainted"] }, "policy.malformed_decision"],
  ["a label that is too long", { ...verdict, labels: ["a".repeat(65)] }, "policy.malformed_decision"],
  ["too many labels", { ...verdict, labels: Array.from({ length: 17 }, () => "a") }, "policy.malformed_decision"],
  ["a scope", { ...verdict, reasons: [{ code: "a.b", scope: "a" }] }, "policy.malformed_decision"],
  ["obligations", { ...verdict, obligations: {} }, "policy.malformed_decision"],
];
for (const [title, value, reason] of cases) {
  test(`a verdict with ${title} is ${reason}`, () => assert.equal(reasonOf(value), reason));
}

test("nothing but a well-formed verdict is accepted, and nothing throws", () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      const parsed = parseResponse(value);
      if (parsed.ok) assert.equal(typeof parsed.value.allow, "boolean");
    }),
  );
});
