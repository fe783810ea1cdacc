// In: the path of a SQLite file and its numbered migrations. Out: it, opened, durable and at this version.
// Trusts: the folder, which belongs to the user of this process alone.
import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** Another process that holds the file gets this long to let go, before the start fails. */
const BUSY_TIMEOUT_MS = 2000;

/**
 * `migrations` is only appended to: one that was released never changes. `PRAGMA user_version` counts those that ran.
 * Throws when the file cannot be opened or written, or when a newer version of Cordon wrote it.
 */
export function openDurableDatabase(file: string, migrations: readonly string[]): DatabaseSync {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // Created here and not by SQLite, so that it is never readable to others; its WAL takes the same mode.
  closeSync(openSync(file, "a", 0o600));
  chmodSync(file, 0o600);
  const db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
    migrate(db, file, migrations);
  } catch (error) {
    db.close();
    throw error;
  }
  return db;
}

/** Runs `work` as one transaction: all of it is on disk when this returns, or none of it when it throws. */
export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec("BEGIN IMMEDIATE");
  try {
    const value = work();
    db.exec("COMMIT");
    return value;
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

function migrate(db: DatabaseSync, file: string, migrations: readonly string[]): void {
  inTransaction(db, () => {
    const done = Number(db.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (done > migrations.length) {
      throw new Error(`${file} was written by a newer version of Cordon (${done}); start that version`);
    }
    for (const sql of migrations.slice(done)) db.exec(sql);
    db.exec(`PRAGMA user_version = ${migrations.length}`);
  });
}
