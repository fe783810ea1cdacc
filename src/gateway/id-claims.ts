// In: names that must not be held twice at once, from all threads. Out: whether a name was free and is held now.
// Trusts: the clock that all threads share. A thread that ends leaves what it held to the time limit.
//
// Buckets of slots in shared memory. A slot is one word, fingerprint and deadline together, so that it changes in one step.
// Who has written its own looks at the whole bucket once more: of two that were free for the same name at the same time at
// least one sees the other, and goes. Both may; never do both stay.
import { hash } from "node:crypto";

/** As long as anything may hold a name that nobody gives back: see `open-ids.ts`. */
export const HELD_MS = 3_600_000;
/** Of each data thread: 1 MiB. */
export const SLOTS_OF_THREAD = 131_072;
/** With half of all slots taken, one name in two thousand finds its bucket full. */
const SLOTS_OF_BUCKET = 16;
/** Each time another thread was faster with the same slot. */
const TRIES_MAX = 32;
const DEADLINE_BITS = 32n;
const DEADLINE = 0xffff_ffffn;
const FREE = 0n;

export interface IdClaim {
  readonly slot: number;
  word: bigint;
}

export interface IdClaims {
  take(name: string): IdClaim | "taken" | "full";
  /** Holds it for the whole limit from now on; false where it was lost, since nobody had kept it for so long. */
  keep(claim: IdClaim): boolean;
  free(claim: IdClaim): void;
}

export function createIdClaimBuffer(threads: number, slotsOfThread = SLOTS_OF_THREAD): SharedArrayBuffer {
  return new SharedArrayBuffer(threads * slotsOfThread * BigUint64Array.BYTES_PER_ELEMENT);
}

/** `hashKey`: 32 random bytes of this process, the same for all its threads; nobody can aim at a bucket. */
export function attachIdClaims(shared: SharedArrayBuffer, hashKey: Uint8Array, nowMs: () => number): IdClaims {
  const slots = new BigUint64Array(shared);
  const buckets = Math.floor(slots.length / SLOTS_OF_BUCKET);
  const keyText = Buffer.from(hashKey).toString("base64url");
  const nowS = (): bigint => BigInt(Math.floor(nowMs() / 1000));
  const wordOf = (fingerprint: bigint, now: bigint): bigint =>
    (fingerprint << DEADLINE_BITS) | (now + BigInt(HELD_MS / 1000));
  const isHeld = (word: bigint, now: bigint): boolean => (word & DEADLINE) > now;

  /** Whether another slot of the bucket holds this name. */
  function holds(first: number, fingerprint: bigint, now: bigint, own: number): boolean {
    for (let slot = first; slot < first + SLOTS_OF_BUCKET; slot++) {
      const word = Atomics.load(slots, slot);
      if (slot !== own && word >> DEADLINE_BITS === fingerprint && isHeld(word, now)) return true;
    }
    return false;
  }

  function place(first: number, word: bigint, now: bigint): number {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      let found = -1;
      let held = FREE;
      for (let slot = first; slot < first + SLOTS_OF_BUCKET && found === -1; slot++) {
        held = Atomics.load(slots, slot);
        if (!isHeld(held, now)) found = slot;
      }
      if (found === -1 || Atomics.compareExchange(slots, found, held, word) === held) return found;
    }
    return -1;
  }

  return {
    take(name) {
      const digest = hash("sha256", `${keyText} id ${name}`, "buffer");
      const first = (digest.readUInt32LE(0) % buckets) * SLOTS_OF_BUCKET;
      const fingerprint = BigInt(digest.readUInt32LE(4));
      const now = nowS();
      if (holds(first, fingerprint, now, -1)) return "taken";
      const word = wordOf(fingerprint, now);
      const slot = place(first, word, now);
      if (slot === -1) return "full";
      if (!holds(first, fingerprint, now, slot)) return { slot, word };
      Atomics.compareExchange(slots, slot, word, FREE);
      return "taken";
    },
    keep(claim) {
      const word = wordOf(claim.word >> DEADLINE_BITS, nowS());
      if (Atomics.compareExchange(slots, claim.slot, claim.word, word) !== claim.word) return false;
      claim.word = word;
      return true;
    },
    free: (claim) => void Atomics.compareExchange(slots, claim.slot, claim.word, FREE),
  };
}
