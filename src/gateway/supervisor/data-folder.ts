// In: the data folder. Out: it is ours alone, and when a gateway last lived on it. Trusts the file locks of the system.
// The lock is SQLite's on a file of its own: the system drops it when the process dies, however it dies.
import { chmodSync, mkdirSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { err, ok, type Result } from "../../lib/result.ts";

export interface DataFolder {
  /**
   * Unix milliseconds until when the gateway before this one may have accepted proofs; 0 where there was none. One that
   * did not say that it ended may have lived until now: on a full disk it could not write that it did.
   */
  readonly lastAliveMs: number;
  /** Written once a second: a restart must know until when proofs were accepted. */
  keepAlive(nowMs: number): void;
  /** The last sign of life, after the last proof. Without it the next start takes this one for a crash. */
  end(nowMs: number): void;
  close(): void;
}

/** Takes the folder. The error is one line for the operator (H28). */
export function openDataFolder(folder: string, nowMs: number): Result<DataFolder, string> {
  let database: DatabaseSync;
  let crashed: boolean;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const file = path.join(folder, "gateway.lock");
    database = new DatabaseSync(file, { timeout: 0 });
    chmodSync(file, 0o600);
    // Exclusive locking mode keeps the lock between transactions, for as long as the connection lives.
    database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF;");
    database.exec(
      "CREATE TABLE IF NOT EXISTS alive (id INTEGER PRIMARY KEY CHECK (id = 1), at_ms INTEGER NOT NULL) STRICT",
    );
    // One row while a gateway lives here, and after it where it did not say that it ended.
    database.exec("CREATE TABLE IF NOT EXISTS living (id INTEGER PRIMARY KEY CHECK (id = 1)) STRICT");
    database.exec("BEGIN EXCLUSIVE");
    crashed = database.prepare("SELECT 1 FROM living").get() !== undefined;
    database.exec("INSERT OR IGNORE INTO living VALUES (1); COMMIT;");
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return err(
      text.includes("locked")
        ? `another gateway runs on the data folder ${folder}; stop it, or set CORDON_DATA_FOLDER to another folder`
        : `the data folder ${folder} cannot be used: ${text}`,
    );
  }
  const row = database.prepare("SELECT at_ms FROM alive WHERE id = 1").get();
  const write = database.prepare(
    "INSERT INTO alive (id, at_ms) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at_ms = excluded.at_ms",
  );
  const lastMs = typeof row?.at_ms === "number" ? row.at_ms : 0;
  const keepAlive = (atMs: number): void => void write.run(Math.floor(atMs));
  return ok({
    lastAliveMs: crashed ? Math.max(lastMs, nowMs) : lastMs,
    keepAlive,
    end(atMs) {
      keepAlive(atMs);
      database.exec("DELETE FROM living");
    },
    close: () => database.close(),
  });
}
