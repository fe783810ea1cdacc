// In: the operators' and the policy's changes. Out: numbered, on disk, and enforced by every thread when the call returns.
// What tightens is enforced first and written at once after it; what loosens is written first. One change at a time.
import type { Applied } from "../../admin/control-plane.ts";
import type { ContainmentStore, ReleaseNote } from "../../admin/containment-store.ts";
import { createContainmentState, ENTRIES_MAX, ENTRIES_OF_OPERATORS } from "../../containment/containment-state.ts";
import {
  LABELLED_SESSIONS_MAX,
  type LabelEntry,
  LABELS_OF_SESSION_MAX,
  type LabelRefs,
} from "../../containment/label-state.ts";
import type { EpochWords } from "../../containment/epoch.ts";
import type { ContainmentDelta, ContainmentEntry, ContainmentSnapshot, Level } from "../../containment/state.ts";
import type { ContainmentChange } from "../../containment/validate-change.ts";
import type { Clock } from "../../lib/clock.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import type { ContainmentRefs } from "../../token/agent.ts";
import { enforcedEverywhere } from "./enforced-everywhere.ts";
import type { ThreadPool } from "./thread-pool.ts";

export interface ContainmentManager {
  readonly epoch: number;
  snapshot(): ContainmentSnapshot;
  entries(): readonly ContainmentEntry[];
  find(level: Level, id: string): ContainmentEntry | undefined;
  modeFor(refs: ContainmentRefs): ContainmentEntry["mode"] | "active";
  /** Changes that every thread enforces but that are not on disk, because the disk failed; tried again until they are. */
  readonly unsaved: number;
  close(): void;
  contain(change: ContainmentChange, by: string): Promise<Result<Applied, string>>;
  release(level: Level, id: string, reason: string, by: string): Promise<Result<Applied, string>>;
  labels(): readonly LabelEntry[];
  /**
   * Adds labels to a session. Resolves once they are on disk and every thread enforces them. `full`: there is no room. An error
   * is what the disk said: then nothing changed.
   */
  label(
    wish: Pick<LabelEntry, "chain" | "task" | "labels" | "untilMs" | "by">,
  ): Promise<Result<"done" | "full", string>>;
  /** Takes all labels of some sessions back. */
  unlabel(sessions: readonly LabelRefs[]): Promise<Result<void, string>>;
}

/** How often a change that could not be written is tried again. */
const SAVE_RETRY_MS = 1000;
/** How often labels that have run out are dropped; nobody is under them any more. */
const FORGET_LABELS_MS = 60_000;

/** How strict an entry is at this moment: a drain that has run out blocks. */
export function strictness(entry: ContainmentEntry | undefined, nowMs: number): number {
  if (entry === undefined) return 0;
  if (entry.mode === "draining") return entry.drainUntilMs !== undefined && nowMs < entry.drainUntilMs ? 1 : 3;
  return entry.mode === "quarantined" ? 2 : 3;
}

function tightensOver(entry: ContainmentEntry, before: ContainmentEntry | undefined, nowMs: number): boolean {
  const [now, then] = [strictness(entry, nowMs), strictness(before, nowMs)];
  if (now !== then || before === undefined) return now > then;
  // A quarantine drops the deadline of a drain, and a later deadline gives time.
  return entry.mode === before.mode && (entry.drainUntilMs ?? 0) <= (before.drainUntilMs ?? 0);
}

