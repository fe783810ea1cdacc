// In: what the key ring lists, whenever it changes. Out: which key was published, signed or was retired since when.
// Metadata only, also of keys that are gone: a token that turns up later can be traced to the time of its key.
import type { DatabaseSync } from "node:sqlite";
import { inTransaction } from "../../lib/durable-database.ts";
import type { KeyFacts, KeyRing } from "../keys/key-ring.ts";

export interface KeyRecord {
  readonly kid: string;
  readonly state: KeyFacts["state"] | "removed";
  readonly createdMs: number;
  readonly sinceMs: number;
}

export interface KeyRecords {
  /** On disk when it returns. A key that is listed no more is removed. */
  keep(ring: Pick<KeyRing, "list">, nowMs: number): void;
  /** The newest first. */
  list(): readonly KeyRecord[];
}

export function createKeyRecords(db: DatabaseSync): KeyRecords {
  const upsert = db.prepare(
    `INSERT INTO signing_key VALUES (:kid, :state, :since, :since)
     ON CONFLICT (kid) DO UPDATE SET state = :state, since_ms = :since WHERE state <> :state`,
  );
  const remove = db.prepare(
    `UPDATE signing_key SET state = 'removed', since_ms = ?
     WHERE state <> 'removed' AND kid NOT IN (SELECT value FROM json_each(?))`,
  );
  const select = db.prepare("SELECT * FROM signing_key ORDER BY created_ms DESC, kid");

  return {
    keep(ring, nowMs) {
      const keys = ring.list();
      inTransaction(db, () => {
        for (const { kid, state, since } of keys) upsert.run({ kid, state, since: Date.parse(since) });
        remove.run(nowMs, JSON.stringify(keys.map(({ kid }) => kid)));
      });
    },
    list: () =>
      select.all().map((row) => ({
        kid: String(row["kid"]),
        state: row["state"] as KeyRecord["state"],
        createdMs: Number(row["created_ms"]),
        sinceMs: Number(row["since_ms"]),
      })),
  };
}

export interface KeyHistory {
  /** Keeps what this ring lists, now and at each change. */
  follow(ring: Pick<KeyRing, "list">): void;
  changed(): void;
}

/** The keys are on disk elsewhere, and in use: that their history lacks a line is told, and must not stop them. */
export function createKeyHistory(
  records: KeyRecords,
  nowMs: () => number,
  onProblem: (error: Error) => void,
): KeyHistory {
  let followed: Pick<KeyRing, "list"> | undefined;

  function changed(): void {
    try {
      if (followed !== undefined) records.keep(followed, nowMs());
    } catch (error) {
      onProblem(error instanceof Error ? error : new Error(String(error)));
    }
  }

  return {
    follow(ring) {
      followed = ring;
      changed();
    },
    changed,
  };
}
