// In: applications from the configuration file and from operators. Out: who may launch agents, with keys and ceiling.
// Trusts: the broker's database. It is read once; this thread is the only one that writes it.
import type { DatabaseSync } from "node:sqlite";
import type { Application } from "../../lib/application-schema.ts";
import { inTransaction } from "../../lib/durable-database.ts";
import { checkPublicJwk, importPublicKey } from "../../lib/public-key.ts";
import { err, ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";

export type ApplicationSource = "config" | "operator";

export interface StoredApplication {
  readonly application: Application;
  readonly source: ApplicationSource;
  readonly createdMs: number;
  readonly updatedMs: number;
}

export interface Applications {
  find(name: string): Application | undefined;
  /** By name. */
  list(): readonly StoredApplication[];
  /** On disk when it returns. An application of that name is replaced. */
  put(application: Application, source: ApplicationSource): void;
  /** False where there is none. Its agents get no further token. */
  remove(name: string): boolean;
  /** Makes those of the configuration file exactly these; those of operators stay. */
  putConfigured(applications: readonly Application[]): void;
}

interface Row {
  readonly name: string;
  readonly source: ApplicationSource;
  readonly definition: string;
  readonly created_ms: number;
  readonly updated_ms: number;
}

export function createApplications(db: DatabaseSync, nowMs: () => number): Applications {
  const upsert = db.prepare(
    `INSERT INTO application VALUES (:name, :source, :definition, :now, :now)
     ON CONFLICT (name) DO UPDATE SET source = :source, definition = :definition, updated_ms = :now`,
  );
  const drop = db.prepare("DELETE FROM application WHERE name = ?");
  const all = db.prepare("SELECT * FROM application ORDER BY name");
  let stored = read();

  function read(): ReadonlyMap<string, StoredApplication> {
    return new Map((all.all() as unknown as Row[]).map((row) => [row.name, toStored(row)]));
  }

  function put(application: Application, source: ApplicationSource): void {
    upsert.run({ name: application.name, source, definition: JSON.stringify(application), now: nowMs() });
  }

  return {
    find: (name) => stored.get(name)?.application,
    list: () => [...stored.values()],
    put(application, source) {
      inTransaction(db, () => put(application, source));
      stored = read();
    },
    remove(name) {
      const removed = inTransaction(db, () => drop.run(name)).changes > 0;
      stored = read();
      return removed;
    },
    putConfigured(applications) {
      inTransaction(db, () => {
        const names = new Set(applications.map((application) => application.name));
        for (const { application, source } of stored.values()) {
          if (source === "config" && !names.has(application.name)) drop.run(application.name);
        }
        for (const application of applications) put(application, "config");
      });
      stored = read();
    },
  };
}

function toStored(row: Row): StoredApplication {
  const application = JSON.parse(row.definition) as Application;
  return { application, source: row.source, createdMs: row.created_ms, updatedMs: row.updated_ms };
}

/** Public keys of the two algorithms that clients sign with; a private key is refused, since the broker must not have it. */
export function checkApplicationKeys(jwks: Application["jwks"]): Result<Application["jwks"], string> {
  for (const [index, jwk] of jwks.keys.entries()) {
    const checked = checkPublicJwk(jwk);
    if (!checked.ok) return err(`jwks.keys[${index}]: ${checked.error.detail}`);
    if (checked.value.kind !== "P-256" && checked.value.kind !== "Ed25519") {
      return err(`jwks.keys[${index}]: use a P-256 or an Ed25519 key`);
    }
    if (!importPublicKey(checked.value).ok) return err(`jwks.keys[${index}]: the key is not on its curve`);
  }
  return ok(jwks);
}
