// In: nothing; types only. Out: what the issuer tells the gateway about credentials that it has ended or replaced.
import type { Level } from "./state.ts";

export type RevokedLevel = Level;

/** From now on no request with a credential of it is accepted: 401 `token.revoked`; open streams are cut. */
export interface RevokedEvent {
  readonly kind: "revoked";
  /** An agent takes every token with it that has the agent among its delegators. */
  readonly level: RevokedLevel;
  /** As in containment: `<issuer> <jti>`, SPIFFE id, SPIFFE id without instance, `<issuer> <session.id>`. */
  readonly id: string;
  /** Unix milliseconds after which no token of it can be valid; the entry is dropped then. */
  readonly untilMs: number;
  readonly reason: string;
}

/** A token was renewed: new requests with it get 401 `token.superseded`, streams of the instance live on. */
export interface SupersededEvent {
  readonly kind: "superseded";
  /** `<issuer> <jti>` of the old token. */
  readonly token: string;
  /** SPIFFE id. */
  readonly agent: string;
  /** Unix milliseconds from which the old token is refused: the renewal and its grace. */
  readonly fromMs: number;
  /** Unix milliseconds after which the old token has expired anyway. */
  readonly untilMs: number;
  /** Unix milliseconds at which the new token expires; until then streams of the instance may stay open. */
  readonly agentExpiresMs: number;
}

export type FeedEvent = RevokedEvent | SupersededEvent;

/** One numbered part of the feed, as it is broadcast to the data threads. */
export interface RevocationDelta {
  readonly epoch: number;
  readonly events: readonly FeedEvent[];
}

/** What is in force at an epoch: for a thread that starts. */
export interface RevocationSnapshot extends RevocationDelta {
  /** Unix milliseconds until which something that found no room may still be presented; 0 where all had room. */
  readonly refuseUntilMs: number;
}
