// In: verifications that failed, by the address they came from, and the time. Out: whether that peer has any left.
// Bounded: one bucket a peer, and the peers that failed longest ago are forgotten first (docs/adr/0009-failed-proofs.md).
import { LRUCache } from "lru-cache";
import { peerKey } from "../lib/peer-key.ts";

export interface FailedProofs {
  /** True where the peer has used up what it may. */
  isOver(address: string, nowMs: number): boolean;
  /** One signature was verified for this peer, and nobody was proven by it. */
  count(address: string, nowMs: number): void;
}

/** Peers that a thread remembers: half a megabyte, and more than fail at once without a botnet. */
const PEERS_MAX = 4096;
/** The time in which an empty bucket is full again, so that the limit is a number a minute. */
const REFILL_MS = 60_000;

interface Bucket {
  left: number;
  atMs: number;
}

export function createFailedProofs(failuresMax: number, peersMax: number = PEERS_MAX): FailedProofs {
  const buckets = new LRUCache<string, Bucket>({ max: peersMax });

  function leftOf(bucket: Bucket, nowMs: number): number {
    return Math.min(failuresMax, bucket.left + ((nowMs - bucket.atMs) * failuresMax) / REFILL_MS);
  }

  return {
    isOver(address, nowMs) {
      // Nobody has failed lately, as nearly always: no key is made.
      if (buckets.size === 0) return false;
      const bucket = buckets.get(peerKey(address));
      return bucket !== undefined && leftOf(bucket, nowMs) < 1;
    },
    count(address, nowMs) {
      const peer = peerKey(address);
      const bucket = buckets.get(peer);
      if (bucket === undefined) {
        buckets.set(peer, { left: failuresMax - 1, atMs: nowMs });
        return;
      }
      bucket.left = Math.max(0, leftOf(bucket, nowMs) - 1);
      bucket.atMs = nowMs;
    },
  };
}
