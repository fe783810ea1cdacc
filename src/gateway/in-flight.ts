// In: the request ids of the exchanges of one thread, in shared memory. Out: the ones that were open when the thread ended.
// A thread that is ended cannot write its lines any more; what it had begun is told, and concluded, by the supervisor.
import type { Config } from "../config/schema.ts";

const ID_BYTES_MAX = 27;
/** One byte for the length, the id, and the state; a power of two keeps the arithmetic plain. */
const SLOT_BYTES = 32;
const LENGTH_AT = 27;
/** Int32 word of a slot that says whether it is taken. */
const STATE_WORD = 7;
const FREE = 0;
const OPEN = 1;
/** An intent may stand in the audit log. */
const INTENDED = 2;

/** Refused exchanges beyond `exchanges_max` are open for a moment too. */
const SLOTS_ABOVE_LIMIT = 256;

export function flightSlots(config: Pick<Config, "limits">): number {
  return config.limits.exchanges_max + SLOTS_ABOVE_LIMIT;
}

export interface InFlight {
  /** Returns the slot, or -1 where none is free. */
  open(requestId: string): number;
  intended(slot: number): void;
  close(slot: number): void;
}

export interface OpenAtEnd {
  readonly requestId: string;
  readonly intended: boolean;
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
  return {
    open(requestId) {
      const slot = free.pop();
      if (slot === undefined) return -1;
      const start = slot * SLOT_BYTES;
      bytes[start + LENGTH_AT] = bytes.write(requestId, start, ID_BYTES_MAX, "latin1");
      Atomics.store(words, slot * (SLOT_BYTES / 4) + STATE_WORD, OPEN);
      return slot;
    },
    intended(slot) {
      if (slot >= 0) Atomics.store(words, slot * (SLOT_BYTES / 4) + STATE_WORD, INTENDED);
    },
    close(slot) {
      if (slot < 0) return;
      Atomics.store(words, slot * (SLOT_BYTES / 4) + STATE_WORD, FREE);
      free.push(slot);
    },
  };
}

/** Called by the supervisor when a thread has ended, however it ended: takes what was open and clears the table. */
export function takeOpen(shared: SharedArrayBuffer, thread: number, slots: number): OpenAtEnd[] {
  const at = thread * slots * SLOT_BYTES;
  const bytes = Buffer.from(shared, at, slots * SLOT_BYTES);
  const words = new Int32Array(shared, at, (slots * SLOT_BYTES) / 4);
  const open: OpenAtEnd[] = [];
  for (let slot = 0; slot < slots; slot++) {
    const state = Atomics.exchange(words, slot * (SLOT_BYTES / 4) + STATE_WORD, FREE);
    if (state === FREE) continue;
    const start = slot * SLOT_BYTES;
    const length = Math.min(bytes[start + LENGTH_AT] ?? 0, ID_BYTES_MAX);
    open.push({ requestId: bytes.toString("latin1", start, start + length), intended: state === INTENDED });
  }
  return open;
}
