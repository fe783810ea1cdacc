// In: launch tokens, by their hash. Out: what each stands for, and whether it is this caller who spends it.
// Trusts: the broker's database. The token itself is never stored: who reads the file cannot launch anything.
import { createHash, randomBytes } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import type { Launch } from "../grants/authority.ts";

/** The pattern's own limit: it is redeemed by a process that was just started. */
export const LAUNCH_TOKEN_LIFETIME_S = 30;
const SECRET_BYTES = 32;
/** A second use is told as such for so long after the token's end; later the token is merely unknown. */
export const LAUNCH_RETENTION_MS = 3_600_000;

export interface StoredLaunch {
  readonly application: string;
  readonly launch: Launch;
  readonly expiresMs: number;
  readonly spent: boolean;
}

export interface Launches {
  add(hash: Buffer, application: string, launch: Launch, nowMs: number): void;
  find(hash: Buffer): StoredLaunch | undefined;
  /** True for one caller only, whatever happens at the same time: the row changes once. */
  spend(hash: Buffer, agent: string, nowMs: number): boolean;
  /** How many rows were removed; at most `countMax`. */
  sweep(nowMs: number, countMax: number): number;
}

export function createLaunchToken(application: string): string {
  return `${application}.${randomBytes(SECRET_BYTES).toString("base64url")}`;
}

export function hashOfLaunchToken(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

export function createLaunches(db: DatabaseSync): Launches {
  const insert = db.prepare("INSERT INTO launch (token_hash, application, authority, expires_ms) VALUES (?, ?, ?, ?)");
  const select = db.prepare("SELECT * FROM launch WHERE token_hash = ?");
  const update = db.prepare("UPDATE launch SET spent_ms = ?, agent = ? WHERE token_hash = ? AND spent_ms IS NULL");
  const remove = db.prepare(
    "DELETE FROM launch WHERE token_hash IN (SELECT token_hash FROM launch WHERE expires_ms < ? LIMIT ?)",
  );

  return {
    add(hash, application, launch, nowMs) {
      insert.run(hash, application, JSON.stringify(launch), nowMs + LAUNCH_TOKEN_LIFETIME_S * 1000);
    },
    find(hash) {
      const row = select.get(hash);
      if (row === undefined) return undefined;
      return {
        application: String(row["application"]),
        launch: JSON.parse(String(row["authority"])) as Launch,
        expiresMs: Number(row["expires_ms"]),
        spent: row["spent_ms"] !== null,
      };
    },
    spend: (hash, agent, nowMs) => update.run(nowMs, agent, hash).changes === 1,
    sweep: (nowMs, countMax) => Number(remove.run(nowMs - LAUNCH_RETENTION_MS, countMax).changes),
  };
}
