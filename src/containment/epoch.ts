// In: the number of each containment change, and each thread's word that it enforces it. Out: who is silent.
// Trusts: the threads of this process. All of it is shared memory, so that a thread that is busy still sees the number.
import { readMonotonicMs } from "../lib/clock.ts";

// Each thread's words have a cache line of their own (64 bytes), so that one thread's writes never slow another's reads.
const WORDS_PER_LINE = 16;
const EPOCH_WORD = 0;
const ACKNOWLEDGED_WORD = 0;
const HEARTBEAT_WORD = 1;
/** Atomics.waitAsync needs Int32 words here, since reading a BigInt allocates: 2^31 changes in the life of one store. */
export const EPOCH_MAX = 2 ** 31 - 1;
/** `acknowledged` of a thread that has not enforced any epoch yet. */
const NOT_STARTED = -1;

export interface EpochWords {
  readonly threads: number;
  /** The epoch that every thread must enforce. One atomic read: cheap enough for each exchange. */
  current(): number;
  /** Supervisor only. Throws RangeError when the epoch would go back or leaves its range. */
  publish(epoch: number): void;
  /** Called by a thread once it enforces `epoch`. */
  acknowledge(thread: number, epoch: number): void;
  /** -1: the thread has not started yet. */
  acknowledged(thread: number): number;
  /** Called by a thread in each turn of its loop or so. */
  beat(thread: number, monotonicMs: number): void;
  /** Milliseconds since the thread's last beat; exact for 24 days of silence. */
  silentForMs(thread: number, monotonicMs: number): number;
  /** Supervisor only, before a thread starts or is replaced: nothing of its forerunner counts as its own. */
  reset(thread: number, monotonicMs: number): void;
  /**
   * Resolves with the threads of the list that did not acknowledge `epoch` in time, as soon as all did or the time is up.
   * It does not keep the process alive.
   */
  waitForAcknowledgement(threads: readonly number[], epoch: number, timeoutMs: number): Promise<number[]>;
}

export function createEpochBuffer(threads: number): SharedArrayBuffer {
  if (!Number.isInteger(threads) || threads < 1) throw new RangeError("an epoch buffer needs at least one thread");
  const sab = new SharedArrayBuffer((threads + 1) * WORDS_PER_LINE * Int32Array.BYTES_PER_ELEMENT);
  const words = new Int32Array(sab);
  for (let thread = 0; thread < threads; thread++) words[lineOf(thread) + ACKNOWLEDGED_WORD] = NOT_STARTED;
  return sab;
}

export function attachEpoch(sab: SharedArrayBuffer): EpochWords {
  const words = new Int32Array(sab);
  const threads = words.length / WORDS_PER_LINE - 1;

  function word(thread: number, offset: number): number {
    if (!Number.isInteger(thread) || thread < 0 || thread >= threads) throw new RangeError(`no thread ${thread}`);
    return lineOf(thread) + offset;
  }

  function acknowledged(thread: number): number {
    return Atomics.load(words, word(thread, ACKNOWLEDGED_WORD));
  }

  async function acknowledgesBy(thread: number, epoch: number, deadlineMs: number): Promise<boolean> {
    const index = word(thread, ACKNOWLEDGED_WORD);
    for (;;) {
      const seen = Atomics.load(words, index);
      if (seen >= epoch) return true;
      const leftMs = deadlineMs - readMonotonicMs();
      if (leftMs <= 0) return false;
      // An acknowledgement of an older epoch wakes this too, so the loop looks again.
      const waiting = Atomics.waitAsync(words, index, seen, leftMs);
      if (waiting.async) await waiting.value;
    }
  }

  return {
    threads,
    current: () => Atomics.load(words, EPOCH_WORD),

    publish(epoch) {
      const now = Atomics.load(words, EPOCH_WORD);
      if (!Number.isInteger(epoch) || epoch < now || epoch > EPOCH_MAX) {
        throw new RangeError(`epoch ${epoch} does not follow ${now}`);
      }
      Atomics.store(words, EPOCH_WORD, epoch);
      Atomics.notify(words, EPOCH_WORD);
    },

    acknowledge(thread, epoch) {
      const index = word(thread, ACKNOWLEDGED_WORD);
      Atomics.store(words, index, epoch);
      Atomics.notify(words, index);
    },

    acknowledged,

    beat(thread, monotonicMs) {
      // The low 32 bits are enough: only differences are read.
      Atomics.store(words, word(thread, HEARTBEAT_WORD), Math.floor(monotonicMs) | 0);
    },

    silentForMs(thread, monotonicMs) {
      return (Math.floor(monotonicMs) - Atomics.load(words, word(thread, HEARTBEAT_WORD))) | 0;
    },

    reset(thread, monotonicMs) {
      Atomics.store(words, word(thread, ACKNOWLEDGED_WORD), NOT_STARTED);
      Atomics.store(words, word(thread, HEARTBEAT_WORD), Math.floor(monotonicMs) | 0);
    },

    async waitForAcknowledgement(list, epoch, timeoutMs) {
      const deadlineMs = readMonotonicMs() + timeoutMs;
      const answers = await Promise.all(list.map((thread) => acknowledgesBy(thread, epoch, deadlineMs)));
      return list.filter((_, position) => answers[position] !== true);
    },
  };
}

function lineOf(thread: number): number {
  return (thread + 1) * WORDS_PER_LINE;
}
