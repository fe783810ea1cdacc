// In: verified proofs, from all threads at once. Out: whether each is the first of its kind. RFC 9449 section 11.1.
// Trusts the monotonic clock behind `nowMs` and a supervisor that rotates; where it does not, claims are refused.
//
// A ring of generations, chosen by the proof's own `iat`, so that the same proof always meets the same slots.
// In a generation slots are only ever added: a slot goes from 0 to a fingerprint once, by one compare-and-exchange,
// and two threads with the same proof walk the same slots in the same order, so exactly one of them is first.
// A generation is cleared only after its window has closed, while its number says that it is closed.
import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";

export interface ReplayTableOptions {
  /** Slots of the whole table; 8 bytes each. */
  readonly slots: number;
  /** The window of acceptance: how old and how far ahead `iat` may be. */
  readonly maxAgeMs: number;
  readonly maxAheadMs: number;
  readonly nowMs: number;
}

/** What makes a proof unique: RFC 9449 section 11.1 asks for `jti` in the context of the URI. */
export interface ProofIdentity {
  readonly jkt: string;
  readonly jti: string;
  readonly method: string;
  /** Canonical `htu`. */
  readonly uri: string;
}

/** `stale`: the generation of this `iat` is not open, so nothing can be said and the proof is refused. */
export type Claim = "claimed" | "replayed" | "key_quota" | "full" | "stale";

export interface ReplayTable {
  claim(proof: ProofIdentity, iatMs: number): Claim;
  /** What a claim would say at this moment. Nothing is claimed. */
  look(proof: ProofIdentity, iatMs: number): Claim;
  /** Share of the fullest open generation that is taken, 0 to 1. */
  fill(): number;
}

const GENERATIONS = 8;
/** The window spans this many generations; the rest is slack and the one that is being cleared. */
const GENERATIONS_IN_WINDOW = 5;
/** Above this share linear probing becomes slow; the generation then denies, it never forgets. */
const FILL_MAX = 7 / 8;
/** One key may hold a 64th of a generation, so no key can fill the table alone. */
const KEY_SHARE = 64;
/** Counters of a generation. A key has two and the lower one counts, so two busy keys rarely share a quota. */
const QUOTA_COUNTERS = 16_384;
/** Thumbprints whose counters a thread remembers. */
const QUOTA_CACHE_ENTRIES = 10_000;
const CLOSED = -1;

// Int32 words before the slots.
const SLOTS_WORD = 0;
const GENERATION_MS_WORD = 1;
const MAX_AGE_MS_WORD = 2;
const MAX_AHEAD_MS_WORD = 3;
const NUMBERS_AT = 4;
const COUNTS_AT = NUMBERS_AT + GENERATIONS;
const QUOTAS_AT = 32;
const HEADER_WORDS = QUOTAS_AT + GENERATIONS * QUOTA_COUNTERS;

interface Views {
  readonly words: Int32Array;
  readonly slots: BigInt64Array;
  readonly slotsInGeneration: number;
  readonly generationMs: number;
}

/** Makes the shared memory, with the generations around `nowMs` open. */
export function createReplayTable(options: ReplayTableOptions): SharedArrayBuffer {
  const slotsInGeneration = Math.floor(options.slots / GENERATIONS);
  if (slotsInGeneration < KEY_SHARE)
    throw new RangeError(`a replay table needs at least ${GENERATIONS * KEY_SHARE} slots`);
  const shared = new SharedArrayBuffer(HEADER_WORDS * 4 + slotsInGeneration * GENERATIONS * 8);
  const words = new Int32Array(shared, 0, HEADER_WORDS);
  words[SLOTS_WORD] = slotsInGeneration;
  words[GENERATION_MS_WORD] = Math.ceil((options.maxAgeMs + options.maxAheadMs) / GENERATIONS_IN_WINDOW);
  words[MAX_AGE_MS_WORD] = options.maxAgeMs;
  words[MAX_AHEAD_MS_WORD] = options.maxAheadMs;
  words.fill(CLOSED, NUMBERS_AT, NUMBERS_AT + GENERATIONS);
  rotateReplayTable(shared, options.nowMs);
  return shared;
}

/** How often the supervisor rotates, in milliseconds: an eighth of a generation, so that late calls do no harm. */
export function rotationIntervalMs(shared: SharedArrayBuffer): number {
  return Math.max(1, Math.floor(viewsOf(shared).generationMs / 8));
}

/**
 * Clears generations whose window closed at least half a generation ago and opens the ones that come next.
 * Called by one thread only. If it is not called, new proofs meet a closed generation and are refused.
 */
