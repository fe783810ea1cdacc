import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseDecision } from "../../../src/policy/parse-decision.ts";

const decision = { allow: true, reasons: [{ code: "a.b", detail: "why" }], obligations: {} };

function reasonOf(value: unknown): string {
  const parsed = parseDecision(value);
  return parsed.ok ? "accepted" : parsed.error.reason;
}

test("a whole decision is accepted with every obligation", () => {
  const obligations = {
    redact: ["/salary", "/a~1b/0"],
    containment: "blocked",
    max_response_bytes: 0,
    alert: "critical",
    judge_response: true,
  };
  assert.deepEqual(parseDecision({ ...decision, obligations }), { ok: true, value: { ...decision, obligations } });
});

const cases: readonly (readonly [string, unknown, string])[] = [
  ["undefined", undefined, "policy.undefined"],
  ["null", null, "policy.malformed_decision"],
  ["a bare true", true, "policy.malformed_decision"],
  ["a list", [decision], "policy.malformed_decision"],
  ["allow as text", { ...decision, allow: "true" }, "policy.malformed_decision"],
  ["allow as number", { ...decision, allow: 1 }, "policy.malformed_decision"],
  ["no reasons", { allow: true, obligations: {} }, "policy.malformed_decision"],
  ["reasons as text", { ...decision, reasons: ["a.b"] }, "policy.malformed_decision"],
  ["a reason that is no code", { ...decision, reasons: [{ code: "Not A Code\n" }] }, "policy.malformed_decision"],
  ["a reason with an unknown member", { ...decision, reasons: [{ code: "a.b", x: 1 }] }, "policy.malformed_decision"],
  ["an unknown member", { ...decision, deny: true }, "policy.malformed_decision"],
  ["no obligations", { allow: true, reasons: [] }, "policy.malformed_decision"],
  ["a redaction that is no pointer", { ...decision, obligations: { redact: ["salary"] } }, "policy.malformed_decision"],
  ["a redaction with a bad escape", { ...decision, obligations: { redact: ["/a~2"] } }, "policy.malformed_decision"],
  ["a negative cap", { ...decision, obligations: { max_response_bytes: -1 } }, "policy.malformed_decision"],
  ["a cap in halves", { ...decision, obligations: { max_response_bytes: 1.5 } }, "policy.malformed_decision"],
  [
    "a judgement wished for by a text",
    { ...decision, obligations: { judge_response: "true" } },
    "policy.malformed_decision",
  ],
  ["an unknown obligation", { ...decision, obligations: { notify: "x" } }, "policy.unknown_obligation"],
  ["an unknown containment", { ...decision, obligations: { containment: "paused" } }, "policy.unknown_obligation"],
  ["an unknown alert", { ...decision, obligations: { alert: "loud" } }, "policy.unknown_obligation"],
];
for (const [title, value, reason] of cases) {
  test(`a decision with ${title} is ${reason}`, () => assert.equal(reasonOf(value), reason));
}

test("nothing but a well-formed decision is accepted, and nothing throws", () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      const parsed = parseDecision(value);
      if (parsed.ok) assert.equal(typeof parsed.value.allow, "boolean");
    }),
  );
});
