// In: numbered containment changes. Out: what is in force after a restart, and who changed what, why and when.
// Trusts: the control database. A change that was saved survives a crash: WAL with synchronous=FULL.
import type { DatabaseSync } from "node:sqlite";
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
  /** Newest first. */
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

/** Changes that are remembered, some 30 MiB on disk; the audit log has them all. One change is one epoch. */
export const HISTORY_LINES_MAX = 100_000;

export function createContainmentStore(db: DatabaseSync, historyLinesMax = HISTORY_LINES_MAX): ContainmentStore {
  const readEpoch = db.prepare("SELECT epoch FROM containment_epoch");
  const writeEpoch = db.prepare("UPDATE containment_epoch SET epoch = ?");
  const readEntries = db.prepare("SELECT * FROM containment_entry ORDER BY at_ms, level, id");
  const putEntry = db.prepare("INSERT OR REPLACE INTO containment_entry VALUES (?, ?, ?, ?, ?, ?, ?)");
  const removeEntry = db.prepare("DELETE FROM containment_entry WHERE level = ? AND id = ?");
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
      }));
    },

    save(delta, release) {
      const { set } = delta;
      inTransaction(db, () => {
        const next = epoch() + 1;
        if (delta.epoch !== next) throw new RangeError(`containment epoch ${delta.epoch} is not the next one, ${next}`);
        if (set !== undefined && delta.release === undefined) {
          const { level, id, mode, reason, by, atMs } = set;
          const drainUntilMs = set.drainUntilMs ?? null;
          putEntry.run(level, id, mode, drainUntilMs, reason, by, atMs);
          putHistory.run(next, level, id, mode, drainUntilMs, reason, by, atMs);
        } else if (set === undefined && delta.release !== undefined && release !== undefined) {
          const { level, id } = delta.release;
          removeEntry.run(level, id);
          putHistory.run(next, level, id, "active", null, release.reason, release.by, release.atMs);
        } else {
          throw new TypeError("a containment change sets one entry, or releases one with a note");
        }
        forgetHistory.run(next - historyLinesMax);
        writeEpoch.run(next);
      });
    },

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

function toEntry(row: Row): ContainmentEntry {
  // The table's CHECK keeps `active` out.
  return { ...common(row), mode: row.mode as ContainmentEntry["mode"] };
}