export function rotateReplayTable(shared: SharedArrayBuffer, nowMs: number): void {
  const views = viewsOf(shared);
  const { words, generationMs } = views;
  const slackMs = generationMs / 2;
  // At most (5 + 2 * 0.5) + 2 = 8 numbers, so each has a place of its own in the ring.
  const lowest = Math.floor((nowMs - (words[MAX_AGE_MS_WORD] ?? 0) - slackMs) / generationMs);
  const highest = Math.floor((nowMs + (words[MAX_AHEAD_MS_WORD] ?? 0) + slackMs) / generationMs);
  for (let number = lowest; number <= highest; number++) {
    const ring = number % GENERATIONS;
    // Never back to an older number: its slots were forgotten.
    if (Atomics.load(words, NUMBERS_AT + ring) >= number) continue;
    Atomics.store(words, NUMBERS_AT + ring, CLOSED);
    views.slots.fill(0n, ring * views.slotsInGeneration, (ring + 1) * views.slotsInGeneration);
    const quotas = QUOTAS_AT + ring * QUOTA_COUNTERS;
    words.fill(0, quotas, quotas + QUOTA_COUNTERS);
    Atomics.store(words, COUNTS_AT + ring, 0);
    Atomics.store(words, NUMBERS_AT + ring, number);
  }
}

/** The table as one thread uses it. `hashKey`: 32 random bytes of this process, the same for all its threads. */
export function attachReplayTable(shared: SharedArrayBuffer, hashKey: Uint8Array): ReplayTable {
  const { words, slots, slotsInGeneration, generationMs } = viewsOf(shared);
  const countMax = Math.floor(slotsInGeneration * FILL_MAX);
  const keyCountMax = Math.floor(slotsInGeneration / KEY_SHARE);
  const keyText = Buffer.from(hashKey).toString("base64url");
  const quotaIndexes = new LRUCache<string, readonly [number, number]>({ max: QUOTA_CACHE_ENTRIES });

  /** Keyed, so that nobody can make a key that shares the counters of another. */
  function quotaIndexesOf(jkt: string): readonly [number, number] {
    const known = quotaIndexes.get(jkt);
    if (known !== undefined) return known;
    const digest = hash("sha256", `${keyText} quota ${jkt}`, "buffer");
    const indexes = [digest.readUInt32LE(0) % QUOTA_COUNTERS, digest.readUInt32LE(4) % QUOTA_COUNTERS] as const;
    quotaIndexes.set(jkt, indexes);
    return indexes;
  }

  // A proof is looked at and then claimed, as the same object: its hash is made once.
  let hashed: ProofIdentity | undefined;
  let digest: Buffer = Buffer.alloc(0);
  function digestOf(proof: ProofIdentity): Buffer {
    if (proof === hashed) return digest;
    hashed = proof;
    // Keyed, so that nobody can aim at another's fingerprint or make long runs of slots. No part before `jti`
    // can hold a space, so two identities never give one text.
    digest = hash("sha256", `${keyText} ${proof.jkt} ${proof.method} ${proof.uri} ${proof.jti}`, "buffer");
    return digest;
  }

  function find(proof: ProofIdentity, iatMs: number, take: boolean): Claim {
    const number = Math.floor(iatMs / generationMs);
    const ring = number % GENERATIONS;
    if (!(number > 0) || Atomics.load(words, NUMBERS_AT + ring) !== number) return "stale";

    const [quotaA, quotaB] = quotaIndexesOf(proof.jkt);
    const quotas = QUOTAS_AT + ring * QUOTA_COUNTERS;
    if (Math.min(Atomics.load(words, quotas + quotaA), Atomics.load(words, quotas + quotaB)) >= keyCountMax) {
      return "key_quota";
    }
    if (Atomics.load(words, COUNTS_AT + ring) >= countMax) return "full";

    const own = digestOf(proof);
    const fingerprint = own.readBigInt64LE(0) || 1n;
    const firstSlot = ring * slotsInGeneration;
    let offset = own.readUInt32LE(8) % slotsInGeneration;
    for (let probes = 0; probes < slotsInGeneration; probes++) {
      const slot = firstSlot + offset;
      const held = take ? Atomics.compareExchange(slots, slot, 0n, fingerprint) : Atomics.load(slots, slot);
      if (held === fingerprint) return "replayed";
      if (held === 0n) {
        if (!take) return "claimed";
        // A thread that slept through the whole window may have written into a cleared generation: that counts for nothing.
        if (Atomics.load(words, NUMBERS_AT + ring) !== number) return "stale";
        Atomics.add(words, COUNTS_AT + ring, 1);
        Atomics.add(words, quotas + quotaA, 1);
        if (quotaB !== quotaA) Atomics.add(words, quotas + quotaB, 1);
        return "claimed";
      }
      offset = offset + 1 === slotsInGeneration ? 0 : offset + 1;
    }
    return "full";
  }

  function fill(): number {
    let most = 0;
    for (let ring = 0; ring < GENERATIONS; ring++) most = Math.max(most, Atomics.load(words, COUNTS_AT + ring));
    return most / slotsInGeneration;
  }

  return {
    claim: (proof, iatMs) => find(proof, iatMs, true),
    look: (proof, iatMs) => find(proof, iatMs, false),
    fill,
  };
}

function viewsOf(shared: SharedArrayBuffer): Views {
  const words = new Int32Array(shared, 0, HEADER_WORDS);
  const generationMs = words[GENERATION_MS_WORD] ?? 0;
  return {
    words,
    slots: new BigInt64Array(shared, HEADER_WORDS * 4),
    slotsInGeneration: words[SLOTS_WORD] ?? 0,
    generationMs,
  };
}
