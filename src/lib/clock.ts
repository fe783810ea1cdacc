// In: one reading of the wall clock and of the monotonic clock, taken when the process starts.
// Out: the time that every thread agrees on. Trusts: CLOCK_MONOTONIC, never a later wall-clock step.
//
// Replay protection forgets a proof once its window has passed. If the wall clock could step back,
// a forgotten proof would be fresh again; so the wall clock is read once and then carried forward
// by the monotonic clock, which is one clock for all threads of a process.

import process from "node:process";

export interface ClockBase {
  /** Unix time in milliseconds when `monotonicMs` was read. */
  readonly wallMs: number;
  /** `process.hrtime`, in milliseconds, at that moment. */
  readonly monotonicMs: number;
}

export interface Clock {
  /** Unix time in whole milliseconds, stable against steps of the wall clock. */
  nowMs(): number;
  /** Milliseconds of the monotonic clock, comparable across the threads of this process. */
  monotonicMs(): number;
}

export function readMonotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

export function readClockBase(): ClockBase {
  return { wallMs: Date.now(), monotonicMs: readMonotonicMs() };
}

export function createClock(base: ClockBase): Clock {
  return {
    nowMs: () => Math.floor(base.wallMs + (readMonotonicMs() - base.monotonicMs)),
    monotonicMs: readMonotonicMs,
  };
}
