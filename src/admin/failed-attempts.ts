// In: failed attempts by peer address, and the time. Out: whether a peer has failed too often lately.
// Bounded: a caller with many addresses (all of 127.0.0.0/8, say) shares one count once the table is full.

/** A mistyped key is tried a few times, not more. */
export const FAILURES_MAX = 20;
export const WINDOW_MS = 60_000;
/** Far more peers than an operators' listener has. */
export const PEERS_MAX = 1024;
const OVERFLOW = "";

interface Count {
  failures: number;
  readonly sinceMs: number;
}

export interface FailedAttempts {
  /** Counts one failure; true when the peer is over its limit. */
  failed(peer: string, nowMs: number): boolean;
  /** Seconds until the peer's window ends. */
  retryAfterS(peer: string, nowMs: number): number;
  readonly size: number;
}

export function createFailedAttempts(): FailedAttempts {
  // In order of `sinceMs`, since an entry is put at the end when its window starts.
  const peers = new Map<string, Count>();

  function expire(nowMs: number): void {
    for (const [peer, count] of peers) {
      if (nowMs - count.sinceMs < WINDOW_MS) return;
      peers.delete(peer);
    }
  }

  function keyOf(peer: string): string {
    return peers.has(peer) || peers.size < PEERS_MAX ? peer : OVERFLOW;
  }

  return {
    failed(peer, nowMs) {
      expire(nowMs);
      const key = keyOf(peer);
      const count = peers.get(key) ?? { failures: 0, sinceMs: nowMs };
      count.failures += 1;
      if (count.failures === 1) peers.set(key, count);
      return count.failures > FAILURES_MAX;
    },
    retryAfterS(peer, nowMs) {
      const count = peers.get(keyOf(peer));
      return count === undefined ? 0 : Math.max(1, Math.ceil((count.sinceMs + WINDOW_MS - nowMs) / 1000));
    },
    get size() {
      return peers.size;
    },
  };
}
