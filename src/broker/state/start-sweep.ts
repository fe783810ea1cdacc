// In: the state and the process's time. Out: rows that nothing can ask for any more are removed, a few at a time.
// What keeps a spent or ended credential dead is only removed when time alone keeps it dead; used instances never are.
import type { BrokerState } from "./open-state.ts";

const SWEEP_MS = 30_000;
/** Rows of one kind in one transaction: a few milliseconds. */
const ROWS_MAX = 500;
/** Before the next part, where there is more: requests come first. */
const PAUSE_MS = 100;

export interface Sweep {
  /** Removes what is due now, in as many parts as it takes. */
  sweep(): Promise<void>;
  close(): void;
}

export function startSweep(state: BrokerState, nowMs: () => number, onProblem: (error: Error) => void): Sweep {
  let closed = false;
  let timer = wait(SWEEP_MS);

  function wait(ms: number): NodeJS.Timeout {
    return setTimeout(run, ms).unref();
  }

  /** True where there may be more. */
  function part(): Promise<boolean> {
    const { commit, launches, agents, revocations } = state;
    return commit.run(() => {
      const now = nowMs();
      const counts = [launches, agents, revocations].map((rows) => rows.sweep(now, ROWS_MAX));
      return counts.some((count) => count >= ROWS_MAX);
    });
  }

  function run(): void {
    part().then(
      (more) => {
        if (!closed) timer = wait(more ? PAUSE_MS : SWEEP_MS);
      },
      (error: unknown) => {
        onProblem(error instanceof Error ? error : new Error(String(error)));
        if (!closed) timer = wait(SWEEP_MS);
      },
    );
  }

  return {
    async sweep() {
      while (await part());
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
