// In: the data folder. Out: the broker's SQLite file, durable and migrated to this version.
// Trusts: the folder, which belongs to the gateway's user alone. It holds no key and no token, only hashes and ids of them.
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { openDurableDatabase } from "../../lib/durable-database.ts";

// Only appended to: a migration that was released never changes.
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE application (
     name TEXT PRIMARY KEY, source TEXT NOT NULL CHECK (source IN ('config', 'operator')), definition TEXT NOT NULL,
     created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;

   -- One row for each launch token, by its SHA-256. "spent_ms" is set once and never cleared.
   CREATE TABLE launch (
     token_hash BLOB PRIMARY KEY CHECK (length(token_hash) = 32), application TEXT NOT NULL, authority TEXT NOT NULL,
     expires_ms INTEGER NOT NULL, spent_ms INTEGER, agent TEXT) STRICT, WITHOUT ROWID;
   CREATE INDEX launch_expires ON launch (expires_ms);
   CREATE TRIGGER launch_is_spent_once BEFORE UPDATE ON launch WHEN OLD.spent_ms IS NOT NULL
   BEGIN SELECT RAISE(ABORT, 'a spent launch token stays spent'); END;

   -- The RFC 7638 thumbprints of all keys that were ever an agent's. Never swept: no instance is issued twice.
   CREATE TABLE used_instance (
     thumbprint BLOB PRIMARY KEY CHECK (length(thumbprint) = 32)) STRICT, WITHOUT ROWID;
   CREATE TRIGGER used_instance_stays BEFORE DELETE ON used_instance
   BEGIN SELECT RAISE(ABORT, 'a used instance is never forgotten'); END;

   -- "session" names the chain; "parent" is the delegator. "authority" holds what never changes, the three lists
   -- what a renewal may narrow. "token" is the jti of the latest one, and "ended_ms" is set by release or revocation.
   CREATE TABLE agent (
     id TEXT PRIMARY KEY, application TEXT NOT NULL, session TEXT NOT NULL, parent TEXT, depth INTEGER NOT NULL,
     authority TEXT NOT NULL, scope TEXT NOT NULL, details TEXT NOT NULL, constraints TEXT NOT NULL,
     expires_ms INTEGER NOT NULL, renewals INTEGER NOT NULL, token TEXT NOT NULL, token_expires_ms INTEGER NOT NULL,
     ended_ms INTEGER, end_reason TEXT) STRICT, WITHOUT ROWID;
   CREATE INDEX agent_session ON agent (session);
   CREATE INDEX agent_expires ON agent (expires_ms);
   CREATE TRIGGER agent_ends_once BEFORE UPDATE ON agent WHEN OLD.ended_ms IS NOT NULL
   BEGIN SELECT RAISE(ABORT, 'an ended agent stays ended'); END;

   -- "successor" is the jti of the token that a renewal put in its place, and "request" the hash of what was asked then.
   CREATE TABLE token (
     jti TEXT PRIMARY KEY, agent TEXT NOT NULL, issued_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
     superseded_ms INTEGER, successor TEXT, request BLOB) STRICT, WITHOUT ROWID;
   CREATE INDEX token_agent ON token (agent);
   CREATE INDEX token_expires ON token (expires_ms);

   -- "id" as in the feed to the gateway. After "until_ms" no credential of it can be valid.
   CREATE TABLE revocation (
     level TEXT NOT NULL CHECK (level IN ('token', 'agent', 'task', 'chain')), id TEXT NOT NULL, reason TEXT NOT NULL,
     revoked_by TEXT NOT NULL, at_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, PRIMARY KEY (level, id)) STRICT, WITHOUT ROWID;
   CREATE INDEX revocation_until ON revocation (until_ms);

   -- Metadata only: the keys themselves stand in a file of their own.
   CREATE TABLE signing_key (
     kid TEXT PRIMARY KEY, state TEXT NOT NULL CHECK (state IN ('next', 'active', 'retired', 'removed')),
     created_ms INTEGER NOT NULL, since_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;`,

  // The end of an agent looks for its delegates, and for theirs: one look for each must not read the whole chain.
  "CREATE INDEX agent_parent ON agent (parent) WHERE parent IS NOT NULL",

  // How many agents of an application live is counted again each second (agents.ts).
  "CREATE INDEX agent_application ON agent (application, token_expires_ms)",
];

export function brokerDatabaseFile(dataFolder: string): string {
  return join(dataFolder, "broker", "broker.sqlite");
}

/** Throws when the file cannot be opened or written, or when a newer version of Cordon wrote it. */
export function openBrokerDatabase(dataFolder: string): DatabaseSync {
  return openDurableDatabase(brokerDatabaseFile(dataFolder), MIGRATIONS);
}
