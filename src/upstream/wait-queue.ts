// In: exchanges that want a connection to one tool. Out: each one's turn, first come first served, or that there is no room.
// Trusts: who was given a turn gives it back once, when undici has let go of its request.
//
// undici's own queue has no bound and forgets nothing: a request whose client has gone stays in it, with its body, until
// a connection is free. So undici is never handed more than it has connections, and whoever gives up here is gone.
import { type Denial, deny } from "../errors.ts";

/** Waiting exchanges for one tool and thread: at 1 ms each, one connection serves them within a second. */
export const WAITING_MAX = 1024;

/** Bytes of request bodies that wait for one tool and thread: 64 bodies of the default `body_bytes_max`. */
export const WAITING_BYTES_MAX = 67_108_864;

export interface Waiter {
  /** Bytes of the body that is held while it waits. */
  readonly heldBytes: number;
  /** Its turn has come. */
  dispatch(): void;
  cut(denial: Denial): void;
}

/** `now`: the caller dispatches itself. `wait`: its `dispatch` is called later. `full`: it is not queued. */
export type Turn = "now" | "wait" | "full";

export class WaitQueue {
  readonly #turnsMax: number;
  readonly #waiting = new Set<Waiter>();
  #waitingBytes = 0;
  #turns = 0;
  #scheduled = false;

  constructor(turnsMax: number) {
    this.#turnsMax = turnsMax;
  }

  enter(waiter: Waiter): Turn {
    if (this.#turns < this.#turnsMax && this.#waiting.size === 0) {
      this.#turns += 1;
      return "now";
    }
    const bytes = this.#waitingBytes + waiter.heldBytes;
    if (this.#waiting.size >= WAITING_MAX || bytes > WAITING_BYTES_MAX) return "full";
    this.#waitingBytes = bytes;
    this.#waiting.add(waiter);
    return "wait";
  }

  /** Gives a turn back. */
  leave(): void {
    this.#turns -= 1;
    if (this.#waiting.size === 0 || this.#scheduled) return;
    // Not at once: undici calls this from the middle of its own work on the connection that becomes free.
    this.#scheduled = true;
    queueMicrotask(() => this.#giveTurns());
  }

  /** Forgets a waiter; nothing happens where it does not wait. */
  abandon(waiter: Waiter): void {
    if (this.#waiting.delete(waiter)) this.#waitingBytes -= waiter.heldBytes;
  }

  close(): void {
    for (const waiter of this.#waiting) waiter.cut(deny("gateway.draining", "the tool's connections are closed"));
  }

  #giveTurns(): void {
    this.#scheduled = false;
    for (const waiter of this.#waiting) {
      if (this.#turns >= this.#turnsMax) return;
      this.abandon(waiter);
      this.#turns += 1;
      waiter.dispatch();
    }
  }
}
