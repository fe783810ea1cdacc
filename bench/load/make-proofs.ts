// In: agents and how many requests they will make. Out: a file with one fresh proof a line, none used before.
// Made just before a round: a proof is good for 60 s, and once.
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { BenchAgent } from "./agents.ts";
import type { SignTask } from "./sign-proofs.ts";

export async function makeProofs(
  file: string,
  agents: readonly BenchAgent[],
  target: { readonly method: string; readonly htu: string },
  count: number,
): Promise<void> {
  const prefix = randomUUID();
  const workers = Math.min(2, availableParallelism());
  const share = Math.ceil(count / workers);
  const parts = await Promise.all(
    Array.from({ length: workers }, (_, index) => {
      const first = index * share;
      return signed({ agents: fromPosition(agents, first, share), ...target, first, count: share, prefix });
    }),
  );
  writeFileSync(file, parts.join("\n"));
}

/** Those that sign `count` proofs from position `first` on, in turn: a worker gets no agent that it does not need. */
function fromPosition(agents: readonly BenchAgent[], first: number, count: number): BenchAgent[] {
  const length = Math.min(count, agents.length);
  return Array.from({ length }, (_, index) => agents[(first + index) % agents.length] as BenchAgent);
}

function signed(task: SignTask): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./sign-proofs.ts", import.meta.url), { workerData: task });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}
