// In: a function and for how long. Out: the processor time of one call in microseconds, the median of several samples.
// Processor time of the whole process, not time on the clock: other work on the machine then counts less.
import type { Plan } from "../arguments.ts";
import { median } from "../rows.ts";

/** Calls before the first sample: the optimising compiler has then seen the function. */
const WARM_UP_CALLS = 2000;
const CALLS_MAX = 1_000_000;

export interface Measured {
  /** One call; what it returns keeps the compiler from leaving it out. */
  readonly call: (index: number) => unknown;
  /** Before each sample, not counted. */
  readonly prepare?: () => void;
  /** After the calls of a sample, counted: what they left to be written. */
  readonly settle?: () => Promise<void>;
  /** The most calls that one sample may make. */
  readonly callsMax?: number;
}

let sink: unknown;

function loop(measured: Measured, calls: number): void {
  for (let index = 0; index < calls; index++) sink = measured.call(index);
}

export async function cpuUsPerCall(measured: Measured, plan: Pick<Plan, "microMs" | "microSamples">): Promise<number> {
  const most = measured.callsMax ?? CALLS_MAX;
  let calls = Math.min(WARM_UP_CALLS, most);
  measured.prepare?.();
  loop(measured, calls);
  await measured.settle?.();
  measured.prepare?.();
  const startedAt = performance.now();
  loop(measured, calls);
  const perCallMs = Math.max((performance.now() - startedAt) / calls, 1e-5);
  await measured.settle?.();
  calls = Math.max(1, Math.min(most, Math.ceil(plan.microMs / perCallMs)));
  const samples: number[] = [];
  for (let sample = 0; sample < plan.microSamples; sample++) {
    measured.prepare?.();
    const before = process.cpuUsage();
    loop(measured, calls);
    await measured.settle?.();
    const { user, system } = process.cpuUsage(before);
    samples.push((user + system) / calls);
  }
  return sink === cpuUsPerCall ? Number.NaN : median(samples);
}
