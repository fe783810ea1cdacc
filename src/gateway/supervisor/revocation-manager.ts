// In: the issuer's feed. Out: numbered, and enforced by every thread when the call resolves.
// Not written here: the issuer keeps what it has ended, and feeds it again whenever it starts.
import type { EpochWords } from "../../containment/epoch.ts";
import type { FeedEvent, RevocationSnapshot } from "../../containment/revocation.ts";
import { createRevocationState, FORGET_MS } from "../../containment/revocation-state.ts";
import type { Clock } from "../../lib/clock.ts";
import { enforcedEverywhere } from "./enforced-everywhere.ts";
import type { ThreadPool } from "./thread-pool.ts";

export interface RevocationManager {
  /** For a thread that starts. */
  snapshot(): RevocationSnapshot;
  /** Resolves once every thread enforces the events. */
  feed(events: readonly FeedEvent[]): Promise<void>;
  close(): void;
}

/** A renewed token serves 10 s more, so its end can wait for others: a number each time would use them up within months. */
const RENEWALS_MS = 100;

export function createRevocationManager(options: {
  readonly epoch: EpochWords;
  readonly clock: Clock;
  readonly pool: () => ThreadPool;
}): RevocationManager {
  const { epoch, clock, pool } = options;
  const state = createRevocationState();
  let renewals: FeedEvent[] = [];
  let enforcingRenewals: Promise<void> | undefined;
  const forgetting = setInterval(() => state.forget(clock.nowMs()), FORGET_MS);
  forgetting.unref();

  async function enforce(events: readonly FeedEvent[]): Promise<void> {
    const delta = { epoch: state.epoch + 1, events };
    state.apply(delta);
    // Posted before it is published: a thread that sees the number finds the message.
    pool().broadcast({ type: "revocations", delta });
    epoch.publish(delta.epoch);
    await enforcedEverywhere(pool(), epoch, delta.epoch);
  }

  async function enforceRenewals(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, RENEWALS_MS));
    const events = renewals;
    renewals = [];
    enforcingRenewals = undefined;
    await enforce(events);
  }

  return {
    snapshot: () => state.snapshot(),
    feed(events) {
      if (events.some((event) => event.kind === "revoked")) return enforce(events);
      renewals.push(...events);
      enforcingRenewals ??= enforceRenewals();
      return enforcingRenewals;
    },
    close: () => clearInterval(forgetting),
  };
}
