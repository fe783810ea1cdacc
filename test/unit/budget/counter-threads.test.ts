// The same budget from several threads at once: exactly what there is, whoever takes it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { attachCounterTable, createCounterBuffer } from "../../../src/budget/counter-table.ts";
import { demand, T0_MS } from "./demands.ts";

const THREADS = 4;
const SUM = 20_000;

test("four threads that spend one budget at the same time spend all of it and no more", {
  timeout: 60_000,
}, async () => {
  const shared = createCounterBuffer(64, THREADS);
  const gate = new SharedArrayBuffer(4);
  const of = demand({ limits: { sum: SUM, concurrent: 2 } });
  const workers = Array.from({ length: THREADS }, (_, thread) => {
    const workerData = { shared, gate, thread, demand: of, nowMs: T0_MS };
    return new Worker(new URL("spender.ts", import.meta.url), { workerData });
  });
  await Promise.all(workers.map((worker) => once(worker, "message")));
  const results = workers.map(async (worker) => (await once(worker, "message"))[0] as { spent: number; most: number });
  Atomics.store(new Int32Array(gate), 0, 1);
  Atomics.notify(new Int32Array(gate), 0);
  const all = await Promise.all(results);
  assert.equal(
    all.reduce((sum, { spent }) => sum + spent, 0),
    SUM,
  );
  assert.ok(Math.max(...all.map(({ most }) => most)) <= 2);
  assert.deepEqual(attachCounterTable(shared, THREADS).read([of], T0_MS), [
    { sum: { used: SUM, remaining: 0 }, concurrent: { used: 0, remaining: 2 } },
  ]);
});
