// In: numbered parts of the issuer's feed, and the references of one agent. Out: whether its token was ended or replaced.
// Trusts: the supervisor that numbered them. One instance per thread. Bounded: beyond the bound nothing is forgotten,
// and what cannot be told apart any more is refused.
import type { ContainmentRefs } from "../token/agent.ts";
import type { FeedEvent, RevocationDelta, RevocationSnapshot, RevokedEvent, SupersededEvent } from "./revocation.ts";
import type { Level } from "./state.ts";

/** How often its owner asks it to drop what has run out. */
export const FORGET_MS = 30_000;

export interface EndedToken {
  readonly why: "revoked" | "superseded" | "full";
  /** For the log. */
  readonly detail: string;
}

export interface RevocationState {
  /** The number of the last part that is in force here. */
  readonly epoch: number;
  readonly size: number;
  /** `gap`: this is not the next part; nothing was altered. */
  apply(delta: RevocationDelta): "applied" | "gap";
  load(snapshot: RevocationSnapshot): void;
  snapshot(): RevocationSnapshot;
  /** Null where the token is as good as it was issued. Costs nothing while nothing was ended or replaced. */
  endOf(refs: ContainmentRefs, nowMs: number): EndedToken | null;
  /** Until when streams of this agent may stay open, beyond the token they were opened with; 0 where it has not renewed. */
  renewedUntilMs(agent: string): number;
  /** Drops what no token can match any more. */
  forget(nowMs: number): void;
}

/**
 * Three times the agents that one issuer is measured with; about 250 bytes each. A full table means that more was ended
 * or renewed within one lifetime of a token than this gateway was made for.
 */
export const ENTRIES_MAX = 300_000;
/** A token is accepted for so long beyond its expiry, at most: the largest `leeway_s` that a configuration may have. */
const LEEWAY_MS_MAX = 60_000;

export function createRevocationState(entriesMax = ENTRIES_MAX): RevocationState {
  const revoked: Readonly<Record<Level, Map<string, RevokedEvent>>> = {
    token: new Map(),
    agent: new Map(),
    task: new Map(),
    chain: new Map(),
  };
  const superseded = new Map<string, SupersededEvent>();
  /** By agent, the last renewal. */
  const renewed = new Map<string, number>();
  let epoch = 0;
  let total = 0;
  /** Until when something that found no room could still be presented. */
  let refuseUntilMs = 0;

  function recount(): void {
    total = superseded.size + renewed.size;
    for (const entries of Object.values(revoked)) total += entries.size;
  }

  function add(event: FeedEvent): void {
    const known = event.kind === "revoked" ? revoked[event.level].has(event.id) : superseded.has(event.token);
    if (!known && total >= entriesMax) {
      refuseUntilMs = Math.max(refuseUntilMs, event.untilMs + LEEWAY_MS_MAX);
      return;
    }
    if (event.kind === "revoked") {
      const before = revoked[event.level].get(event.id);
      if (before === undefined || before.untilMs < event.untilMs) revoked[event.level].set(event.id, event);
    } else {
      superseded.set(event.token, event);
      renewed.set(event.agent, Math.max(renewed.get(event.agent) ?? 0, event.agentExpiresMs));
    }
    recount();
  }

  function revocationOf(refs: ContainmentRefs): RevokedEvent | undefined {
    const own = revoked.token.get(refs.token) ?? revoked.agent.get(refs.agent);
    const inherited = refs.ancestors.find((ancestor) => revoked.agent.has(ancestor));
    const delegator = inherited === undefined ? undefined : revoked.agent.get(inherited);
    return own ?? delegator ?? revoked.chain.get(refs.chain) ?? revoked.task.get(refs.task);
  }

  return {
    get epoch() {
      return epoch;
    },
    get size() {
      return total;
    },

    apply(delta) {
      if (delta.epoch !== epoch + 1) return "gap";
      for (const event of delta.events) add(event);
      epoch = delta.epoch;
      return "applied";
    },

    load(snapshot) {
      for (const event of snapshot.events) add(event);
      refuseUntilMs = Math.max(refuseUntilMs, snapshot.refuseUntilMs);
      epoch = snapshot.epoch;
    },

    snapshot() {
      const events: FeedEvent[] = Object.values(revoked).flatMap((entries) => [...entries.values()]);
      return { epoch, events: [...events, ...superseded.values()], refuseUntilMs };
    },

    endOf(refs, nowMs) {
      if (total === 0 && refuseUntilMs === 0) return null;
      const revocation = revocationOf(refs);
      if (revocation !== undefined) {
        return { why: "revoked", detail: `${revocation.level} ${revocation.id}: ${revocation.reason}` };
      }
      const renewal = superseded.get(refs.token);
      if (renewal !== undefined && nowMs >= renewal.fromMs) return { why: "superseded", detail: "" };
      return nowMs < refuseUntilMs ? { why: "full", detail: `${total} entries` } : null;
    },

    renewedUntilMs: (agent) => renewed.get(agent) ?? 0,

    forget(nowMs) {
      if (refuseUntilMs <= nowMs) refuseUntilMs = 0;
      if (total === 0) return;
      const goneMs = nowMs - LEEWAY_MS_MAX;
      for (const entries of Object.values(revoked)) {
        for (const [id, { untilMs }] of entries) if (untilMs <= goneMs) entries.delete(id);
      }
      for (const [token, { untilMs }] of superseded) if (untilMs <= goneMs) superseded.delete(token);
      for (const [agent, expiresMs] of renewed) if (expiresMs <= nowMs) renewed.delete(agent);
      recount();
    },
  };
}
