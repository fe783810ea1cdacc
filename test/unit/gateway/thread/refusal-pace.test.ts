import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createRefusalPace, WAITING_REFUSALS_MAX } from "../../../../src/gateway/thread/refusal-pace.ts";

/** src/gateway/thread/refusal-pace.ts: 20 ms of credit, 0.05 ms a refusal, a twentieth of busy time. */
const AT_ONCE = 400;
const PEER = "192.0.2.1";
const OTHER = "192.0.2.2";

/** A loop whose time the test tells, and refusals that are numbered. */
function start(t: TestContext) {
  const loop = { idle: 0, active: 0 };
  const given: number[] = [];
  const closed: number[] = [];
  const pace = createRefusalPace(() => ({ ...loop }));
  t.after(() => pace.flush());
  let asked = 0;
  let next = Promise.withResolvers<void>();
  /** The connection, whose client can leave. */
  const refuse = (remoteAddress = PEER) => {
    const number = asked++;
    const connection = { remoteAddress, destroyed: false, destroy: () => void closed.push(number) };
    pace.give(connection, () => {
      given.push(number);
      next.resolve();
      next = Promise.withResolvers();
    });
    return connection;
  };
  /** Uses up the credit, so that all that follows waits. */
  const useUp = (): void => {
    while (pace.waiting === 0) refuse();
  };
  return { loop, given, closed, pace, refuse, useUp, nextGiven: () => next.promise };
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

test("a peer that asks little does not stand behind one that asks much", async (t) => {
  const { loop, given, pace, refuse, useUp, nextGiven } = start(t);
  useUp();
  for (let n = 0; n < 1000; n++) refuse();
  const last = given.length + pace.waiting;
  refuse(OTHER);
  const turn = nextGiven();
  loop.idle += 0.23; // four refusals: each peer has its turn among them
  await turn;
  assert.ok(given.includes(last));
  pace.flush();
});

test("nobody waits longer than ten seconds, however many peers have their turns in between", async (t) => {
  const { loop, given, pace, refuse, useUp, nextGiven } = start(t);
  useUp();
  for (let n = pace.waiting; n < 1000; n++) refuse();
  const last = given.length + pace.waiting - 1;
  let peer = 0;
  for (let ms = 0; !given.includes(last); ms += 100) {
    assert.ok(ms < 10_000, `${ms} ms, and it waits still`);
    // As many new peers as have had an answer, each of which has its turn before a second one of the old peer.
    while (pace.waiting < WAITING_REFUSALS_MAX) refuse(`10.1.${peer >> 8}.${peer++ & 255}`);
    const some = nextGiven();
    loop.active += 100;
    await some;
  }
  pace.flush();
});

test("where too many wait, it is the peer of which most waits that loses one, and a newcomer waits with the others", (t) => {
  const { closed, pace, refuse, useUp } = start(t);
  useUp();
  for (let n = pace.waiting; n < WAITING_REFUSALS_MAX; n++) refuse();
  assert.deepEqual([pace.waiting, closed.length], [WAITING_REFUSALS_MAX, 0]);
  refuse();
  assert.deepEqual(closed, [AT_ONCE + WAITING_REFUSALS_MAX], "its own newest one");
  refuse(OTHER);
  assert.deepEqual([pace.waiting, closed.at(-1)], [WAITING_REFUSALS_MAX, AT_ONCE], "the oldest one of the other");
  pace.flush();
});

test("where as many peers wait as can, the next one is closed, and no more is kept", (t) => {
  const { closed, pace, refuse, useUp } = start(t);
  useUp();
  for (let n = pace.waiting; n < WAITING_REFUSALS_MAX; n++) refuse(`10.0.${n >> 8}.${n & 255}`);
  refuse(OTHER);
  assert.deepEqual([pace.waiting, closed.length], [WAITING_REFUSALS_MAX, 1]);
  pace.flush();
});

test("who left is not answered and takes nobody's time", async (t) => {
  const { loop, given, pace, refuse, useUp, nextGiven } = start(t);
  useUp();
  const gone = Array.from({ length: 100 }, () => refuse());
  const last = refuse();
  for (const connection of gone) connection.destroyed = true;
  const waited = nextGiven();
  loop.idle += 0.12; // two refusals
  await waited;
  assert.deepEqual([given.length, given.at(-1), pace.waiting], [AT_ONCE + 2, AT_ONCE + 101, 0]);
  assert.equal(last.destroyed, false);
});

test("a flush gives all that waited and lets none wait any more", (t) => {
  const { given, pace, refuse, useUp } = start(t);
  useUp();
  for (let n = 0; n < 1000; n++) refuse();
  pace.flush();
  assert.deepEqual([pace.waiting, given.length], [0, AT_ONCE + 1001]);
  refuse();
  assert.equal(given.length, AT_ONCE + 1002);
});
