// A thread that reserves as fast as it can until its budget is used up, and says what it got.
import { parentPort, workerData } from "node:worker_threads";
import { attachCounterTable } from "../../../src/budget/counter-table.ts";
import type { Demand } from "../../../src/budget/budget.ts";

const { shared, gate, thread, demand, nowMs } = workerData as {
  shared: SharedArrayBuffer;
  gate: SharedArrayBuffer;
  thread: number;
  demand: Demand;
  nowMs: number;
};
const counters = attachCounterTable(shared, thread);
const word = new Int32Array(gate);
parentPort?.postMessage("ready");
Atomics.wait(word, 0, 0);
let spent = 0;
let most = 0;
for (let turn = 0; ; turn++) {
  const amount = 1 + (turn % 3);
  const result = counters.reserve([{ ...demand, amount }], nowMs);
  if ("reason" in result) {
    if (amount === 1 && result.detail.endsWith("sum")) break;
    continue;
  }
  spent += amount;
  // Between two looks another thread may end its call: never more than the limit is what must hold.
  most = Math.max(most, counters.read([demand], nowMs)?.[0]?.concurrent?.used ?? 0);
  // Some are given back in between, so that what is free moves in both directions.
  if (turn % 7 === 0 && counters.giveBack(result)) spent -= amount;
  counters.release(result);
}
parentPort?.postMessage({ spent, most });
