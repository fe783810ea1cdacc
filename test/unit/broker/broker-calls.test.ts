import assert from "node:assert/strict";
import { test } from "node:test";
import { createBrokerCalls } from "../../../src/broker/broker-calls.ts";
import type { ToBroker } from "../../../src/broker/broker-message.ts";
import { startTestBroker } from "../../fixtures/test-broker.ts";

const NOTHING = {} as const;

function createCalls(limits = { timeoutMs: 60_000, callsMax: 2 }) {
  const posted: Extract<ToBroker, { type: "call" }>[] = [];
  const calls = createBrokerCalls((message) => {
    if (message.type === "call") posted.push(message);
  }, limits);
  return { calls, posted };
}

test("the running issuer answers calls, and says in a sentence why it refuses one", async (t) => {
  const { broker } = await startTestBroker(t);
  const listed = await broker.call("keys.list", NOTHING);
  assert.deepEqual(listed.ok && listed.value.map(({ state }) => state), ["active"]);
  const rotated = await broker.call("keys.rotate", NOTHING);
  assert.equal(rotated.ok && rotated.value.state, "next");
  const again = await broker.call("keys.rotate", NOTHING);
  assert.ok(!again.ok);
  assert.deepEqual([again.error.status, again.error.code], [409, "rotation_under_way"]);
  assert.match(again.error.detail, /signs from 20\d\d-/);
});

test("a method that there is not is refused, and the log has the reason", async (t) => {
  const { broker, logs } = await startTestBroker(t);
  const answer = await broker.call("toString" as "keys.list", NOTHING);
  assert.ok(!answer.ok);
  assert.deepEqual([answer.error.status, answer.error.code], [500, "issuer_failed"]);
  assert.ok(logs.some(({ detail }) => detail?.includes("toString")));
});

test("calls in flight when the issuer closes are ended, and later ones fail at once", async (t) => {
  const { broker } = await startTestBroker(t);
  const closed = broker.close();
  const during = await Promise.all([broker.call("keys.list", NOTHING), closed]);
  const after = await broker.call("keys.list", NOTHING);
  assert.ok(!after.ok);
  assert.equal(after.error.code, "issuer_away");
  assert.ok(during[0].ok || during[0].error.code === "issuer_away");
});

test("a call without an answer ends when its time is over, and a late answer is dropped", async () => {
  const { calls, posted } = createCalls({ timeoutMs: 1, callsMax: 2 });
  const answer = await calls.call("keys.list", NOTHING);
  assert.ok(!answer.ok);
  assert.deepEqual([answer.error.status, answer.error.code], [504, "issuer_timeout"]);
  calls.answered({ type: "answer", id: posted[0]?.id ?? 0, result: [] });
});

test("calls in flight are bounded, answers find their own call, and the end of the thread ends the rest", async () => {
  const { calls, posted } = createCalls();
  const [first, second] = [calls.call("keys.list", NOTHING), calls.call("keys.list", NOTHING)];
  const third = await calls.call("keys.list", NOTHING);
  assert.ok(!third.ok && third.error.code === "issuer_busy");
  calls.answered({ type: "answer", id: posted[1]?.id ?? 0, result: ["of the second"] });
  assert.deepEqual(await second, { ok: true, value: ["of the second"] });
  calls.end();
  const ended = await first;
  assert.ok(!ended.ok && ended.error.code === "issuer_away");
});
