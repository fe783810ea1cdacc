import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createRefusalPace, WAITING_REFUSALS_MAX } from "../../../src/gateway/refusal-pace.ts";

/** src/gateway/refusal-pace.ts: 20 ms of credit, 0.05 ms a refusal, a twentieth of busy time. */
const AT_ONCE = 400;

/** A loop whose time the test tells, and refusals that are numbered. */
function start(t: TestContext) {
  const loop = { idle: 0, active: 0 };
  const given: number[] = [];
  const dropped: number[] = [];
  const pace = createRefusalPace(() => ({ ...loop }));
  t.after(() => pace.flush());
  let asked = 0;
  let next = Promise.withResolvers<void>();
  const refuse = (): void => {
    const number = asked++;
    pace.give(
      () => {
        given.push(number);
        next.resolve();
        next = Promise.withResolvers();
      },
      () => void dropped.push(number),
    );
  };
  return { loop, given, dropped, pace, refuse, nextGiven: () => next.promise };
}

test("refusals are given at once until the credit is used up, then they wait, in order", async (t) => {
  const { loop, given, pace, refuse, nextGiven } = start(t);
  for (let n = 0; n < AT_ONCE + 3; n++) refuse();
  assert.deepEqual([given.length, pace.waiting], [AT_ONCE, 3]);
  const waited = nextGiven();
  loop.idle += 0.12;
  await waited;
  assert.deepEqual([given.slice(AT_ONCE), pace.waiting], [[AT_ONCE, AT_ONCE + 1], 1]);
  pace.flush();
  assert.equal(pace.waiting, 0);
});

test("a busy loop gives a twentieth of its time to refusals, an idle one all of it", async (t) => {
  const { loop, given, pace, refuse, nextGiven } = start(t);
  for (let n = 0; n < AT_ONCE + 1000; n++) refuse();
  const busy = nextGiven();
  loop.active += 20.5; // 1.025 ms of credit
  await busy;
  assert.equal(given.length, AT_ONCE + 20);
  const idle = nextGiven();
  loop.idle += 10.01;
  await idle;
  assert.equal(given.length, AT_ONCE + 20 + 200);
  pace.flush();
});

test("credit that is not used is saved up to its limit, and no further", (t) => {
  const { loop, given, pace, refuse } = start(t);
  for (let n = 0; n < AT_ONCE; n++) refuse();
  loop.idle += 60_000;
  for (let n = 0; n < AT_ONCE + 50; n++) refuse();
  assert.deepEqual([given.length, pace.waiting], [2 * AT_ONCE, 50]);
  pace.flush();
});

test("where too many wait the next one is dropped, and a flush gives all that waited and lets none wait any more", (t) => {
  const { given, dropped, pace, refuse } = start(t);
  for (let n = 0; n < AT_ONCE + WAITING_REFUSALS_MAX + 2; n++) refuse();
  assert.deepEqual([pace.waiting, dropped.length], [WAITING_REFUSALS_MAX, 2]);
  pace.flush();
  assert.deepEqual([pace.waiting, given.length], [0, AT_ONCE + WAITING_REFUSALS_MAX]);
  refuse();
  assert.equal(given.length, AT_ONCE + WAITING_REFUSALS_MAX + 1);
});
