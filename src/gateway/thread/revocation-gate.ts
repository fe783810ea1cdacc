// In: an agent, and the number of the last revocation in shared memory. Out: why its token is not accepted any more, if so.
// A thread never judges by an old state: where the shared number is ahead, it first reads what the supervisor has sent.
import type { EpochWords } from "../../containment/epoch.ts";
import type { RevocationDelta } from "../../containment/revocation.ts";
import type { EndedToken, RevocationState } from "../../containment/revocation-state.ts";
import { type Denial, deny, type Reason } from "../../errors.ts";
import type { Agent } from "../../token/agent.ts";

export interface RevocationGate {
  readonly epoch: number;
  /** For a new request. */
  check(agent: Agent): Denial | null;
  /** For what is open: revoked or not known. A token that was renewed ends no stream of its agent. */
  checkOpen(agent: Agent): Denial | null;
  /** Unix milliseconds at which streams of this agent end: with its token, or with the one that it was renewed to. */
  streamsEndMs(agent: Agent): number;
  apply(delta: RevocationDelta): "applied" | "gap";
  forget(): void;
}

const REASONS_OF: Readonly<Record<EndedToken["why"], Reason>> = {
  revoked: "token.revoked",
  superseded: "token.superseded",
  full: "token.revocations_full",
};

/** The gate of one thread. `readControl` reads every message that waits on the control port. */
export function createRevocationGate(options: {
  readonly state: RevocationState;
  readonly epoch: EpochWords;
  readonly readControl: () => void;
  readonly nowMs: () => number;
}): RevocationGate {
  const { state, epoch, readControl, nowMs } = options;

  function check(agent: Agent): Denial | null {
    if (epoch.current() !== state.epoch) {
      readControl();
      // The number is published after its message was posted: a message that is still missing is a fault.
      if (epoch.current() > state.epoch) return deny("containment.stale", "a revocation has not arrived");
    }
    const end = state.endOf(agent.refs, nowMs());
    return end === null ? null : deny(REASONS_OF[end.why], end.detail);
  }

  return {
    get epoch() {
      return state.epoch;
    },
    check,
    checkOpen(agent) {
      const denial = check(agent);
      if (denial === null || denial.reason === "token.superseded") return null;
      return deny("stream.cut_revoked", denial.reason === "token.revoked" ? denial.detail : denial.reason);
    },
    streamsEndMs: (agent) => Math.max(agent.expiresAtMs, state.renewedUntilMs(agent.refs.agent)),
    apply: (delta) => state.apply(delta),
    forget: () => state.forget(nowMs()),
  };
}
