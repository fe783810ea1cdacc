// In: a numbered snapshot, numbered deltas, and the references of one agent. Out: the mode in force, strictest first.
// Trusts: the supervisor that numbered them. A missing number is a gap, never guessed over. One instance per thread.
import type { ContainmentRefs } from "../token/agent.ts";
import { createLabelState, type LabelState } from "./label-state.ts";
import type { ContainmentDelta, ContainmentEntry, ContainmentSnapshot, Level, Mode } from "./state.ts";

/** The mode in force for one agent; `entry` is what caused it. `reason` is there exactly when `mode` is `blocked`. */
export interface ContainmentVerdict {
  readonly mode: Mode;
  readonly entry?: ContainmentEntry;
  readonly reason?: "containment.blocked" | "containment.drained";
}

export interface ContainmentState {
  /** The number of the last change that is in force here. */
  readonly epoch: number;
  /** `stale`: the snapshot is older than what is in force, which stays. */
  load(snapshot: ContainmentSnapshot): "loaded" | "stale";
  /** `gap`: this is not the next change, or not exactly one change; nothing was altered, ask for a snapshot. */
  apply(delta: ContainmentDelta): "applied" | "gap";
  /** One map look-up for each reference. The strictest of them wins; `draining` still allows. */
  modeFor(refs: ContainmentRefs, nowMs: number): ContainmentVerdict;
  entries(): ContainmentEntry[];
  find(level: Level, id: string): ContainmentEntry | undefined;
  /** Entries in force. */
  readonly size: number;
  /** Of sessions; changed by `load` and `apply` alone, but for what has run out. */
  readonly labels: LabelState;
}

/** Each thread holds all of them, a few hundred bytes each. A policy adds none beyond; what it asks for is refused. */
export const ENTRIES_MAX = 100_000;
/** On top of them, so that operators are not left without means where a policy has used up the others. */
export const ENTRIES_OF_OPERATORS = 10_000;

const ACTIVE: ContainmentVerdict = Object.freeze({ mode: "active" });

// The explicit block ranks above the drain that ran out, so that the reason is the same whatever the order of entries.
const RANK_BLOCKED = 4;
const RANK_DRAINED = 3;
const RANK_QUARANTINED = 2;
const RANK_DRAINING = 1;

function rankOf(entry: ContainmentEntry, nowMs: number): number {
  switch (entry.mode) {
    case "quarantined":
      return RANK_QUARANTINED;
    case "draining":
      // Fail closed: a drain without a deadline, or with one that is no number, has run out.
      return entry.drainUntilMs !== undefined && nowMs < entry.drainUntilMs ? RANK_DRAINING : RANK_DRAINED;
    default:
      return RANK_BLOCKED;
  }
}

export function createContainmentState(): ContainmentState {
  let epoch = 0;
  let total = 0;
  let byLevel = emptyLevels();
  const labels = createLabelState();

  function recount(): void {
    total = byLevel.token.size + byLevel.agent.size + byLevel.task.size + byLevel.chain.size;
  }

  return {
    labels,
    get epoch() {
      return epoch;
    },

    load(snapshot) {
      if (snapshot.epoch < epoch) return "stale";
      const next = emptyLevels();
      for (const entry of snapshot.entries) next[entry.level].set(entry.id, entry);
      byLevel = next;
      labels.clear();
      for (const entry of snapshot.labels ?? []) labels.set(entry);
      epoch = snapshot.epoch;
      recount();
      return "loaded";
    },

    apply(delta) {
      const { set, release, label, unlabel } = delta;
      const changes = [set, release, label, unlabel].filter((change) => change !== undefined);
      if (delta.epoch !== epoch + 1 || changes.length !== 1) return "gap";
      if (set !== undefined) byLevel[set.level].set(set.id, set);
      if (release !== undefined) byLevel[release.level].delete(release.id);
      if (label !== undefined) labels.set(label);
      if (unlabel !== undefined) labels.remove(unlabel);
      epoch = delta.epoch;
      recount();
      return "applied";
    },

    modeFor(refs, nowMs) {
      if (total === 0) return ACTIVE;
      let rank = 0;
      let strictest: ContainmentEntry | undefined;
      // The order decides between equals: the narrowest reference is named as the cause.
      for (const entry of [
        byLevel.token.get(refs.token),
        byLevel.agent.get(refs.agent),
        ...refs.ancestors.map((ancestor) => byLevel.agent.get(ancestor)),
        byLevel.chain.get(refs.chain),
        byLevel.task.get(refs.task),
      ]) {
        if (entry === undefined) continue;
        const own = rankOf(entry, nowMs);
        if (own > rank) {
          rank = own;
          strictest = entry;
        }
      }
      if (strictest === undefined) return ACTIVE;
      if (rank === RANK_BLOCKED) return { mode: "blocked", entry: strictest, reason: "containment.blocked" };
      if (rank === RANK_DRAINED) return { mode: "blocked", entry: strictest, reason: "containment.drained" };
      return { mode: strictest.mode, entry: strictest };
    },

    find: (level, id) => byLevel[level].get(id),

    get size() {
      return total;
    },

    entries() {
      return Object.values(byLevel).flatMap((entries) => [...entries.values()]);
    },
  };
}

function emptyLevels(): Record<Level, Map<string, ContainmentEntry>> {
  return { token: new Map(), agent: new Map(), task: new Map(), chain: new Map() };
}
