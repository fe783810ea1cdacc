// In: a task, a chain or an application. Out: its agents that live, and their end, as one statement each.
// Trusts: the broker's database. Every method is one step of a transaction that its caller runs.
import type { DatabaseSync } from "node:sqlite";

export interface Affected {
  /** Agents that live. */
  readonly count: number;
  /** Unix milliseconds: the end of the last token of any of them, also of those that ended before; 0 for none. */
  readonly tokensUntilMs: number;
}

export interface AffectedAgents {
  /** SPIFFE id of the task. */
  ofTask(task: string): Affected;
  ofChain(session: string): Affected;
  endTask(task: string, reason: string, nowMs: number): void;
  endChain(session: string, reason: string, nowMs: number): void;
  /** Launched agents that live, of applications that there no longer are. */
  withoutApplication(): readonly string[];
}

const SELECT = "SELECT count(*) FILTER (WHERE ended_ms IS NULL) AS count, max(token_expires_ms) AS until FROM agent";
const END = "UPDATE agent SET ended_ms = ?, end_reason = ? WHERE ended_ms IS NULL AND";
// The id of a task is the start of the ids of its agents, up to the last segment: `0` is what follows `/`.
const IN_TASK = "id >= ? || '/' AND id < ? || '0'";

export function createAffectedAgents(db: DatabaseSync): AffectedAgents {
  const selectTask = db.prepare(`${SELECT} WHERE ${IN_TASK}`);
  const selectChain = db.prepare(`${SELECT} WHERE session = ?`);
  const endTask = db.prepare(`${END} ${IN_TASK}`);
  const endChain = db.prepare(`${END} session = ?`);
  const orphans = db.prepare(
    `SELECT id FROM agent WHERE ended_ms IS NULL AND depth = 0
     AND application NOT IN (SELECT name FROM application) ORDER BY id`,
  );
  const toAffected = (row: Record<string, unknown> | undefined): Affected => ({
    count: Number(row?.["count"]),
    tokensUntilMs: Number(row?.["until"] ?? 0),
  });

  return {
    ofTask: (task) => toAffected(selectTask.get(task, task)),
    ofChain: (session) => toAffected(selectChain.get(session)),
    endTask(task, reason, nowMs) {
      endTask.run(nowMs, reason, task, task);
    },
    endChain(session, reason, nowMs) {
      endChain.run(nowMs, reason, session);
    },
    withoutApplication: () => orphans.all().map((row) => String(row["id"])),
  };
}
