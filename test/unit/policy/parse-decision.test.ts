import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseDecision } from "../../../src/policy/parse-decision.ts";
import { requiredScope } from "../../../src/policy/required-scope.ts";

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

const reasons = (...scopes: unknown[]) => ({
  allow: false,
  reasons: scopes.map((scope) => ({ code: "a.b", scope })),
  obligations: {},
});

test("a scope is tokens with one space between them; no sign that could end a header's text is among them", () => {
  for (const scope of ["call:mcp:everything", "a b", "!#[]~", "x".repeat(1024)]) {
    assert.equal(reasonOf(reasons(scope)), "accepted", scope);
  }
  const odd = [
    "",
    " ",
    "a ",
    " a",
    "a  b",
    'a"',
    "a\\b",
    "a\r\nx: y",
    "a\tb",
    "\u007f",
    "é",
    "x".repeat(1025),
    1,
    null,
    undefined,
  ];
  for (const scope of odd) assert.equal(reasonOf(reasons(scope)), "policy.malformed_decision", String(scope));
  assert.equal(reasonOf(reasons("x".repeat(600), "y".repeat(600))), "policy.malformed_decision", "together too long");
});

test("what the caller is told is each token of all reasons once, and nothing where there is none", () => {
  assert.equal(requiredScope([{ code: "a.b", detail: "secret" }]), undefined);
  const some = [{ code: "a.b", scope: "x y" }, { code: "c.d" }, { code: "e.f", scope: "z x" }];
  assert.equal(requiredScope(some), "x y z");
});

test("nothing but a well-formed decision is accepted, and nothing throws", () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      const parsed = parseDecision(value);
      if (parsed.ok) assert.equal(typeof parsed.value.allow, "boolean");
    }),
  );
});
