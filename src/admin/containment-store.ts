// In: numbered containment changes. Out: what is in force after a restart, and who changed what, why and when.
// Trusts: the control database. A change that was saved survives a crash: WAL with synchronous=FULL.
import type { DatabaseSync } from "node:sqlite";
import type { LabelEntry } from "../containment/label-state.ts";
import type { ContainmentDelta, ContainmentEntry, ContainmentSnapshot, Level, Mode } from "../containment/state.ts";
import { inTransaction } from "../lib/durable-database.ts";
import type { ContainmentHistoryLine } from "./control-plane.ts";

/** Who released it and why; a delta that sets an entry carries both itself. */
export interface ReleaseNote {
  readonly reason: string;
  readonly by: string;
  readonly atMs: number;
}

export interface ContainmentStore {
  load(): ContainmentSnapshot;
  /** On disk when it returns. Throws when the epoch is not the next one, and when the disk fails: then nothing changed. */
  save(delta: ContainmentDelta, release?: ReleaseNote): void;
  /** Drops labels that have run out. */
  forgetLabels(nowMs: number): void;
  /** Newest first. Labels are no part of it, though they take numbers of it. */
  history(limit: number, beforeEpoch?: number): ContainmentHistoryLine[];
}

interface Row {
  readonly epoch: number;
  readonly level: Level;
  readonly id: string;
  readonly mode: Mode;
  readonly drain_until_ms: number | null;
  readonly reason: string;
  readonly changed_by: string;
  readonly at_ms: number;
}

interface LabelRow {
  readonly chain: string;
  readonly task: string;
  readonly labels: string;
  readonly until_ms: number;
  readonly changed_by: string;
  readonly at_ms: number;
}

/** Changes that are remembered, some 30 MiB on disk; the audit log has them all. One change is one epoch. */
export const HISTORY_LINES_MAX = 100_000;

export function createContainmentStore(db: DatabaseSync, historyLinesMax = HISTORY_LINES_MAX): ContainmentStore {
  const readEpoch = db.prepare("SELECT epoch FROM containment_epoch");
  const writeEpoch = db.prepare("UPDATE containment_epoch SET epoch = ?");
  const readEntries = db.prepare("SELECT * FROM containment_entry ORDER BY at_ms, level, id");
  const putEntry = db.prepare("INSERT OR REPLACE INTO containment_entry VALUES (?, ?, ?, ?, ?, ?, ?)");
  const removeEntry = db.prepare("DELETE FROM containment_entry WHERE level = ? AND id = ?");
  const readLabels = db.prepare("SELECT * FROM session_label ORDER BY at_ms, chain, task");
  const putLabel = db.prepare("INSERT OR REPLACE INTO session_label VALUES (?, ?, ?, ?, ?, ?)");
  const removeLabel = db.prepare("DELETE FROM session_label WHERE chain = ? AND task = ?");
  const dropLabels = db.prepare("DELETE FROM session_label WHERE until_ms <= ?");
  const putHistory = db.prepare("INSERT INTO containment_history VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  const forgetHistory = db.prepare("DELETE FROM containment_history WHERE epoch <= ?");
  const readHistory = db.prepare("SELECT * FROM containment_history WHERE epoch < ? ORDER BY epoch DESC LIMIT ?");

  function epoch(): number {
    return Number(readEpoch.get()?.["epoch"]);
  }

  return {
    load() {
      return inTransaction(db, () => ({
        epoch: epoch(),
        entries: (readEntries.all() as unknown as Row[]).map(toEntry),
        labels: (readLabels.all() as unknown as LabelRow[]).map(toLabels),
      }));
    },

    save(delta, release) {
      const { set, label, unlabel } = delta;
      inTransaction(db, () => {
        const next = epoch() + 1;
        if (delta.epoch !== next) throw new RangeError(`containment epoch ${delta.epoch} is not the next one, ${next}`);
        if (label !== undefined) {
          const { chain, task, labels, untilMs, by, atMs } = label;
          putLabel.run(chain, task, JSON.stringify(labels), untilMs, by, atMs);
        } else if (unlabel !== undefined) {
          removeLabel.run(unlabel.chain, unlabel.task);
        } else if (set !== undefined && delta.release === undefined) {
          const { level, id, mode, reason, by, atMs } = set;
          const drainUntilMs = set.drainUntilMs ?? null;
          putEntry.run(level, id, mode, drainUntilMs, reason, by, atMs);
          putHistory.run(next, level, id, mode, drainUntilMs, reason, by, atMs);
        } else if (set === undefined && delta.release !== undefined && release !== undefined) {
          const { level, id } = delta.release;
          removeEntry.run(level, id);
          putHistory.run(next, level, id, "active", null, release.reason, release.by, release.atMs);
        } else {
          throw new TypeError("a containment change sets one entry, releases one with a note, or changes labels");
        }
        forgetHistory.run(next - historyLinesMax);
        writeEpoch.run(next);
      });
    },

    forgetLabels: (nowMs) => void dropLabels.run(nowMs),

    history(limit, beforeEpoch = Number.MAX_SAFE_INTEGER) {
      return (readHistory.all(beforeEpoch, limit) as unknown as Row[]).map((row) => ({
        epoch: row.epoch,
        ...common(row),
        mode: row.mode,
      }));
    },
  };
}

function common(row: Row) {
  const { level, id, reason, changed_by: by, at_ms: atMs, drain_until_ms: drainUntilMs } = row;
  return { level, id, reason, by, atMs, ...(drainUntilMs === null ? {} : { drainUntilMs }) };
}

function toLabels(row: LabelRow): LabelEntry {
  const { chain, task, labels, until_ms: untilMs, changed_by: by, at_ms: atMs } = row;
  return { chain, task, labels: JSON.parse(labels) as string[], untilMs, by, atMs };
}

function toEntry(row: Row): ContainmentEntry {
  // The table's CHECK keeps `active` out.
  return { ...common(row), mode: row.mode as ContainmentEntry["mode"] };
}
