// In: labels that sessions were given, and one agent. Out: which of them it is under. One instance for each thread.
// Trusts: the supervisor that numbered the changes. Pure; time is handed in.
//
// A label must not be shed by handing the work on. An entry therefore names the chain (a root agent and all that was
// delegated from it) and the task with its principal (all agents that were launched for it), and reaches an agent by either.
import type { Agent } from "../token/agent.ts";

/** What of an agent its labels hang on. */
export interface LabelRefs {
  /** `ContainmentRefs.chain`. */
  readonly chain: string;
  /** `ContainmentRefs.task`, the principal's issuer, and `type:id`, with blanks between. */
  readonly task: string;
}

export interface LabelEntry extends LabelRefs {
  /** Sorted, each once. */
  readonly labels: readonly string[];
  /** Unix milliseconds. */
  readonly untilMs: number;
  /** `policy:<decision_id>` of the answer that was labelled. */
  readonly by: string;
  readonly atMs: number;
}

/** `untilMs`: until when all of the labels last, if nothing is given anew. */
export interface LabelsInForce {
  readonly labels: readonly string[];
  readonly untilMs: number;
}

export interface LabelState {
  /** Entries, also of those that have run out and are not forgotten yet. */
  readonly size: number;
  set(entry: LabelEntry): void;
  remove(refs: LabelRefs): void;
  find(refs: LabelRefs): LabelEntry | undefined;
  /** Costs nothing while nothing is labelled. */
  of(refs: LabelRefs, nowMs: number): LabelsInForce;
  entries(): LabelEntry[];
  clear(): void;
  /** Drops what has run out. */
  forget(nowMs: number): void;
}

/** Of one session: labels say what kind of thing it has seen, not what. */
export const LABELS_OF_SESSION_MAX = 16;
/** Each thread holds all of them, some 500 bytes each: as many as agents that one issuer is measured with. */
export const LABELLED_SESSIONS_MAX = 100_000;

export const NO_LABELS: LabelsInForce = Object.freeze({ labels: Object.freeze([]), untilMs: Number.POSITIVE_INFINITY });

export function labelRefsOf({ refs, claims }: Pick<Agent, "refs" | "claims">): LabelRefs {
  const { issuer, type, id } = claims.principal;
  return { chain: refs.chain, task: `${refs.task} ${issuer} ${type}:${id}` };
}

export function createLabelState(): LabelState {
  const byChain = new Map<string, Map<string, LabelEntry>>();
  const byTask = new Map<string, Map<string, LabelEntry>>();
  let size = 0;

  function remove({ chain, task }: LabelRefs): void {
    if (take(byChain, chain, task)) size -= 1;
    take(byTask, task, chain);
  }

  return {
    get size() {
      return size;
    },

    set(entry) {
      const { chain, task } = entry;
      remove(entry);
      put(byChain, chain, task, entry);
      put(byTask, task, chain, entry);
      size += 1;
    },

    remove,
    find: ({ chain, task }) => byChain.get(chain)?.get(task),

    of({ chain, task }, nowMs) {
      if (size === 0) return NO_LABELS;
      const ends = new Map<string, number>();
      for (const entries of [byChain.get(chain), byTask.get(task)]) {
        for (const { labels, untilMs } of entries?.values() ?? []) {
          if (untilMs <= nowMs) continue;
          for (const label of labels) ends.set(label, Math.max(ends.get(label) ?? 0, untilMs));
        }
      }
      return ends.size === 0 ? NO_LABELS : { labels: [...ends.keys()].toSorted(), untilMs: Math.min(...ends.values()) };
    },

    entries: () => [...byChain.values()].flatMap((entries) => [...entries.values()]),

    clear() {
      byChain.clear();
      byTask.clear();
      size = 0;
    },

    forget(nowMs) {
      if (size === 0) return;
      for (const entries of byChain.values()) {
        for (const entry of entries.values()) if (entry.untilMs <= nowMs) remove(entry);
      }
    },
  };
}

function put(index: Map<string, Map<string, LabelEntry>>, outer: string, inner: string, entry: LabelEntry): void {
  const entries = index.get(outer);
  if (entries === undefined) index.set(outer, new Map([[inner, entry]]));
  else entries.set(inner, entry);
}

function take(index: Map<string, Map<string, LabelEntry>>, outer: string, inner: string): boolean {
  const entries = index.get(outer);
  if (entries?.delete(inner) !== true) return false;
  if (entries.size === 0) index.delete(outer);
  return true;
}
