// In: an operator's wish as untrusted JSON values. Out: a change that may be applied, or sentences that say what is wrong.
// Trusts: nothing. The shapes of ids are those of `ContainmentRefs` (SPIFFE id as in standards, section 1).
import { err, ok, type Result } from "../lib/result.ts";
import type { ContainmentEntry, Level } from "./state.ts";

export interface ContainmentChange {
  readonly level: Level;
  readonly id: string;
  readonly mode: ContainmentEntry["mode"];
  readonly reason: string;
  /** Seconds from now; present exactly when `mode` is `draining`. */
  readonly drainS?: number;
}

export const LEVELS: readonly Level[] = ["token", "agent", "task", "chain"];
export const MODES: readonly ContainmentEntry["mode"][] = ["draining", "quarantined", "blocked"];
/** One or two sentences; it stands in every log line of the change. */
export const REASON_CHARS_MAX = 500;
/** A SPIFFE id has at most 2,048 bytes (SPIFFE-ID section 2.3); an issuer and a `jti` stay within the same bound. */
export const ID_CHARS_MAX = 2048;
/** Five minutes: the default life of an access token, so the task in hand can end with its credential. */
export const DRAIN_S_DEFAULT = 300;
/** A day. What should go on for longer is not draining. */
export const DRAIN_S_MAX = 86_400;

// SPIFFE-ID section 2: trust domain of lower-case letters, digits, `.`, `-`, `_`; path segments of letters, digits, `.`, `-`, `_`.
const SEGMENT = "(?!\\.{1,2}(?:/|$))[A-Za-z0-9._-]{1,255}";
const TASK_ID = new RegExp(`^spiffe://[a-z0-9][a-z0-9._-]{0,254}/agent/${SEGMENT}/${SEGMENT}$`);
const AGENT_ID = new RegExp(`^spiffe://[a-z0-9][a-z0-9._-]{0,254}/agent/${SEGMENT}/${SEGMENT}/${SEGMENT}$`);
// The issuer is what stands before the first blank. A `jti` is any text its issuer likes: whatever a token can carry and an
// operator can read must be blockable.
// A `session.id` is such a text too.
const TOKEN_ID = /^\S+ \S(?:.*\S)?$/;
// Control characters, line and paragraph separators, and the marks that reverse the direction of text: a reason must
// read in a terminal and in a log as it was written (CWE-117).
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

const ID_SHAPES: Record<Level, { pattern: RegExp; shape: string }> = {
  agent: { pattern: AGENT_ID, shape: "spiffe://<trust-domain>/agent/<orchestration>/<task>/<instance>" },
  task: { pattern: TASK_ID, shape: "spiffe://<trust-domain>/agent/<orchestration>/<task>" },
  token: { pattern: TOKEN_ID, shape: "<issuer> <jti>, with one blank between" },
  chain: { pattern: TOKEN_ID, shape: "<issuer> <session.id>, with one blank between" },
};

export function checkTarget(level: unknown, id: unknown): Result<{ level: Level; id: string }, string> {
  const known = LEVELS.find((one) => one === level);
  if (known === undefined) return err(`level: use one of ${LEVELS.join(", ")}`);
  const { pattern, shape } = ID_SHAPES[known];
  if (typeof id !== "string" || id.length > ID_CHARS_MAX || !isPlain(id) || !pattern.test(id)) {
    return err(`id: for the level ${known}, write ${shape}`);
  }
  return ok({ level: known, id });
}

export function checkReason(reason: unknown): Result<string, string> {
  if (typeof reason !== "string" || reason.trim() === "") return err("reason: say why, in a few words");
  if (reason.length > REASON_CHARS_MAX) return err(`reason: use at most ${REASON_CHARS_MAX} characters`);
  if (!isPlain(reason)) return err("reason: write one line of plain text");
  return ok(reason);
}

/** Errors: one sentence for each member that is wrong, `member: how to mend it`. */
export function validateChange(change: {
  level: unknown;
  id: unknown;
  mode: unknown;
  reason: unknown;
  drainS?: unknown;
}): Result<ContainmentChange, string[]> {
  const problems: string[] = [];
  const target = checkTarget(change.level, change.id);
  if (!target.ok) problems.push(target.error);
  const mode = MODES.find((one) => one === change.mode);
  if (mode === undefined) problems.push(`mode: use one of ${MODES.join(", ")}`);
  const reason = checkReason(change.reason);
  if (!reason.ok) problems.push(reason.error);
  const drainS = mode === "draining" && change.drainS === undefined ? DRAIN_S_DEFAULT : change.drainS;
  if (drainS !== undefined && mode !== undefined && mode !== "draining") {
    problems.push("drain_s: it goes with the mode draining only");
  } else if (drainS !== undefined && !isDrainTime(drainS)) {
    problems.push(`drain_s: use whole seconds from 1 to ${DRAIN_S_MAX}`);
  }
  if (!target.ok || mode === undefined || !reason.ok || problems.length > 0) return err(problems);
  const checked = { ...target.value, mode, reason: reason.value };
  return ok(isDrainTime(drainS) ? { ...checked, drainS } : checked);
}

function isDrainTime(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= DRAIN_S_MAX;
}

function isPlain(text: string): boolean {
  return text.isWellFormed() && !UNPRINTABLE.test(text);
}
