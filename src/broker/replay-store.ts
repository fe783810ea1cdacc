// In: ids of client assertions and proofs. Out: whether each is new, for as long as it could be used again.
// oidc-provider looks first and stores later, with a turn of the event loop between; the store is therefore
// insert-only: of two that looked at the same time, the second one to store is refused.
import type { Adapter, AdapterPayload } from "oidc-provider";
import * as errors from "oidc-provider/lib/helpers/errors.js";

/** About 60 MB; at two ids for an agent it is room for 300 launches a second. A full store refuses, it never forgets. */
export const REPLAY_ENTRIES_MAX = 400_000;
/** oidc-provider accepts a proof from 5 minutes ahead but keeps its id for 5 minutes from now; this covers the rest. */
const EXTRA_RETENTION_MS = 300_000;
const EXPIRED_PER_INSERT_MAX = 8;

export interface ReplayStore {
  /** The adapter of one oidc-provider model; only `ReplayDetection` keeps anything. */
  adapter(model: string): Adapter;
  size(): number;
}

/** `monotonicMs` is handed in: a wall clock that steps must not bring a used proof back to life. */
export function createReplayStore(monotonicMs: () => number, entriesMax = REPLAY_ENTRIES_MAX): ReplayStore {
  /** The end of each, in monotonic milliseconds. */
  const entries = new Map<string, number>();

  function forgetExpired(nowMs: number, countMax: number): void {
    let looked = 0;
    for (const [id, expiresAtMs] of entries) {
      if (looked >= countMax) return;
      looked += 1;
      if (expiresAtMs <= nowMs) entries.delete(id);
    }
  }

  async function insert(id: string, _payload: AdapterPayload, expiresInS: number): Promise<void> {
    const nowMs = monotonicMs();
    if ((entries.get(id) ?? 0) > nowMs) throw new errors.InvalidGrant("used before");
    forgetExpired(nowMs, EXPIRED_PER_INSERT_MAX);
    if (entries.size >= entriesMax) forgetExpired(nowMs, entriesMax);
    if (entries.size >= entriesMax) throw new errors.TemporarilyUnavailable("too many requests at the moment");
    entries.delete(id);
    entries.set(id, nowMs + expiresInS * 1000 + EXTRA_RETENTION_MS);
  }

  const nothing = async (): Promise<undefined> => undefined;
  const refuse = async (): Promise<never> => {
    throw new Error("the embedded issuer keeps no such state");
  };
  const base = {
    findByUserCode: nothing,
    findByUid: nothing,
    consume: refuse,
    destroy: refuse,
    revokeByGrantId: refuse,
  };

  return {
    adapter(model) {
      if (model !== "ReplayDetection") return { ...base, find: nothing, upsert: refuse };
      return {
        ...base,
        async find(id) {
          // Without a time, at which oidc-provider would look: what is kept longer must still be found.
          return (entries.get(id) ?? 0) > monotonicMs() ? { jti: id } : undefined;
        },
        upsert: insert,
      };
    },
    size: () => entries.size,
  };
}
