// In: an issuer's key, an audience and a number. Out: that many agents, each with a key and a token of its own.
// A hundred thousand take two cores some six seconds; keys pass between threads as they are, without a text form.
import type { KeyObject } from "node:crypto";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { BenchAgent } from "./agents.ts";
import type { IssueTask } from "./issue-agents.ts";

export async function makeAgents(
  issuerKey: KeyObject,
  audience: string,
  count: number,
  scope: readonly string[] = [],
): Promise<BenchAgent[]> {
  const workers = Math.min(2, availableParallelism());
  const share = Math.ceil(count / workers);
  const parts = await Promise.all(
    Array.from({ length: workers }, (_, index) =>
      issued({ issuerKey, audience, count: Math.min(share, count - index * share), scope }),
    ),
  );
  return parts.flat();
}

function issued(task: IssueTask): Promise<BenchAgent[]> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./issue-agents.ts", import.meta.url), { workerData: task });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}
