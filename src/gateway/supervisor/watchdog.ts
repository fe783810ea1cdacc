// In: what each thread said last, in shared memory. Out: the end of a thread that hangs, and the suspension of what made it.
// H12: a policy revision, or an agent, that makes the evaluation overrun twice on a route is refused there.
import type { EpochWords } from "../../containment/epoch.ts";
import { readMonotonicMs } from "../../lib/clock.ts";
import type { EvaluationWatch, Overrun } from "../evaluation-watch.ts";
import type { Suspension } from "../thread-messages.ts";
import type { ThreadPool } from "./thread-pool.ts";

export interface Watchdog {
  readonly suspensions: readonly Suspension[];
  close(): void;
}

const LOOK_MS = 50;
/** A thread that has not turned its loop for so long is not coming back: long pauses of the machine are far shorter. */
const SILENCE_MS_MAX = 10_000;
/** The first overrun may be bad luck; the second one of the same revision or agent on a route is not. */
const OVERRUNS_MAX = 2;
/** Counted pairs of route and culprit; the oldest are forgotten. */
const COUNTS_MAX = 10_000;

export function startWatchdog(options: {
  readonly pool: ThreadPool;
  readonly epoch: EpochWords;
  readonly evaluation: EvaluationWatch;
  readonly budgetMs: number;
  readonly revisionKey: () => string;
  readonly onOverrun: (overrun: Overrun, suspended: boolean) => void;
}): Watchdog {
  const { pool, epoch, evaluation } = options;
  const counts = new Map<string, number>();
  const suspensions: Suspension[] = [];
  const ending = new Set<number>();

  function countUp(key: string): number {
    const count = (counts.get(key) ?? 0) + 1;
    counts.delete(key);
    counts.set(key, count);
    const oldest = counts.keys().next();
    if (counts.size > COUNTS_MAX && !oldest.done) counts.delete(oldest.value);
    return count;
  }

  function onOverrun(overrun: Overrun): void {
    const { route, agentHash } = overrun;
    const revision = options.revisionKey();
    const found: Suspension[] = [];
    if (countUp(`${route} r ${revision}`) >= OVERRUNS_MAX) found.push({ route, revision });
    if (countUp(`${route} a ${agentHash}`) >= OVERRUNS_MAX) found.push({ route, agentHash });
    for (const suspension of found) {
      suspensions.push(suspension);
      pool.broadcast({ type: "suspend", suspension });
    }
    options.onOverrun(overrun, found.length > 0);
  }

  const timer = setInterval(() => {
    const now = readMonotonicMs();
    for (const thread of pool.all) {
      if (thread.state === "replaced" || ending.has(thread.serial)) continue;
      const overrun = evaluation.overrun(thread.index, options.budgetMs, now);
      const silentMs = thread.state === "serving" ? epoch.silentForMs(thread.index, now) : 0;
      if (overrun === null && silentMs <= SILENCE_MS_MAX) continue;
      ending.add(thread.serial);
      // Suspensions first, so that the successor starts with them.
      if (overrun !== null) onOverrun(overrun);
      const why = overrun === null ? `silent for ${silentMs} ms` : `a policy evaluation ran for ${overrun.ms} ms`;
      void thread.end(why);
    }
  }, LOOK_MS);

  return {
    suspensions,
    close: () => clearInterval(timer),
  };
}
