// What makes exchanges cheaper under load: those of one turn of the event loop walk side by side.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createLoopTurn } from "../../../src/lib/loop-turn.ts";

test("who comes in one turn of the loop goes on after it, step by step beside the others", async () => {
  const turn = createLoopTurn();
  const steps: string[] = [];
  const walk = async (name: string): Promise<void> => {
    await turn();
    steps.push(`${name} is judged`);
    await Promise.resolve();
    steps.push(`${name} is sent`);
  };
  const walks = [walk("one")];
  // Another event of the same turn, as when a second socket is read.
  await new Promise<void>((resolve) => {
    process.nextTick(() => {
      walks.push(walk("two"));
      resolve();
    });
  });
  assert.deepEqual(steps, []);
  await Promise.all(walks);
  assert.deepEqual(steps, ["one is judged", "two is judged", "one is sent", "two is sent"]);
});

test("who comes when a turn is over waits for the next one", async () => {
  const turn = createLoopTurn();
  const first = turn();
  assert.equal(turn(), first);
  await first;
  const next = turn();
  assert.notEqual(next, first);
  await next;
});
