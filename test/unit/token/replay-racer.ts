// In: a shared replay table, a barrier, a number of rounds. Out: how many claims each round's proof got on this thread.
import { parentPort, workerData } from "node:worker_threads";
import { attachReplayTable } from "../../../src/token/replay-table.ts";

const { shared, barrier, rounds, threads, iatMs } = workerData as {
  shared: SharedArrayBuffer;
  barrier: SharedArrayBuffer;
  rounds: number;
  threads: number;
  iatMs: number;
};
const table = attachReplayTable(shared, Buffer.alloc(32, 9));
const arrivals = new Int32Array(barrier);
const outcomes: string[] = [];
for (let round = 0; round < rounds; round++) {
  // All threads leave the barrier together: the last one in wakes the others.
  if (Atomics.add(arrivals, round, 1) + 1 === threads) Atomics.notify(arrivals, round);
  else {
    for (let seen = Atomics.load(arrivals, round); seen < threads; seen = Atomics.load(arrivals, round)) {
      Atomics.wait(arrivals, round, seen);
    }
  }
  outcomes.push(
    table.claim({ jkt: `key-${round}`, jti: `jti-${round}`, method: "GET", uri: "https://a.example/" }, iatMs),
  );
}
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort has no origin
parentPort?.postMessage(outcomes);
