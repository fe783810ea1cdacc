import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as fc from "fast-check";
import { createInstance } from "../../../src/policy/create-instance.ts";
import { createEvaluator, type Evaluator } from "../../../src/policy/evaluator.ts";
import { parseBundle } from "../../../src/policy/parse-bundle.ts";

const parsed = parseBundle(readFileSync(new URL("./fixtures/misbehaving.tar.gz", import.meta.url)));
assert.ok(parsed.ok);
const module = new WebAssembly.Module(parsed.value.wasm);

const evaluatorIn = (mode: string, memoryPagesMax = 1024): Evaluator =>
  createEvaluator({ module, dataJson: JSON.stringify({ mode }), memoryPagesMax });

function answer(evaluator: Evaluator, input = "{}"): string {
  const decision = evaluator.decide(input, 0);
  return decision.ok ? `allow ${decision.value.allow}` : decision.error.reason;
}

const cases: readonly (readonly [string, string, string])[] = [
  ["good", "{}", "allow true"],
  ["deny", "{}", "allow false"],
  ["missing", "{}", "policy.undefined"],
  ["malformed", "{}", "policy.malformed_decision"],
  ["unknown_obligation", "{}", "policy.unknown_obligation"],
  ["throw", '{"number":1.5}', "policy.error"],
  ["conflict", "{}", "policy.error"],
];
for (const [name, input, expected] of cases) {
  test(`H12 a policy in mode ${name} is answered with ${expected}, again and again`, () => {
    const evaluator = evaluatorIn(name);
    for (let round = 0; round < 3; round += 1) assert.equal(answer(evaluator, input), expected);
  });
}

test("H12 the text of an abort reaches the log as the denial's detail", () => {
  const decision = evaluatorIn("conflict").decide("{}", 0);
  assert.ok(!decision.ok);
  assert.match(decision.error.detail ?? "", /conflict/);
});

/** How many WebAssembly instances are made while `run` runs. */
function instancesMade(run: () => void): number {
  const host = WebAssembly as unknown as { Instance: typeof WebAssembly.Instance };
  const original = host.Instance;
  let made = 0;
  host.Instance = class extends original {
    constructor(...args: ConstructorParameters<typeof WebAssembly.Instance>) {
      super(...args);
      made += 1;
    }
  };
  try {
    run();
  } finally {
    host.Instance = original;
  }
  return made;
}

test("H12 memory stops at its limit, the exchange is denied, and a fresh instance answers the next one", () => {
  const evaluator = evaluatorIn("grow", 32);
  const made = instancesMade(() => {
    assert.equal(answer(evaluator, '{"count":1000000}'), "policy.error");
    assert.equal(answer(evaluator, '{"count":10}'), "allow true");
    assert.equal(answer(evaluator, '{"count":10}'), "allow true");
  });
  assert.equal(made, 1);
});

test("H12 a throw in a host built-in ends the instance, and a fresh one answers the next exchange", () => {
  const evaluator = evaluatorIn("throw");
  const made = instancesMade(() => {
    assert.equal(answer(evaluator, '{"number":1.5}'), "policy.error");
    assert.equal(answer(evaluator, '{"number":1}'), "allow true");
    assert.equal(answer(evaluator, '{"number":1}'), "allow true");
  });
  assert.equal(made, 1);
});

test("H12 memory that one evaluation grew is given back: its instance is replaced", () => {
  const evaluator = evaluatorIn("grow", 65_536);
  const made = instancesMade(() => {
    assert.equal(answer(evaluator, '{"count":1000000}'), "allow true");
    assert.equal(answer(evaluator, '{"count":10}'), "allow true");
    assert.equal(answer(evaluator, '{"count":10}'), "allow true");
  });
  assert.equal(made, 1);
});

/** Counts the memories that are made while `run` runs. */
function memoriesMade(run: () => void): number {
  const host = WebAssembly as unknown as { Memory: typeof WebAssembly.Memory };
  const original = host.Memory;
  let made = 0;
  host.Memory = class extends original {
    constructor(...args: ConstructorParameters<typeof WebAssembly.Memory>) {
      super(...args);
      made += 1;
    }
  };
  try {
    run();
  } finally {
    host.Memory = original;
  }
  return made;
}

test("H12 a flood of evaluations that trap or grow makes no flood of memories", () => {
  const trapping = evaluatorIn("grow", 512);
  const trapped = memoriesMade(() => {
    for (let round = 0; round < 20; round++) {
      assert.equal(answer(trapping, '{"count":1000000}'), "policy.error");
      assert.equal(answer(trapping, '{"count":10}'), "allow true");
    }
  });
  assert.equal(trapped, 1, "the first one that had grown is given back; the next one is used again");
  const growing = evaluatorIn("grow", 65_536);
  const grown = memoriesMade(() => {
    for (let round = 0; round < 20; round++) assert.equal(answer(growing, '{"count":1000000}'), "allow true");
  });
  assert.equal(grown, 1);
});

