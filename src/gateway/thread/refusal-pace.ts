// In: refusals of callers that were not proven. Out: each is given at once, or as soon as this thread has time for it.
// Who is not proven must not take the thread from those who are: of an idle thread refusals get all the time, of a busy one
// a twentieth. A flood waits for its answers, and sends no more while it waits; what is refused is logged all the same.
// Turns go to the peers one after the other, so that who asks little does not stand behind who asks much; every second one
// goes to who has waited longest, so that nobody waits for ever: 5,000 in a twentieth of the time are 10 s.
import { peerKey } from "../../lib/peer-key.ts";

/** What is needed of a socket. */
export interface RefusedConnection {
  readonly remoteAddress?: string | undefined;
  readonly destroyed: boolean;
  destroy(): void;
}

export interface RefusalPace {
  /** Calls `answer` now or later; closes the connection instead where too many wait, and forgets it where it is closed. */
  give(connection: RefusedConnection, answer: () => void): void;
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
/** Each is a closure, and a request whose response has no body yet. */
export const WAITING_REFUSALS_MAX = 5_000;

interface Waiting {
  readonly peer: string;
  readonly connection: RefusedConnection;
  readonly answer: () => void;
}

export function createRefusalPace(loopTime: LoopTime): RefusalPace {
  /** In the order in which they came. */
  const all = new Set<Waiting>();
  /** In the order of their turns; each with what waits of it. */
  const peers = new Map<string, Set<Waiting>>();
  /** The peer of which most waits, as far as was seen. */
  let crowd = new Set<Waiting>();
  let credit = CREDIT_US_MAX;
  let seen = loopTime();
  let timer: NodeJS.Timeout | undefined;
  let open = false;
  let oldestFirst = false;

  function refill(): void {
    const now = loopTime();
    const gainedMs = now.idle - seen.idle + (now.active - seen.active) * BUSY_SHARE;
    credit = Math.min(CREDIT_US_MAX, credit + gainedMs * 1000);
    seen = now;
  }

  function add(one: Waiting): void {
    const own = peers.get(one.peer) ?? new Set();
    own.add(one);
    peers.set(one.peer, own);
    all.add(one);
    if (own.size >= crowd.size) crowd = own;
  }

  /** Its peer stands behind all others then. */
  function remove(one: Waiting): void {
    all.delete(one);
    const own = peers.get(one.peer);
    own?.delete(one);
    peers.delete(one.peer);
    if (own !== undefined && own.size > 0) peers.set(one.peer, own);
  }

  /** The one whose turn it is, where there is credit for it. */
  function next(): Waiting | undefined {
    if (!open && credit < REFUSAL_US) return undefined;
    oldestFirst = !oldestFirst;
    return firstOf(oldestFirst ? all : (firstOf(peers.values()) ?? all));
  }

  function giveWaiting(): void {
    timer = undefined;
    refill();
    for (let one = next(); one !== undefined; one = next()) {
      remove(one);
      // Who left costs nothing.
      if (one.connection.destroyed) continue;
      credit -= REFUSAL_US;
      one.answer();
    }
    if (all.size > 0) timer = setTimeout(giveWaiting, TICK_MS);
  }

  /** True where there is room now: the peer of which most waits gives it, and only that. */
  function makeRoom(peer: string): boolean {
    if (all.size < WAITING_REFUSALS_MAX) return true;
    const victim = crowd.size > (peers.get(peer)?.size ?? 0) ? firstOf(crowd) : undefined;
    if (victim === undefined) return false;
    remove(victim);
    victim.connection.destroy();
    return true;
  }

  return {
    give(connection, answer) {
      // While some wait, the next tick shares out what was gained: who comes now overtakes none of them.
      if (all.size === 0 && credit < REFUSAL_US) refill();
      if (open || credit >= REFUSAL_US) {
        credit -= REFUSAL_US;
        answer();
        return;
      }
      const peer = peerKey(connection.remoteAddress ?? "");
      if (makeRoom(peer)) add({ peer, connection, answer });
      else connection.destroy();
      timer ??= setTimeout(giveWaiting, TICK_MS);
    },
    flush() {
      open = true;
      clearTimeout(timer);
      giveWaiting();
    },
    get waiting() {
      return all.size;
    },
  };
}

function firstOf<T>(values: Iterable<T>): T | undefined {
  for (const value of values) return value;
  return undefined;
}
