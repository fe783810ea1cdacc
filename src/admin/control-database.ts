// In: the path of the control plane's SQLite file. Out: it, opened, durable and migrated to this version.
// Trusts: the data folder, which belongs to the gateway's user alone.
import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";

// Only appended to: a migration that was released never changes. `PRAGMA user_version` counts the ones that ran.
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE containment_epoch (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL CHECK (epoch >= 0)) STRICT;
   INSERT INTO containment_epoch (one, epoch) VALUES (1, 0);
   CREATE TRIGGER containment_epoch_never_goes_back BEFORE UPDATE ON containment_epoch WHEN NEW.epoch <= OLD.epoch
   BEGIN SELECT RAISE(ABORT, 'the containment epoch never goes back'); END;
   CREATE TABLE containment_entry (
     level TEXT NOT NULL CHECK (level IN ('token', 'agent', 'task')), id TEXT NOT NULL,
     mode TEXT NOT NULL CHECK (mode IN ('draining', 'quarantined', 'blocked')), drain_until_ms INTEGER,
     reason TEXT NOT NULL, changed_by TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (level, id)) STRICT;
   CREATE TABLE containment_history (
     epoch INTEGER PRIMARY KEY, level TEXT NOT NULL, id TEXT NOT NULL,
     mode TEXT NOT NULL CHECK (mode IN ('active', 'draining', 'quarantined', 'blocked')), drain_until_ms INTEGER,
     reason TEXT NOT NULL, changed_by TEXT NOT NULL, at_ms INTEGER NOT NULL) STRICT;`,
  `CREATE TABLE operator (
     name TEXT PRIMARY KEY, role TEXT NOT NULL CHECK (role IN ('viewer', 'responder', 'policy_editor', 'admin')),
     key_hash BLOB NOT NULL UNIQUE CHECK (length(key_hash) = 32), created_ms INTEGER NOT NULL, created_by TEXT NOT NULL) STRICT;`,
];

/** Another process that holds the file gets this long to let go, before the start fails. */
const BUSY_TIMEOUT_MS = 2000;

/** Throws when the file cannot be opened or written, or when a newer version of Cordon wrote it. */
export function openControlDatabase(file: string): DatabaseSync {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // Created here and not by SQLite, so that it is never readable to others; its WAL takes the same mode.
  closeSync(openSync(file, "a", 0o600));
  chmodSync(file, 0o600);
  const db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
  try {
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
    migrate(db, file);
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

function migrate(db: DatabaseSync, file: string): void {
  inTransaction(db, () => {
    const done = Number(db.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (done > MIGRATIONS.length) {
      throw new Error(`${file} was written by a newer version of Cordon (${done}); start that version`);
    }
    for (const sql of MIGRATIONS.slice(done)) db.exec(sql);
    db.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
  });
}
