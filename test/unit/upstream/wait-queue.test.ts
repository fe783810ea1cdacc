import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Denial } from "../../../src/errors.ts";
import { WAITING_BYTES_MAX, WAITING_MAX, WaitQueue, type Waiter } from "../../../src/upstream/wait-queue.ts";

interface Recorded extends Waiter {
  dispatched: number;
  denial: Denial | null;
}

function waiter(heldBytes = 0): Recorded {
  return {
    heldBytes,
    dispatched: 0,
    denial: null,
    dispatch() {
      this.dispatched += 1;
    },
    cut(denial) {
      this.denial = denial;
    },
  };
}

describe("the queue for a tool's connections", () => {
  it("gives turns at once while there is room, then in the order of arrival as they are given back", async () => {
    const queue = new WaitQueue(2);
    assert.deepEqual([queue.enter(waiter()), queue.enter(waiter())], ["now", "now"]);
    const [first, second, third] = [waiter(), waiter(), waiter()];
    for (const one of [first, second, third]) assert.equal(queue.enter(one), "wait");
    queue.leave();
    queue.leave();
    assert.equal(queue.enter(waiter()), "wait", "a newcomer does not overtake those that wait");
    await Promise.resolve();
    assert.deepEqual([first.dispatched, second.dispatched, third.dispatched], [1, 1, 0]);
  });

  it("passes over a waiter that gave up, and never calls it", async () => {
    const queue = new WaitQueue(1);
    queue.enter(waiter());
    const [gone, next] = [waiter(), waiter()];
    queue.enter(gone);
    queue.enter(next);
    queue.abandon(gone);
    queue.leave();
    await Promise.resolve();
    assert.deepEqual([gone.dispatched, next.dispatched], [0, 1]);
  });

  it("holds a bounded number of waiters, and takes the next one when one gave up", () => {
    const queue = new WaitQueue(1);
    queue.enter(waiter());
    const waiting = Array.from({ length: WAITING_MAX }, () => waiter());
    for (const one of waiting) assert.equal(queue.enter(one), "wait");
    assert.equal(queue.enter(waiter()), "full");
    queue.abandon(waiting[500] as Recorded);
    assert.equal(queue.enter(waiter()), "wait");
  });

  it("holds a bounded number of body bytes, counted once however often a waiter gives up", () => {
    const queue = new WaitQueue(1);
    queue.enter(waiter());
    const half = waiter(WAITING_BYTES_MAX / 2);
    assert.deepEqual([queue.enter(half), queue.enter(waiter(WAITING_BYTES_MAX / 2))], ["wait", "wait"]);
    assert.deepEqual([queue.enter(waiter(1)), queue.enter(waiter())], ["full", "wait"]);
    queue.abandon(half);
    queue.abandon(half);
    assert.deepEqual([queue.enter(waiter(WAITING_BYTES_MAX / 2)), queue.enter(waiter(1))], ["wait", "full"]);
  });

  it("refuses everyone that waits when it is closed", () => {
    const queue = new WaitQueue(1);
    queue.enter(waiter());
    const waiting = waiter();
    queue.enter(waiting);
    queue.close();
    assert.equal(waiting.denial?.reason, "gateway.draining");
  });
});
