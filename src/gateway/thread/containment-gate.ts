// In: an agent, and the epoch in shared memory. Out: the mode in force for it at this very moment.
// A thread never judges by an old state: where the shared epoch is ahead, it first reads what the supervisor has sent.
import { type ContainmentState, type ContainmentVerdict, ENTRIES_MAX } from "../../containment/containment-state.ts";
import type { EpochWords } from "../../containment/epoch.ts";
import { labelRefsOf, type LabelsInForce, NO_LABELS } from "../../containment/label-state.ts";
import type { ContainmentDelta } from "../../containment/state.ts";
import { type Denial, deny } from "../../errors.ts";
import type { Agent, ContainmentRefs } from "../../token/agent.ts";

export interface ContainmentGate {
  readonly epoch: number;
  verdictFor(agent: Agent): ContainmentVerdict;
  /** The denial that the mode means, or null where the exchange goes on. */
  check(verdict: ContainmentVerdict): Denial | null;
  apply(delta: ContainmentDelta): "applied" | "gap";
  /**
   * Contains an agent on this thread at once, until the supervisor's own change for it arrives. Never loosens. `known`:
   * it is contained, or was told to the supervisor before. `full`: there is no room for one more, and nothing changed.
   */
  containHere(agentId: string, mode: "quarantined" | "blocked"): "new" | "known" | "full";
  /** The labels of its session; null where a change has not arrived. */
  labelsOf(agent: Agent): LabelsInForce | null;
  /** Every thread reads what is known here before it judges. */
  readonly isEverywhere: boolean;
  /** What has run out. */
  forgetLabels(): void;
}

/** The gate of one thread. `readControl` reads every message that waits on the control port. */
export function createContainmentGate(options: {
  readonly state: ContainmentState;
  readonly epoch: EpochWords;
  readonly readControl: () => void;
  readonly nowMs: () => number;
  readonly entriesMax?: number;
}): ContainmentGate {
  const { state, epoch, readControl, nowMs, entriesMax = ENTRIES_MAX } = options;
  const here = new Map<string, "quarantined" | "blocked">();
  /** Also of the agents that delegated to this one. */
  function strictestHere({ agent, ancestors }: ContainmentRefs): "quarantined" | "blocked" | undefined {
    const modes = [agent, ...ancestors].map((id) => here.get(id));
    return modes.includes("blocked") ? "blocked" : modes.find((mode) => mode !== undefined);
  }

  function isBehind(): boolean {
    if (epoch.current() === state.epoch) return false;
    readControl();
    // The number is published after its message was posted: a message that is still missing is a fault.
    return epoch.current() > state.epoch;
  }

  const stale: ContainmentVerdict = Object.freeze({ mode: "blocked" });

  return {
    get epoch() {
      return state.epoch;
    },
    verdictFor(agent) {
      if (isBehind()) return stale;
      const verdict = state.modeFor(agent.refs, nowMs());
      const local = here.size === 0 ? undefined : strictestHere(agent.refs);
      if (local === undefined || verdict.mode === "blocked") return verdict;
      return local === "blocked" ? { mode: "blocked", reason: "containment.blocked" } : { mode: local };
    },
    check(verdict) {
      if (verdict.mode !== "blocked") return null;
      if (verdict === stale) return deny("containment.stale", "a containment change has not arrived");
      return deny(verdict.reason ?? "containment.blocked", verdict.entry?.reason);
    },
    apply(delta) {
      const result = state.apply(delta);
      const { set, release } = delta;
      if (result === "applied" && release?.level === "agent") here.delete(release.id);
      // A weaker change that was on its way does not take the place of the one that is still to come.
      if (result === "applied" && set?.level === "agent") {
        const local = here.get(set.id);
        if (set.mode === "blocked" || set.mode === local) here.delete(set.id);
      }
      return result;
    },
    labelsOf(agent) {
      if (isBehind()) return null;
      // Nearly always nobody has any, and then nothing is made of the agent's names.
      return state.labels.size === 0 ? NO_LABELS : state.labels.of(labelRefsOf(agent), nowMs());
    },
    get isEverywhere() {
      // A change that is posted and not published yet is known here, and perhaps nowhere else.
      return epoch.current() >= state.epoch;
    },
    forgetLabels: () => state.labels.forget(nowMs()),
    containHere(agentId, mode) {
      const modes = [here.get(agentId), state.find("agent", agentId)?.mode];
      if (modes.includes("blocked") || modes.includes(mode)) return "known";
      if (modes.every((one) => one === undefined) && state.size + here.size >= entriesMax) return "full";
      here.set(agentId, mode);
      return "new";
    },
  };
}
