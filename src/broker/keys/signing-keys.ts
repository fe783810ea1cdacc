// In: the issuer's signing keys with their states, and the time. Out: the keys with the states that are due then.
// Pure, but for the making of a key. A key is published before it signs, and stays published after it has signed.
import { generateKeyPairSync } from "node:crypto";
import { calculateJwkThumbprint, type JWK } from "jose";

/** `next`: published, signs nothing yet. `active`: signs. `retired`: published until its last token has expired. */
export type KeyState = "next" | "active" | "retired";

export interface SigningKey {
  /** The RFC 7638 thumbprint. */
  readonly kid: string;
  readonly state: KeyState;
  /** Unix milliseconds: since when it has this state. */
  readonly sinceMs: number;
  /** Unix milliseconds; of a retired key alone: when it is no longer published. */
  readonly untilMs?: number;
  /** Private, with `kid`, `alg` and `use`. */
  readonly jwk: JWK;
}

export interface RotationTimes {
  /** For how long a key signs. */
  readonly rotationMs: number;
  /** For how long a key is published before it signs: longer than any gateway keeps a key set. */
  readonly overlapMs: number;
}

/** `broker.token_ttl_s` and every ceiling are at most one hour, and a gateway's leeway at most one minute. */
export const RETIRED_MS = 3_660_000;

/** In a fast series of rotations the retired keys add up; a gateway reads at most 256 of a set. */
export const KEYS_MAX = 16;

/** Makes a key of a ring; it signs tokens where nothing else is said. */
export type CreateKey = (state: KeyState, nowMs: number) => Promise<SigningKey>;

export const createSigningKey: CreateKey = async (state, nowMs) => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = privateKey.export({ format: "jwk" }) as JWK;
  const kid = await calculateJwkThumbprint(jwk);
  return { kid, state, sinceMs: nowMs, jwk: { ...jwk, kid, alg: "ES256", use: "sig" } };
};

/** Promotes the next key once it was published for the overlap, and drops what has been retired for long enough. */
export function advanceKeys(keys: readonly SigningKey[], times: RotationTimes, nowMs: number): readonly SigningKey[] {
  const kept = keys.filter((key) => key.untilMs === undefined || key.untilMs > nowMs);
  const promoted = kept.find((key) => key.state === "next" && nowMs >= key.sinceMs + times.overlapMs);
  if (promoted === undefined) return kept.length === keys.length ? keys : kept;
  return kept.map((key) => {
    if (key === promoted) return { ...key, state: "active" as const, sinceMs: nowMs };
    if (key.state !== "active") return key;
    return { ...key, state: "retired" as const, sinceMs: nowMs, untilMs: nowMs + RETIRED_MS };
  });
}

/** Whether the active key has signed for its time and no successor is published yet. */
export function isRotationDue(keys: readonly SigningKey[], times: RotationTimes, nowMs: number): boolean {
  const active = keys.find((key) => key.state === "active");
  const waiting = keys.some((key) => key.state === "next");
  return !waiting && active !== undefined && nowMs >= active.sinceMs + times.rotationMs;
}

/** Unix milliseconds at which `advanceKeys` or `isRotationDue` will next have something to do. */
export function nextChangeMs(keys: readonly SigningKey[], times: RotationTimes): number {
  const waiting = keys.some((key) => key.state === "next");
  return Math.min(
    ...keys.map((key) => {
      if (key.state === "next") return key.sinceMs + times.overlapMs;
      if (key.state === "retired") return key.untilMs ?? 0;
      return waiting ? Number.POSITIVE_INFINITY : key.sinceMs + times.rotationMs;
    }),
  );
}

/** What is published: no private member, and no state that a caller needs to know. */
export function publicKeySet(keys: readonly SigningKey[]): { readonly keys: readonly JWK[] } {
  return {
    keys: keys.map(({ jwk }) => {
      const { kty, crv, x, y, kid, alg, use, x5c } = jwk;
      return { kty, crv, x, y, kid, alg, use, ...(x5c === undefined ? {} : { x5c }) };
    }),
  };
}
