// In: a stage and streams of requests. Out: what became of each stream, sent by a generator on the core of the load.
import type { ConstantRateTask } from "./constant-rate.ts";
import type { StreamResult } from "./rate-stream.ts";
import type { Stage } from "./stage.ts";

const GENERATOR = new URL("./constant-rate.ts", import.meta.url).pathname;
/** For its start, and for the answers that it waits for at the end. */
const EXTRA_MS = 30_000;

export async function runConstantRate(stage: Stage, task: ConstantRateTask): Promise<StreamResult[]> {
  const output = await stage.processes.run(process.execPath, [GENERATOR, JSON.stringify(task)], {
    cores: stage.cores.load,
    timeoutMs: task.seconds * 1000 + EXTRA_MS,
  });
  return JSON.parse(output) as StreamResult[];
}
