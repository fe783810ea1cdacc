import assert from "node:assert/strict";
import { suite, test, type TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import { attachEpoch, createEpochBuffer, EPOCH_MAX } from "../../../src/containment/epoch.ts";

/** Atomics.waitAsync does not keep the process alive, which a gateway's listeners do. */
function stayAlive(t: TestContext): void {
  const timer = setInterval(() => {}, 1000);
  t.after(() => clearInterval(timer));
}

suite("the containment epoch in shared memory", () => {
  test("a thread that starts has acknowledged nothing, and one attached later sees the epoch", () => {
    const sab = createEpochBuffer(2);
    const words = attachEpoch(sab);
    assert.deepEqual([words.threads, words.current(), words.acknowledged(1)], [2, 0, -1]);
    words.publish(7);
    assert.equal(attachEpoch(sab).current(), 7);
    words.acknowledge(1, 7);
    assert.deepEqual([words.acknowledged(0), words.acknowledged(1)], [-1, 7]);
    words.reset(1, 0);
    assert.equal(words.acknowledged(1), -1);
  });

  test("the epoch never goes back or out of its range", () => {
    const words = attachEpoch(createEpochBuffer(1));
    words.publish(5);
    for (const epoch of [4, -1, 5.5, Number.NaN, EPOCH_MAX + 1]) assert.throws(() => words.publish(epoch), RangeError);
    assert.equal(words.current(), 5);
  });

  test("a thread that does not exist is an error, never another's word", () => {
    const words = attachEpoch(createEpochBuffer(1));
    for (const thread of [-1, 1, 0.5]) assert.throws(() => words.acknowledge(thread, 1), RangeError);
    assert.throws(() => createEpochBuffer(0), RangeError);
  });

  test("silence is measured also where the clock's low 32 bits wrap", () => {
    const words = attachEpoch(createEpochBuffer(1));
    for (const start of [0, 2 ** 31 - 10, 2 ** 32 - 10, 2 ** 40]) {
      words.beat(0, start);
      assert.equal(words.silentForMs(0, start + 250), 250);
    }
  });

  test("waiting ends when every thread has acknowledged this epoch or a later one", async (t) => {
    stayAlive(t);
    const words = attachEpoch(createEpochBuffer(3));
    words.acknowledge(0, 4);
    const waiting = words.waitForAcknowledgement([0, 1], 3, 60_000);
    words.acknowledge(1, 2);
    words.acknowledge(1, 3);
    assert.deepEqual(await waiting, []);
  });

  test("the silent threads are named when the time is up", async (t) => {
    stayAlive(t);
    const words = attachEpoch(createEpochBuffer(3));
    const waiting = words.waitForAcknowledgement([0, 1, 2], 3, 20);
    words.acknowledge(1, 3);
    words.acknowledge(2, 2);
    assert.deepEqual(await waiting, [0, 2]);
  });

  test("an acknowledgement of another thread is heard", async (t) => {
    stayAlive(t);
    const sab = createEpochBuffer(1);
    const words = attachEpoch(sab);
    words.publish(1);
    const module = new URL("../../../src/containment/epoch.ts", import.meta.url).href;
    const code = `const { workerData } = require("node:worker_threads");
      import(${JSON.stringify(module)}).then(({ attachEpoch }) => {
        const words = attachEpoch(workerData);
        words.acknowledge(0, words.current());
      });`;
    const worker = new Worker(code, { eval: true, workerData: sab });
    t.after(() => worker.terminate());
    assert.deepEqual(await words.waitForAcknowledgement([0], 1, 20_000), []);
  });
});