export function createContainmentManager(options: {
  readonly store: ContainmentStore;
  readonly epoch: EpochWords;
  readonly clock: Clock;
  readonly pool: () => ThreadPool;
  readonly labelledSessionsMax?: number;
}): ContainmentManager {
  const { store, epoch, clock, pool, labelledSessionsMax = LABELLED_SESSIONS_MAX } = options;
  const state = createContainmentState();
  state.load(store.load());
  epoch.publish(state.epoch);
  // Enforced but not on disk, because the disk failed: written before anything newer is.
  let unsaved: { delta: ContainmentDelta; note?: ReleaseNote }[] = [];

  const retry = setInterval(() => void save(), SAVE_RETRY_MS);
  retry.unref();

  const forgetting = setInterval(() => {
    state.labels.forget(clock.nowMs());
    // What is left in the file is dropped the next time: it has run out all the same.
    trySave(() => store.forgetLabels(clock.nowMs()));
  }, FORGET_LABELS_MS);
  forgetting.unref();

  function find(level: Level, id: string): ContainmentEntry | undefined {
    return state.find(level, id);
  }

  function save(): string | null {
    try {
      while (unsaved[0] !== undefined) {
        store.save(unsaved[0].delta, unsaved[0].note);
        unsaved = unsaved.slice(1);
      }
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  function enforce(delta: ContainmentDelta): void {
    state.apply(delta);
    // Posted before it is published: a thread that sees the number finds the message.
    pool().broadcast({ type: "containment", delta });
    epoch.publish(delta.epoch);
  }

  return {
    get epoch() {
      return state.epoch;
    },
    snapshot: () => ({ epoch: state.epoch, entries: state.entries(), labels: state.labels.entries() }),
    entries: () => state.entries(),
    find,
    get unsaved() {
      return unsaved.length;
    },
    close() {
      clearInterval(retry);
      clearInterval(forgetting);
      save();
    },
    modeFor: (refs) => state.modeFor(refs, clock.nowMs()).mode,

    async contain(change, by) {
      const startedMs = clock.monotonicMs();
      const atMs = clock.nowMs();
      const entry: ContainmentEntry = {
        level: change.level,
        id: change.id,
        mode: change.mode,
        ...(change.drainS === undefined ? {} : { drainUntilMs: atMs + change.drainS * 1000 }),
        reason: change.reason,
        by,
        atMs,
      };
      const before = find(change.level, change.id);
      if (before === undefined && state.size >= ENTRIES_MAX + ENTRIES_OF_OPERATORS) {
        return err(`nothing was changed, since ${state.size} entries are as many as there may be: release some`);
      }
      const tightens = tightensOver(entry, before, atMs);
      const delta: ContainmentDelta = { epoch: state.epoch + 1, set: entry };
      if (!tightens) {
        const problem = save() ?? trySave(() => store.save(delta));
        if (problem !== null) return err(`nothing was changed, since the change could not be written: ${problem}`);
        enforce(delta);
      } else {
        enforce(delta);
        unsaved = [...unsaved, { delta }];
      }
      const problem = save();
      const threads = await enforcedEverywhere(pool(), epoch, delta.epoch);
      if (problem !== null) {
        return err(`every thread enforces it, but it could not be written and a restart would forget it: ${problem}`);
      }
      return ok({ epoch: delta.epoch, entry, threads, took_ms: elapsed(startedMs) });
    },

    async release(level, id, reason, by) {
      const startedMs = clock.monotonicMs();
      if (find(level, id) === undefined) return err(`this ${level} is not under containment`);
      const delta: ContainmentDelta = { epoch: state.epoch + 1, release: { level, id } };
      const note = { reason, by, atMs: clock.nowMs() };
      const problem = save() ?? trySave(() => store.save(delta, note));
      if (problem !== null) return err(`nothing was released, since the change could not be written: ${problem}`);
      enforce(delta);
      const threads = await enforcedEverywhere(pool(), epoch, delta.epoch);
      return ok({ epoch: delta.epoch, entry: null, threads, took_ms: elapsed(startedMs) });
    },

    labels: () => state.labels.entries(),

    async label({ chain, task, labels, untilMs, by }) {
      const atMs = clock.nowMs();
      const before = state.labels.find({ chain, task });
      const own = new Set([...(before?.labels ?? []), ...labels]);
      const all = new Set([...state.labels.of({ chain, task }, atMs).labels, ...own]);
      const isNew = before === undefined && state.labels.size >= labelledSessionsMax;
      if (isNew || all.size > LABELS_OF_SESSION_MAX) return ok("full" as const);
      if (before === undefined || own.size > before.labels.length || untilMs > before.untilMs) {
        const until = Math.max(untilMs, before?.untilMs ?? 0);
        const entry: LabelEntry = { chain, task, labels: [...own].toSorted(), untilMs: until, by, atMs };
        const delta: ContainmentDelta = { epoch: state.epoch + 1, label: entry };
        // Written first, though it tightens: the answer waits for both, and what a thread knows is on disk then.
        const problem = save() ?? trySave(() => store.save(delta));
        if (problem !== null) return err(problem);
        enforce(delta);
      }
      await enforcedEverywhere(pool(), epoch, state.epoch);
      return ok("done" as const);
    },

    async unlabel(sessions) {
      for (const unlabel of sessions) {
        const delta: ContainmentDelta = { epoch: state.epoch + 1, unlabel };
        const problem = save() ?? trySave(() => store.save(delta));
        if (problem !== null) return err(problem);
        enforce(delta);
      }
      await enforcedEverywhere(pool(), epoch, state.epoch);
      return ok(undefined);
    },
  };

  function elapsed(startedMs: number): number {
    return Math.round((clock.monotonicMs() - startedMs) * 1000) / 1000;
  }
}

function trySave(save: () => void): string | null {
  try {
    save();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
