// In: the request ids of the exchanges of one thread, in shared memory. Out: the ones whose line or outcome may be missing
// when the thread ended. A thread that is ended cannot write any more: what it had begun, and what it had finished a moment
// ago but not yet handed over, is told and concluded by the supervisor.
import { performance } from "node:perf_hooks";
import type { Config } from "../config/schema.ts";
import type { Outcome } from "../telemetry/log-entries.ts";

const ID_BYTES_MAX = 27;
/** One byte for the length, the id, and the state; a power of two keeps the arithmetic plain. */
const SLOT_BYTES = 32;
const LENGTH_AT = 27;
/** Int32 word of a slot: its state, and of an exchange that is finished its outcome and status. */
const STATE_WORD = 7;
const FREE = 0;
const OPEN = 1;
/** Beside OPEN: an intent may stand in the audit log. */
const INTENDED = 2;
/** Beside OPEN: its line and its outcome were made, and are on their way. */
const FINISHED = 4;
const OUTCOME_AT = 4;
const STATUS_AT = 8;
const OUTCOME_MASK = 15;
const OUTCOMES: readonly Outcome[] = ["forwarded", "denied", "failed", "mirrored", "answered"];

/** Refused exchanges beyond `exchanges_max` are open for a moment too, and finished ones keep their slot for KEPT_MS. */
const SLOTS_ABOVE_LIMIT = 4096;
/** Lines and records wait for company for at most 20 ms; a thread that is busy hands them over a little later. */
const KEPT_MS = 100;

export function flightSlots(config: Pick<Config, "limits">): number {
  return config.limits.exchanges_max + SLOTS_ABOVE_LIMIT;
}

export interface InFlight {
  /** Returns the slot, or -1 where none is free. */
  open(requestId: string): number;
  intended(slot: number): void;
  /** Its line was made: from now on the supervisor knows how it ended. */
  finished(slot: number, status: number, outcome: Outcome): void;
  /** Gives the slot back, once the line has had its time to leave this thread. */
  close(slot: number): void;
  /** Called now and then, so that an idle thread forgets too. */
  forget(): void;
}

export interface OpenAtEnd {
  readonly requestId: string;
  readonly intended: boolean;
  /** How it ended, where it had ended: its line and outcome may have been handed over, or not. */
  readonly finished: { readonly status: number; readonly outcome: Outcome } | undefined;
}

export function createInFlightBuffer(threads: number, slots: number): SharedArrayBuffer {
  return new SharedArrayBuffer(threads * slots * SLOT_BYTES);
}

/** The table as its thread uses it; `slots` as it was created. */
export function attachInFlight(shared: SharedArrayBuffer, thread: number, slots: number): InFlight {
  const at = thread * slots * SLOT_BYTES;
  const bytes = Buffer.from(shared, at, slots * SLOT_BYTES);
  const words = new Int32Array(shared, at, (slots * SLOT_BYTES) / 4);
  const free = Array.from({ length: slots }, (_, slot) => slots - 1 - slot);
  /** A ring of the slots that were closed, oldest first, and when. */
  const closed = new Int32Array(slots);
  const closedAtMs = new Float64Array(slots);
  let first = 0;
  let count = 0;

  const wordOf = (slot: number): number => slot * (SLOT_BYTES / 4) + STATE_WORD;

  function forget(): void {
    const beforeMs = performance.now() - KEPT_MS;
    while (count > 0 && (closedAtMs[first] as number) <= beforeMs) {
      const slot = closed[first] as number;
      Atomics.store(words, wordOf(slot), FREE);
      free.push(slot);
      first = first + 1 === slots ? 0 : first + 1;
      count -= 1;
    }
  }

  return {
    open(requestId) {
      forget();
      const slot = free.pop();
      if (slot === undefined) return -1;
      const start = slot * SLOT_BYTES;
      bytes[start + LENGTH_AT] = bytes.write(requestId, start, ID_BYTES_MAX, "latin1");
      Atomics.store(words, wordOf(slot), OPEN);
      return slot;
    },
    intended(slot) {
      if (slot >= 0) Atomics.or(words, wordOf(slot), INTENDED);
    },
    finished(slot, status, outcome) {
      if (slot < 0) return;
      const how = FINISHED | (OUTCOMES.indexOf(outcome) << OUTCOME_AT) | (status << STATUS_AT);
      Atomics.or(words, wordOf(slot), how);
    },
    close(slot) {
      if (slot < 0) return;
      const last = (first + count) % slots;
      closed[last] = slot;
      closedAtMs[last] = performance.now();
      count += 1;
    },
    forget,
  };
}

/** Called by the supervisor when a thread has ended, however it ended: takes what was open and clears the table. */
export function takeOpen(shared: SharedArrayBuffer, thread: number, slots: number): OpenAtEnd[] {
  const at = thread * slots * SLOT_BYTES;
  const bytes = Buffer.from(shared, at, slots * SLOT_BYTES);
  const words = new Int32Array(shared, at, (slots * SLOT_BYTES) / 4);
  const open: OpenAtEnd[] = [];
  for (let slot = 0; slot < slots; slot++) {
    const word = Atomics.exchange(words, slot * (SLOT_BYTES / 4) + STATE_WORD, FREE);
    if (word === FREE) continue;
    const start = slot * SLOT_BYTES;
    const length = Math.min(bytes[start + LENGTH_AT] ?? 0, ID_BYTES_MAX);
    const outcome = OUTCOMES[(word >> OUTCOME_AT) & OUTCOME_MASK] ?? "failed";
    open.push({
      requestId: bytes.toString("latin1", start, start + length),
      intended: (word & INTENDED) !== 0,
      finished: (word & FINISHED) === 0 ? undefined : { status: word >> STATUS_AT, outcome },
    });
  }
  return open;
}
