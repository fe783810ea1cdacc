// In: nothing; types only. Out: the vocabulary of containment.
import type { LabelEntry, LabelRefs } from "./label-state.ts";

export type Level = "token" | "agent" | "task" | "chain";

export type Mode = "active" | "draining" | "quarantined" | "blocked";

/** One thing under containment. `active` entries are never stored: a release removes the entry. */
export interface ContainmentEntry {
  readonly level: Level;
  /** The value that `ContainmentRefs[level]` has for the agents meant; an agent's delegates are meant with it. */
  readonly id: string;
  readonly mode: Exclude<Mode, "active">;
  /** Unix milliseconds at which `draining` turns into `blocked`; absent for the other modes. */
  readonly drainUntilMs?: number;
  readonly reason: string;
  /** Operator's name, or `policy:<decision_id>` where an obligation asked for it. */
  readonly by: string;
  readonly atMs: number;
}

/** One numbered change, as it is broadcast to the data threads. Exactly one of the four. */
export interface ContainmentDelta {
  readonly epoch: number;
  /** The entry that is in force from this epoch on, or the key of the one that was released. */
  readonly set?: ContainmentEntry;
  readonly release?: { readonly level: Level; readonly id: string };
  /** Labels of a session that are in force from this epoch on, or whose they were. They share the numbers of containment. */
  readonly label?: LabelEntry;
  readonly unlabel?: LabelRefs;
}

export interface ContainmentSnapshot {
  readonly epoch: number;
  readonly entries: readonly ContainmentEntry[];
  readonly labels?: readonly LabelEntry[];
}
