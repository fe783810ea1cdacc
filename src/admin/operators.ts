// In: an operator's key. Out: the operator and the role, or nothing. Also who may be added and removed.
// Trusts: the control database, which holds SHA-256 hashes only. A plain hash is enough: the keys are 256 random bits.
import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { err, ok, type Result } from "../lib/result.ts";
import { inTransaction } from "../lib/durable-database.ts";

export const ROLES = ["viewer", "responder", "policy_editor", "admin"] as const;
export type Role = (typeof ROLES)[number];

/** What a route asks for. Every role may read. */
export type Permission = "read" | "contain" | "policy" | "issuer" | "operators";

const PERMISSIONS: Record<Role, readonly Permission[]> = {
  viewer: ["read"],
  responder: ["read", "contain"],
  policy_editor: ["read", "policy"],
  admin: ["read", "contain", "policy", "issuer", "operators"],
};

export interface Operator {
  readonly name: string;
  readonly role: Role;
  readonly createdMs: number;
  readonly createdBy: string;
}

export interface Operators {
  /** Constant in time over all operators. */
  authenticate(key: string): Operator | undefined;
  list(): Operator[];
  /** The key is returned this once and kept nowhere. */
  add(name: string, role: Role, by: string, nowMs: number): Result<{ operator: Operator; key: string }, string>;
  remove(name: string): Result<Operator, string>;
}

export const OPERATOR_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** Each authentication compares with all of them. */
const OPERATORS_MAX = 256;
/** A prefix that secret scanners can be told to look for. */
const KEY_PREFIX = "cordon_op_";
const KEY_BYTES = 32;
const KEY_SHAPE = /^cordon_op_[A-Za-z0-9_-]{43}$/;

interface Row {
  readonly name: string;
  readonly role: Role;
  readonly key_hash: Uint8Array;
  readonly created_ms: number;
  readonly created_by: string;
}

export function may(role: Role, permission: Permission): boolean {
  return PERMISSIONS[role].includes(permission);
}

/**
 * Where no operator exists, creates `admin` and writes its key to `keyFile` (mode 0600), the only place where it stands.
 * Throws when the file or the database cannot be written.
 */
export function createOperators(db: DatabaseSync, keyFile: string, nowMs: number): Operators {
  const insert = db.prepare("INSERT INTO operator VALUES (?, ?, ?, ?, ?)");
  const drop = db.prepare("DELETE FROM operator WHERE name = ?");
  let rows = readRows();

  function readRows(): Row[] {
    return db.prepare("SELECT * FROM operator ORDER BY name").all() as unknown as Row[];
  }

  if (rows.length === 0) {
    inTransaction(db, () => {
      const key = newKey();
      insert.run("admin", "admin", sha256(key), nowMs, "first start");
      // Before the commit: a crash in between leaves a file that the next start replaces, never an admin without a key.
      writeKeyFile(keyFile, key);
    });
    rows = readRows();
  }

  return {
    authenticate(key) {
      if (!KEY_SHAPE.test(key)) return undefined;
      const presented = sha256(key);
      let found: Row | undefined;
      for (const row of rows) if (timingSafeEqual(presented, row.key_hash)) found = row;
      return found && toOperator(found);
    },

    list: () => rows.map(toOperator),

    add(name, role, by, nowMs) {
      if (!OPERATOR_NAME.test(name)) return err("name: use lower-case letters, digits, `.`, `-` and `_`, at most 63");
      if (rows.some((row) => row.name === name)) return err(`an operator named ${name} exists already`);
      if (rows.length >= OPERATORS_MAX) return err(`there are ${OPERATORS_MAX} operators already; remove one first`);
      const key = newKey();
      insert.run(name, role, sha256(key), nowMs, by);
      rows = readRows();
      return ok({ operator: { name, role, createdMs: nowMs, createdBy: by }, key });
    },

    remove(name) {
      const row = rows.find((one) => one.name === name);
      if (row === undefined) return err(`there is no operator named ${name}`);
      // Without an admin nobody could add one again.
      if (row.role === "admin" && rows.filter((one) => one.role === "admin").length === 1) {
        return err(`${name} is the last admin; add another one first`);
      }
      drop.run(name);
      rows = readRows();
      return ok(toOperator(row));
    },
  };
}

function toOperator(row: Row): Operator {
  return { name: row.name, role: row.role, createdMs: row.created_ms, createdBy: row.created_by };
}

function newKey(): string {
  return KEY_PREFIX + randomBytes(KEY_BYTES).toString("base64url");
}

function sha256(key: string): Buffer {
  return hash("sha256", key, "buffer");
}

function writeKeyFile(file: string, key: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const unfinished = `${file}.new`;
  const handle = openSync(unfinished, "w", 0o600);
  try {
    // An unfinished file of an earlier start may have another mode.
    chmodSync(unfinished, 0o600);
    writeSync(handle, `${key}\n`);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(unfinished, file);
}
