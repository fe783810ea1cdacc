// In: what calls ask of budgets, from all threads at once. Out: whether it was reserved, all of it or nothing.
// Trusts: the clock behind `nowMs`. Every look and every change is behind one lock in shared memory, so two threads never
// spend the same rest; a thread that ends in the middle has counted too much, never too little.
//
// A key has its place in one window of slots. An entry that nothing uses any more leaves its slot to the next key that
// comes by; a window without a free slot refuses, it never forgets.
import {
  type BudgetLimit,
  type BudgetUse,
  type Demand,
  INTERVAL_MS,
  INTERVALS,
  intervalOf,
  type KeptEntry,
  type LimitUse,
  partOf,
  type Refused,
  TOTALS,
} from "./budget.ts";
import { attachSharedLock } from "./shared-lock.ts";

export interface CounterTable {
  /**
   * What is used at this moment, of each demand's limits; undefined where the table cannot be read. `own` is a reservation of
   * the same demands that is left out: what others use.
   */
  read(demands: readonly Demand[], nowMs: number, own?: Reservation): BudgetUse[] | undefined;
  /** All demands, or the refusal. A reservation is held until `release`. */
  reserve(demands: readonly Demand[], nowMs: number): Reservation | Refused;
  /**
   * For a reservation of which nothing can have reached the tool. The count of concurrent calls is `release`'s. False: the
   * lock was not to be had in time, and what was taken stays taken, which is too much and never too little.
   */
  giveBack(reservation: Reservation): boolean;
  /** The call has ended: it is no concurrent call any more. */
  release(reservation: Reservation): void;
  /** At start, before any thread serves. False: there is no room for it. */
  load(entry: KeptEntry, nowMs: number): boolean;
  /** The supervisor's word that `thread` has ended: nothing is concurrent there now. */
  threadEnded(thread: number): void;
}

export interface Reservation {
  readonly demands: readonly Demand[];
  /** Where each one is counted: its place for as long as it is held. */
  readonly slots: readonly number[];
  /** Number of the interval in which the calls were counted. */
  readonly interval: number;
  /** Of each demand, whether a total of it was used up from then on. */
  readonly tookLast: readonly boolean[];
}

/** Slots in which a key may stand, one after the other. */
const WINDOW = 64;
const KEY_WORDS = 4;

// Int32 words before the keys; the lock has a cache line of its own.
const LOCK_WORD = 0;
const SLOTS_WORD = 16;
const THREADS_WORD = 17;
const HEADER_WORDS = 32;

// Float64 numbers of an entry.
const UNTIL = 0;
const CALLS = 1;
const BYTES = 2;
const SUM = 3;
const LAST_INTERVAL = 4;
const RECENT = 5;
const NUMBERS = RECENT + INTERVALS;

/** Makes the shared memory. */
export function createCounterBuffer(entries: number, threads: number): SharedArrayBuffer {
  const slots = Math.max(entries, WINDOW);
  const bytes = HEADER_WORDS * 4 + slots * (NUMBERS * 8 + (KEY_WORDS + threads) * 4);
  const shared = new SharedArrayBuffer(Math.ceil(bytes / 8) * 8);
  const words = new Int32Array(shared, 0, HEADER_WORDS);
  words[SLOTS_WORD] = slots;
  words[THREADS_WORD] = threads;
  return shared;
}

