// In: the path of the control plane's SQLite file. Out: it, opened, durable and migrated to this version.
// Trusts: the data folder, which belongs to the gateway's user alone.
import type { DatabaseSync } from "node:sqlite";
import { openDurableDatabase } from "../lib/durable-database.ts";

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
  // The level `chain`: SQLite cannot change a CHECK, so the table is written anew.
  `CREATE TABLE containment_entry_4_levels (
     level TEXT NOT NULL CHECK (level IN ('token', 'agent', 'task', 'chain')), id TEXT NOT NULL,
     mode TEXT NOT NULL CHECK (mode IN ('draining', 'quarantined', 'blocked')), drain_until_ms INTEGER,
     reason TEXT NOT NULL, changed_by TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (level, id)) STRICT;
   INSERT INTO containment_entry_4_levels SELECT * FROM containment_entry;
   DROP TABLE containment_entry;
   ALTER TABLE containment_entry_4_levels RENAME TO containment_entry;`,
  `CREATE TABLE tool_server (
     route TEXT PRIMARY KEY, first_ms INTEGER NOT NULL, complete INTEGER NOT NULL CHECK (complete IN (0, 1))) STRICT;
   CREATE TABLE tool (
     route TEXT NOT NULL, name TEXT NOT NULL, pinned TEXT, seen TEXT, vanished INTEGER NOT NULL CHECK (vanished IN (0, 1)),
     at_ms INTEGER NOT NULL, vanished_ms INTEGER NOT NULL, changed_by TEXT NOT NULL,
     PRIMARY KEY (route, name), CHECK (pinned IS NOT NULL OR seen IS NOT NULL)) STRICT;`,
  // "labels" is a JSON list of texts.
  `CREATE TABLE session_label (
     chain TEXT NOT NULL, task TEXT NOT NULL, labels TEXT NOT NULL, until_ms INTEGER NOT NULL,
     changed_by TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (chain, task)) STRICT;`,
];

/** Throws when the file cannot be opened or written, or when a newer version of Cordon wrote it. */
export function openControlDatabase(file: string): DatabaseSync {
  return openDurableDatabase(file, MIGRATIONS);
}
