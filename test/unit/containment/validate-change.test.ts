import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as fc from "fast-check";
import { validateChange } from "../../../src/containment/validate-change.ts";

const AGENT = "spiffe://acme.example/agent/o1/t1/i1";
const good = { level: "agent", id: AGENT, mode: "blocked", reason: "odd reads" };

suite("an operator's containment change", () => {
  test("is accepted for each level with the id of that level only", () => {
    const ids = { agent: AGENT, task: "spiffe://acme.example/agent/o1/t1", token: "https://idp.example/x 9f-1:2" };
    for (const level of Object.keys(ids)) {
      for (const [of, id] of Object.entries(ids)) {
        assert.equal(validateChange({ ...good, level, id }).ok, level === of, `${level} ${id}`);
      }
    }
  });

  test("is accepted for a chain by its issuer and its session", () => {
    assert.ok(validateChange({ ...good, level: "chain", id: "https://idp.example/x wq9-_1" }).ok);
    for (const id of [AGENT, "wq9-_1", "https://idp.example/x "]) {
      assert.equal(validateChange({ ...good, level: "chain", id }).ok, false, id);
    }
  });

  test("is refused for ids that are almost right", () => {
    const ids = [
      `${AGENT}/`,
      `${AGENT} `,
      AGENT.toUpperCase(),
      "spiffe://acme.example/agent/o1//i1",
      "spiffe://acme.example/agent/../t1/i1",
      "spiffe://a@b/agent/o/t/i",
      "spiffe://acme.example:8/agent/o/t/i",
      `${AGENT}?x`,
      `${AGENT}\n`,
      "spiffe:///agent/o/t/i",
      `spiffe://acme.example/agent/${"o".repeat(3000)}/t/i`,
      7,
      null,
      undefined,
      [AGENT],
    ];
    for (const id of ids) assert.equal(validateChange({ ...good, id }).ok, false, String(id));
    for (const id of ["iss", " jti", "iss ", "iss j\u0000ti", "iss j\u202eti"]) {
      assert.equal(validateChange({ ...good, level: "token", id }).ok, false, id);
    }
  });

  test("drains for five minutes by default, from a second to a day, and other modes have no deadline", () => {
    const drain = (drainS?: unknown) => validateChange({ ...good, mode: "draining", drainS });
    const first = drain();
    assert.equal(first.ok && first.value.drainS, 300);
    for (const drainS of [1, 86_400]) assert.equal(drain(drainS).ok, true);
    for (const drainS of [0, 86_401, 1.5, "5", null, Number.NaN]) {
      assert.equal(drain(drainS).ok, false, String(drainS));
    }
    assert.equal(validateChange({ ...good, drainS: 5 }).ok, false);
  });

  test("needs a reason of one printable line, 1 to 500 characters", () => {
    for (const reason of [
      "",
      "  ",
      "x".repeat(501),
      "a\nb",
      "a\u001b[31m",
      "a\u0085b",
      "a\u2028b",
      "\ud800",
      5,
      undefined,
    ]) {
      assert.equal(validateChange({ ...good, reason }).ok, false, JSON.stringify(reason));
    }
    for (const reason of ["x", "x".repeat(500), "käse – 理由 🙂"])
      assert.equal(validateChange({ ...good, reason }).ok, true);
  });

  test("names every member that is wrong at once", () => {
    const result = validateChange({ level: "orchestration", id: 1, mode: "active", reason: "" });
    assert.ok(!result.ok);
    assert.deepEqual(
      result.error.map((line) => line.split(":")[0]),
      ["level", "mode", "reason"],
    );
  });

  test("never throws, whatever the values are", () => {
    fc.assert(
      fc.property(
        fc.anything(),
        fc.anything(),
        fc.anything(),
        fc.anything(),
        fc.anything(),
        (level, id, mode, reason, drainS) => {
          assert.equal(validateChange({ level, id, mode, reason, drainS }).ok, false);
        },
      ),
    );
  });
});