/** The table as one thread uses it. `thread`: 0 to N-1, and N for the supervisor. */
export function attachCounterTable(shared: SharedArrayBuffer, thread: number): CounterTable {
  const header = new Int32Array(shared, 0, HEADER_WORDS);
  const slots = header[SLOTS_WORD] as number;
  const threads = header[THREADS_WORD] as number;
  const numbers = new Float64Array(shared, HEADER_WORDS * 4, slots * NUMBERS);
  const words = new Int32Array(shared, HEADER_WORDS * 4 + slots * NUMBERS * 8, slots * (KEY_WORDS + threads));
  const concurrentAt = slots * KEY_WORDS;
  const lock = attachSharedLock(header, LOCK_WORD, thread);

  const number = (slot: number, which: number): number => numbers[slot * NUMBERS + which] as number;
  const set = (slot: number, which: number, value: number): void => {
    numbers[slot * NUMBERS + which] = value;
  };
  const add = (slot: number, which: number, value: number): void => set(slot, which, number(slot, which) + value);

  function concurrent(slot: number): number {
    let sum = 0;
    for (let at = concurrentAt + slot * threads; at < concurrentAt + (slot + 1) * threads; at++) {
      sum += words[at] as number;
    }
    return sum;
  }

  const columnOf = (slot: number): number => concurrentAt + slot * threads + thread;
  const isFree = (slot: number): boolean => words[slot * KEY_WORDS] === 0;

  /** An open call keeps its entry, so that its end finds what it counted. */
  function isOver(slot: number, nowMs: number): boolean {
    return number(slot, UNTIL) <= nowMs && concurrent(slot) === 0;
  }

  /** The slot of a key: -1 where it has none. */
  function find(key: string): number {
    const [a, b, c, d] = keyWords(key);
    const first = firstSlot(b);
    for (let probe = 0; probe < WINDOW; probe++) {
      const slot = (first + probe) % slots;
      const at = slot * KEY_WORDS;
      if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) return slot;
    }
    return -1;
  }

  function findLive(key: string, nowMs: number): number {
    const slot = find(key);
    return slot === -1 || isOver(slot, nowMs) ? -1 : slot;
  }

  /** Takes a slot for a key that has none, or whose entry is over; -1: the window is full. */
  function take(key: string, nowMs: number): number {
    const [a, b, c, d] = keyWords(key);
    const first = firstSlot(b);
    let slot = find(key);
    for (let probe = 0; slot === -1 && probe < WINDOW; probe++) {
      const candidate = (first + probe) % slots;
      if (isFree(candidate) || isOver(candidate, nowMs)) slot = candidate;
    }
    if (slot === -1) return -1;
    // The first word of the key goes first and comes last: a thread that ends in between leaves a free slot.
    const at = slot * KEY_WORDS;
    words[at] = 0;
    numbers.fill(0, slot * NUMBERS, (slot + 1) * NUMBERS);
    set(slot, LAST_INTERVAL, intervalOf(nowMs));
    words[at + 1] = b;
    words[at + 2] = c;
    words[at + 3] = d;
    words[at] = a;
    return slot;
  }

  function firstSlot(word: number): number {
    return (word >>> 0) % slots;
  }

  /** Moves the minute on. A clock that went back counts on in the last interval. */
  function advance(slot: number, nowMs: number): number {
    const last = number(slot, LAST_INTERVAL);
    const now = intervalOf(nowMs);
    if (now <= last) return last;
    for (let interval = Math.max(last + 1, now - INTERVALS + 1); interval <= now; interval++) {
      set(slot, RECENT + (interval % INTERVALS), 0);
    }
    set(slot, LAST_INTERVAL, now);
    return now;
  }

  function callsInMinute(slot: number, nowMs: number): number {
    advance(slot, nowMs);
    let sum = 0;
    for (let at = 0; at < INTERVALS; at++) sum += number(slot, RECENT + at);
    return sum;
  }

  /** Seconds until one more call fits into the minute. */
  function retryAfterS(slot: number, max: number, nowMs: number): number {
    const last = number(slot, LAST_INTERVAL);
    let calls = callsInMinute(slot, nowMs);
    for (let interval = last - INTERVALS + 1; interval <= last; interval++) {
      calls -= number(slot, RECENT + (((interval % INTERVALS) + INTERVALS) % INTERVALS));
      if (calls < max) return Math.max(1, Math.ceil(((interval + INTERVALS) * INTERVAL_MS - nowMs) / 1000));
    }
    return 60;
  }

  function usedOf(slot: number, limit: BudgetLimit, nowMs: number): number {
    if (slot === -1) return 0;
    switch (limit) {
      case "calls_per_minute":
        return callsInMinute(slot, nowMs);
      case "calls_total":
        return number(slot, CALLS);
      case "request_bytes_total":
        return number(slot, BYTES);
      case "concurrent":
        return concurrent(slot);
      case "sum":
        return number(slot, SUM);
    }
  }

  /** The limit that does not allow this demand, or undefined. One that waiting does not help comes first. */
  function exceeded(slot: number, demand: Demand, nowMs: number): Refused | undefined {
    for (const limit of LIMITS) {
      const max = demand.limits[limit];
      if (max === undefined || partOf(demand, limit) <= max - usedOf(slot, limit, nowMs)) continue;
      const retry = limit === "calls_per_minute" ? retryAfterS(slot, max, nowMs) : limit === "concurrent" ? 1 : null;
      return { reason: "budget.exhausted", detail: `${demand.name}: ${limit}`, retryAfterS: retry };
    }
    return undefined;
  }

  /** Of several refusals the one that lasts longest. */
  function firstRefusal(demands: readonly Demand[], nowMs: number): Refused | undefined {
    let worst: Refused | undefined;
    for (const demand of demands) {
      const refused = exceeded(findLive(demand.key, nowMs), demand, nowMs);
      if (refused === undefined) continue;
      if (refused.retryAfterS === null) return refused;
      if (worst === undefined || (worst.retryAfterS ?? 0) < refused.retryAfterS) worst = refused;
    }
    return worst;
  }

  function reserveAll(demands: readonly Demand[], nowMs: number): Reservation | Refused {
    const refused = firstRefusal(demands, nowMs);
    if (refused !== undefined) return refused;
    const taken: number[] = [];
    const made: number[] = [];
    for (const { key, name, untilMs } of demands) {
      let slot = findLive(key, nowMs);
      if (slot === -1) {
        slot = take(key, nowMs);
        if (slot === -1) {
          for (const unused of made) set(unused, UNTIL, 0);
          return { reason: "budget.table_full", detail: name, retryAfterS: null };
        }
        made.push(slot);
      }
      // From here on the slot is nobody else's, also not that of the next demand.
      set(slot, UNTIL, Math.max(number(slot, UNTIL), untilMs));
      taken.push(slot);
    }
    demands.forEach((demand, index) => {
      const slot = taken[index] as number;
      add(slot, RECENT + (advance(slot, nowMs) % INTERVALS), 1);
      add(slot, CALLS, 1);
      add(slot, BYTES, demand.bytes);
      add(slot, SUM, demand.amount);
      Atomics.add(words, columnOf(slot), 1);
    });
    const tookLast = demands.map(({ limits }, index) =>
      TOTALS.some((limit) => usedOf(taken[index] as number, limit, nowMs) >= (limits[limit] ?? Infinity)),
    );
    return { demands, slots: taken, interval: intervalOf(nowMs), tookLast };
  }

  function ownPart({ demands, slots: held, interval }: Reservation, index: number, limit: BudgetLimit): number {
    const passed = number(held[index] as number, LAST_INTERVAL) - interval;
    if (limit === "calls_per_minute" && passed >= INTERVALS) return 0;
    return partOf(demands[index] as Demand, limit);
  }

  function giveBackAll({ demands, slots: held, interval }: Reservation): void {
    demands.forEach((demand, index) => {
      const slot = held[index] as number;
      const recent = RECENT + (interval % INTERVALS);
      const inMinute = number(slot, LAST_INTERVAL) - interval < INTERVALS;
      if (inMinute) set(slot, recent, Math.max(0, number(slot, recent) - 1));
      add(slot, CALLS, -1);
      add(slot, BYTES, -demand.bytes);
      add(slot, SUM, -demand.amount);
    });
  }

  return {
    read(demands, nowMs, own) {
      return lock.run(() =>
        demands.map(({ key, limits }, index) => {
          const slot = findLive(key, nowMs);
          const use: { -readonly [L in BudgetLimit]?: LimitUse } = {};
          for (const limit of LIMITS) {
            const max = limits[limit];
            if (max === undefined) continue;
            const used = usedOf(slot, limit, nowMs) - (own === undefined ? 0 : ownPart(own, index, limit));
            use[limit] = { used, remaining: Math.max(0, max - used) };
          }
          return use;
        }),
      );
    },
    reserve: (demands, nowMs) => lock.run(() => reserveAll(demands, nowMs)) ?? UNAVAILABLE,
    giveBack: (reservation) => lock.run(() => (giveBackAll(reservation), true)) ?? false,
    release(reservation) {
      // Nobody else writes this thread's column, and an entry with an open call keeps its slot: no lock is needed here.
      for (const slot of reservation.slots) Atomics.sub(words, columnOf(slot), 1);
    },
    load(entry, nowMs) {
      const loaded = lock.run(() => {
        const slot = take(entry.key, nowMs);
        if (slot === -1) return false;
        const now = intervalOf(nowMs);
        for (const [interval, calls] of entry.recent) {
          // After a clock that went back, a call of its future counts from now on.
          const at = Math.min(interval, now);
          if (now - at < INTERVALS) add(slot, RECENT + (at % INTERVALS), calls);
        }
        set(slot, UNTIL, entry.untilMs);
        set(slot, CALLS, entry.calls);
        set(slot, BYTES, entry.bytes);
        set(slot, SUM, entry.sum);
        return true;
      });
      return loaded === true;
    },
    threadEnded(gone) {
      lock.ended(gone);
      for (let slot = 0; slot < slots; slot++) {
        Atomics.store(words, concurrentAt + slot * threads + gone, 0);
      }
    },
  };
}

const LIMITS: readonly BudgetLimit[] = [
  "calls_total",
  "request_bytes_total",
  "sum",
  "calls_per_minute",
  "concurrent",
] as const;

const UNAVAILABLE: Refused = Object.freeze({
  reason: "budget.unavailable",
  detail: "the counters were held for too long",
  retryAfterS: 1,
});

/** The first one is never 0, which marks a free slot. */
function keyWords(key: string): readonly [number, number, number, number] {
  const word = (at: number): number => Number.parseInt(key.slice(at * 8, at * 8 + 8), 16) | 0;
  return [word(0) || 1, word(1), word(2), word(3)];
}
