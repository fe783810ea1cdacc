// In: the data folder. Out: it is ours alone, and when a gateway last lived on it. Trusts the file locks of the system.
// The lock is SQLite's on a file of its own: the system drops it when the process dies, however it dies.
import { chmodSync, mkdirSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { err, ok, type Result } from "../lib/result.ts";

export interface DataFolder {
  /** Unix milliseconds of the last sign of life of the gateway before this one; 0 where there was none. */
  readonly lastAliveMs: number;
  /** Written once a second: a restart must know until when proofs were accepted. */
  keepAlive(nowMs: number): void;
  close(): void;
}

/** Takes the folder. The error is one line for the operator (H28). */
export function openDataFolder(folder: string): Result<DataFolder, string> {
  let database: DatabaseSync;
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
    database.exec("BEGIN EXCLUSIVE; COMMIT;");
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
  return ok({
    lastAliveMs: typeof row?.at_ms === "number" ? row.at_ms : 0,
    keepAlive: (nowMs) => void write.run(Math.floor(nowMs)),
    close: () => database.close(),
  });
}
