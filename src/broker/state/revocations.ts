// In: credentials that were ended before their time. Out: whether one of them covers a credential, and all that are live.
// Trusts: the broker's database. Ids are those of the feed: `<issuer> <jti>`, SPIFFE id, task id, `<issuer> <session>`.
import type { DatabaseSync } from "node:sqlite";
import type { RevokedEvent, RevokedLevel } from "../../containment/revocation.ts";

export interface Revocation extends Omit<RevokedEvent, "kind"> {
  readonly by: string;
  readonly atMs: number;
}

export interface Revocations {
  /** One step of a transaction that its caller runs. A second one of the same id keeps the later end. */
  add(revocation: Revocation): void;
  has(level: RevokedLevel, id: string): boolean;
  /** Those after whose end something could still be valid. */
  live(nowMs: number): readonly Revocation[];
  sweep(nowMs: number, countMax: number): number;
}

export function createRevocations(db: DatabaseSync): Revocations {
  const insert = db.prepare(
    `INSERT INTO revocation VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (level, id) DO UPDATE SET until_ms = max(until_ms, excluded.until_ms)`,
  );
  const select = db.prepare("SELECT 1 FROM revocation WHERE level = ? AND id = ?");
  const selectLive = db.prepare("SELECT * FROM revocation WHERE until_ms > ? ORDER BY at_ms");
  const remove = db.prepare(
    `DELETE FROM revocation WHERE (level, id) IN (SELECT level, id FROM revocation WHERE until_ms <= ? LIMIT ?)`,
  );

  return {
    add({ level, id, reason, by, atMs, untilMs }) {
      insert.run(level, id, reason, by, atMs, untilMs);
    },
    has: (level, id) => select.get(level, id) !== undefined,
    live: (nowMs) =>
      selectLive.all(nowMs).map((row) => ({
        level: row["level"] as RevokedLevel,
        id: String(row["id"]),
        reason: String(row["reason"]),
        by: String(row["revoked_by"]),
        atMs: Number(row["at_ms"]),
        untilMs: Number(row["until_ms"]),
      })),
    sweep: (nowMs, countMax) => Number(remove.run(nowMs, countMax).changes),
  };
}