test("H12 an input that does not fit into the memory is denied", () => {
  const evaluator = evaluatorIn("good", 32);
  assert.equal(answer(evaluator, JSON.stringify({ x: "x".repeat(32 * 65_536) })), "policy.error");
  assert.equal(answer(evaluator), "allow true");
});

test("data that does not load makes no evaluator", () => {
  assert.throws(() => createEvaluator({ module, dataJson: "{", memoryPagesMax: 1024 }), /could not be loaded/);
});

test("H12 an instance that cannot be made again is not tried on every call, and is tried again later", (t) => {
  const evaluator = evaluatorIn("throw");
  const decide = (timeMs: number, number = 1): string => {
    const decision = evaluator.decide(JSON.stringify({ number }), timeMs);
    return decision.ok ? `allow ${decision.value.allow}` : `${decision.error.reason} ${decision.error.detail}`;
  };
  assert.match(decide(0, 1.5), /^policy\.error /);
  const make = t.mock.method(WebAssembly, "Instance", function fail() {
    throw new RangeError("no memory is left");
  });
  for (let call = 0; call < 10; call += 1) assert.equal(decide(call), "policy.error RangeError: no memory is left");
  assert.equal(make.mock.callCount(), 1);
  assert.equal(decide(5000), "policy.error RangeError: no memory is left");
  assert.equal(make.mock.callCount(), 2);
  make.mock.restore();
  assert.equal(decide(5001), "policy.error RangeError: no memory is left");
  assert.equal(decide(10_000), "allow true");
  assert.equal(decide(10_001), "allow true");
});

test("an entry point that the bundle lacks is undefined", () => {
  const result = evaluatorIn("good").evaluateEntry("cordon/nothing", "{}", 0);
  assert.equal(result.ok ? "" : result.error.reason, "policy.undefined");
});

test("the input reaches the policy unchanged, whatever text it holds", () => {
  const evaluator = evaluatorIn("good");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 200 }), fc.nat(), (text, timeMs) => {
      const input = { text, list: [text, 1, null, true] };
      const result = evaluator.evaluateEntry("cordon/answer", JSON.stringify(input), timeMs);
      assert.ok(result.ok);
      assert.deepEqual((result.value as { input: unknown }).input, input);
    }),
  );
});

test("the policy's clock is the time handed in, to the millisecond, and no other", () => {
  const result = evaluatorIn("good").evaluateEntry("cordon/answer", "{}", 1_767_225_600_123.9);
  assert.ok(result.ok);
  assert.equal((result.value as { now: number }).now, 1_767_225_600_123_000_000);
});

test("input text that is no JSON is never allowed by a policy that reads it", () => {
  assert.notEqual(answer(evaluatorIn("throw"), '{"number":'), "allow true");
});

test("claims that come again are kept in one instance, however many agents there are, and the answers stay the same", () => {
  const text = "x".repeat(8000);
  const evaluator = evaluatorIn("good");
  const made = instancesMade(() => {
    for (let agent = 0; agent < 1000; agent += 1) {
      const split = { claims: `"agent":{"id":"${agent}","text":"${text}"}`, rest: '"action":{}' };
      for (let time = 0; time < 3; time += 1) {
        const decision = evaluator.decideSplit(split, 0);
        assert.ok(decision.ok && decision.value.allow, `agent ${agent}`);
      }
    }
  });
  assert.equal(made, 0, "memory for claims is bounded, so the instance is never replaced");
});

test("an input in two parts is judged as the whole, also when the claims were kept before", () => {
  const claims = '"agent":{"id":"a"},"principal":{"n":1e400}';
  const evaluator = evaluatorIn("good");
  for (const rest of ['"action":{"x":[1,2,{"y":null}]}', '"action":{"\\u00e9":"\u00e9"}', '"action":{}']) {
    for (let time = 0; time < 3; time += 1) {
      const whole = evaluator.decide(`{${claims},${rest}}`, 0);
      assert.deepEqual(evaluator.decideSplit({ claims, rest }, 0), whole, rest);
    }
  }
});

test("H12 a memory that is used again holds nothing of the evaluations before", () => {
  const options = { module, dataJson: '{"mode":"good"}', memoryPagesMax: 1024 };
  const before = createInstance(options);
  const id = before.entrypoints.get("cordon/decision") ?? assert.fail();
  const text = before.evaluate(id, '{"secret":"of another agent"}', 0);
  assert.ok(Buffer.from(before.memory.buffer).includes("of another agent"));
  const after = createInstance(options, before.memory);
  assert.ok(!Buffer.from(after.memory.buffer).includes("of another agent"));
  assert.equal(after.evaluate(id, "{}", 0), text);
});
