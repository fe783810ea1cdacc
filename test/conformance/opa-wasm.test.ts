// The evaluator against an independent implementation: OPA's own JavaScript SDK runs the committed bundle on the same inputs.
// ADR 0001 says why the SDK is the yardstick here and not the engine.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { packageRoot } from "../../src/lib/package-root.ts";
import { HOST_BUILTINS } from "../../src/policy/builtins.ts";
import { SAMPLE_INPUT } from "../../src/policy/check-bundle.ts";
import { createEvaluator } from "../../src/policy/evaluator.ts";
import { DECISION_ENTRYPOINT, parseBundle } from "../../src/policy/parse-bundle.ts";

interface SdkPolicy {
  setData(data: unknown): void;
  evaluate(input: unknown, entrypoint: string): readonly { readonly result: unknown }[];
}

interface Sdk {
  loadPolicySync(
    wasm: Uint8Array,
    memory: { initial: number; maximum: number },
    builtins: Readonly<Record<string, (...args: unknown[]) => unknown>>,
  ): SdkPolicy;
}

const sdk = createRequire(import.meta.url)("@open-policy-agent/opa-wasm") as Sdk;
const parsed = parseBundle(readFileSync(path.join(packageRoot(), "policies", "bundle.tar.gz")));
assert.ok(parsed.ok);
const bundle = parsed.value;

const purposes = ["rank-candidates", "refund", "pricing", "fulfil-order", "sandbox", ""];
const types = [
  "candidate_profiles",
  "candidate_salaries",
  "candidate_scores",
  "billing_records",
  "refunds",
  "sandbox_files",
  "customer_records",
  "pricing_data",
  "personal_data",
  "mcp_tools",
  "unknown",
];
const scopes = [
  "read:candidates:J42",
  "read:candidates:*",
  "write:scores:J42",
  "read:billing:1234",
  "write:refunds:1234",
  "read:sandbox:*",
  "read:customers:1",
  "read:pricing:*",
  "call:mcp:everything",
  "not a scope",
  "a:b",
];

const inputs = fc
  .record({
    purpose: fc.constantFrom(...purposes),
    scope: fc.subarray(scopes),
    type: fc.constantFrom(...types),
    classification: fc.constantFrom("interview_safe", "internal", "restricted", "public"),
    environment: fc.constantFrom("production", "sandbox", "staging"),
    model: fc.constantFrom("claude-sonnet-5", "m", ""),
    method: fc.constantFrom("GET", "POST", "DELETE"),
    initiator: fc.constantFrom("user", "service", "agent"),
    arguments: fc.oneof(
      fc.constant(null),
      fc.record({ score: fc.integer(), amount: fc.integer(), customer_id: fc.constantFrom("1234", "9") }),
    ),
    params: fc.constantFrom({ job_id: "J42", candidate_id: "C1" }, { job_id: "J43" }, { customer_id: "1234" }, {}),
    timeMs: fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2030, 0, 1) }),
  })
  .map((one) => ({
    timeMs: one.timeMs,
    input: {
      ...SAMPLE_INPUT,
      intent: {
        ...SAMPLE_INPUT.intent,
        purpose: one.purpose,
        scope: one.scope,
        constraints: { job_id: "J42", customer_id: "1234" },
      },
      provenance: {
        ...SAMPLE_INPUT.provenance,
        environment: one.environment,
        model: one.model,
        model_version: "2026-09-01",
      },
      session: { ...SAMPLE_INPUT.session, initiator: { type: one.initiator, id: "x" } },
      action: { ...SAMPLE_INPUT.action, method: one.method, http: { method: one.method }, arguments: one.arguments },
      resource: { ...SAMPLE_INPUT.resource, type: one.type, classification: one.classification, params: one.params },
      environment: { ...SAMPLE_INPUT.environment, time: new Date(one.timeMs).toISOString() },
    },
  }));

const members = (value: object): string => JSON.stringify(value).slice(1, -1);

test("the evaluator and OPA's JavaScript SDK give the same decision for the same input", () => {
  let nowMs = 0;
  const builtins = Object.fromEntries(
    [...HOST_BUILTINS].map(([name, builtin]) => [
      name,
      (...args: unknown[]): unknown => {
        const result = builtin.call(
          args.map((arg) => JSON.stringify(arg)),
          nowMs,
        );
        return result === undefined ? undefined : JSON.parse(result);
      },
    ]),
  );
  const ours = createEvaluator({
    module: new WebAssembly.Module(bundle.wasm),
    dataJson: bundle.dataJson,
    memoryPagesMax: 1024,
  });
  const theirs = sdk.loadPolicySync(bundle.wasm, { initial: 5, maximum: 1024 }, builtins);
  theirs.setData(JSON.parse(bundle.dataJson));
  let allowed = 0;
  fc.assert(
    fc.property(inputs, ({ input, timeMs }) => {
      nowMs = timeMs;
      const own = ours.evaluateEntry(DECISION_ENTRYPOINT, JSON.stringify(input), timeMs);
      assert.ok(own.ok);
      const [other] = theirs.evaluate(input, DECISION_ENTRYPOINT);
      assert.deepEqual(own.value, other?.result);
      // The same in two parts, first whole and then with the claims that the instance has kept.
      const { action, resource, environment, ...claims } = input;
      const split = { claims: members(claims), rest: members({ action, resource, environment }) };
      for (let time = 0; time < 3; time += 1) {
        const again = ours.decideSplit(split, timeMs);
        assert.ok(again.ok);
        assert.deepEqual(again.value, own.value);
      }
      if ((own.value as { allow: boolean }).allow) allowed++;
    }),
    { numRuns: 2000 },
  );
  assert.ok(allowed > 0, "some of the inputs must be allowed, or nothing was compared");
});
