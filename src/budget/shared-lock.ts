// In: one word of shared memory. Out: at most one thread at a time behind it, and a way on when that one is gone.
// Trusts: the supervisor to free the word of a thread that has ended; what is done behind it takes microseconds.

/** Longer than any thread needs, a pause for garbage included; shorter than the silence for which a thread is ended. */
const WAIT_MS_MAX = 100;
/** One sleep: a thread that ended in between wakes nobody. */
const SLEEP_MS = 5;
const SPINS = 200;
const FREE = 0;

export interface SharedLock {
  /** Runs `work` alone; undefined where the lock was not to be had in time. */
  run<T>(work: () => T): T | undefined;
  /** Called when `owner` has ended: it may have held the lock. */
  ended(owner: number): void;
}

/** `owner`: a number from 0 on, that no other thread has. */
export function attachSharedLock(words: Int32Array, index: number, owner: number): SharedLock {
  const own = owner + 1;

  function acquire(): boolean {
    for (let spin = 0; spin < SPINS; spin++) {
      if (Atomics.compareExchange(words, index, FREE, own) === FREE) return true;
    }
    for (let waitedMs = 0; waitedMs < WAIT_MS_MAX; waitedMs += SLEEP_MS) {
      const held = Atomics.load(words, index);
      if (held !== FREE) Atomics.wait(words, index, held, SLEEP_MS);
      if (Atomics.compareExchange(words, index, FREE, own) === FREE) return true;
    }
    return false;
  }

  function release(of: number): void {
    if (Atomics.compareExchange(words, index, of, FREE) === of) Atomics.notify(words, index, 1);
  }

  return {
    run(work) {
      if (!acquire()) return undefined;
      try {
        return work();
      } finally {
        release(own);
      }
    },
    ended: (gone) => release(gone + 1),
  };
}
