// In: refusals of callers that were not proven. Out: each is given at once, or as soon as this thread has time for it.
// Who is not proven must not take the thread from those who are: of an idle thread refusals get all the time, of a busy one
// a twentieth. A flood waits for its answers, and sends no more while it waits; what is refused is logged all the same.

export interface RefusalPace {
  /** Calls one of the two, once: `answer` now or later, `drop` where too many wait. */
  give(answer: () => void, drop: () => void): void;
  /** From now on nothing waits; what waited is given. */
  flush(): void;
  readonly waiting: number;
}

/** `performance.eventLoopUtilization()`, in milliseconds since the thread began. */
export type LoopTime = () => { readonly idle: number; readonly active: number };

/** Processor time of one refusal on a common machine, from its first byte to its line in the log. Whole, so that sums are exact. */
const REFUSAL_US = 50;
/** Of the time in which the loop is busy. */
const BUSY_SHARE = 1 / 20;
/** Saved up while nobody is refused: 400 refusals at once, before any of them waits. */
const CREDIT_US_MAX = 20_000;
const TICK_MS = 1;
/** About as many as one listener has connections; each is a closure and a response without a body yet. */
export const WAITING_REFUSALS_MAX = 10_000;

export function createRefusalPace(loopTime: LoopTime): RefusalPace {
  const queue = new Set<() => void>();
  let credit = CREDIT_US_MAX;
  let seen = loopTime();
  let timer: NodeJS.Timeout | undefined;
  let open = false;

  function refill(): void {
    const now = loopTime();
    const gainedMs = now.idle - seen.idle + (now.active - seen.active) * BUSY_SHARE;
    credit = Math.min(CREDIT_US_MAX, credit + gainedMs * 1000);
    seen = now;
  }

  function giveWaiting(): void {
    timer = undefined;
    refill();
    for (const answer of queue) {
      if (credit < REFUSAL_US && !open) break;
      credit -= REFUSAL_US;
      queue.delete(answer);
      answer();
    }
    if (queue.size > 0) timer = setTimeout(giveWaiting, TICK_MS);
  }

  return {
    give(answer, drop) {
      if (queue.size === 0 && credit < REFUSAL_US) refill();
      if (open || (queue.size === 0 && credit >= REFUSAL_US)) {
        credit -= REFUSAL_US;
        answer();
      } else if (queue.size >= WAITING_REFUSALS_MAX) {
        drop();
      } else {
        queue.add(answer);
        timer ??= setTimeout(giveWaiting, TICK_MS);
      }
    },
    flush() {
      open = true;
      clearTimeout(timer);
      giveWaiting();
    },
    get waiting() {
      return queue.size;
    },
  };
}
