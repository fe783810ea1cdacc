// In: nothing; types only. Out: what a call asks of a budget, and how a budget answers. All amounts are whole numbers.
// A budget's entry is its counters for one key: an agent, a task, a tool or several of these together.

/** What may be counted; each is exact up to 2^53 - 1. */
export interface BudgetLimits {
  readonly calls_per_minute?: number | undefined;
  readonly calls_total?: number | undefined;
  readonly request_bytes_total?: number | undefined;
  readonly concurrent?: number | undefined;
  readonly sum?: number | undefined;
}

export type BudgetLimit = keyof BudgetLimits;

/** One call on one budget. */
export interface Demand {
  readonly name: string;
  /** 32 hexadecimal digits: the budget's name and what it is counted per, hashed. */
  readonly key: string;
  readonly limits: BudgetLimits;
  readonly bytes: number;
  readonly amount: number;
  /** Unix milliseconds until when the entry is kept, if nothing later asks for more. */
  readonly untilMs: number;
}

export interface LimitUse {
  readonly used: number;
  readonly remaining: number;
}

/** Of the limits that the budget has. */
export type BudgetUse = { readonly [L in BudgetLimit]?: LimitUse };

/** Limits that time does not loosen. */
export const TOTALS = ["calls_total", "request_bytes_total", "sum"] as const satisfies readonly BudgetLimit[];

/** What the call of a demand takes of a limit. */
export function partOf({ bytes, amount }: Demand, limit: BudgetLimit): number {
  if (limit === "request_bytes_total") return bytes;
  return limit === "sum" ? amount : 1;
}

export interface Refused {
  readonly reason: "budget.exhausted" | "budget.table_full" | "budget.unavailable";
  /** Budget and limit, for the log. */
  readonly detail: string;
  /** Null where waiting does not help. */
  readonly retryAfterS: number | null;
}

/** The counters of one key as they are kept on disk. */
export interface KeptEntry {
  readonly name: string;
  readonly key: string;
  /** Time of its first call: one from before is not its own. */
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly calls: number;
  readonly bytes: number;
  readonly sum: number;
  /** Calls by the number of their interval of `INTERVAL_MS`; only those of the last minute count. */
  readonly recent: readonly (readonly [interval: number, calls: number])[];
}

/** A minute is counted in intervals: a call counts for at least 60 s and at most 65 s, whenever they begin. */
export const INTERVAL_MS = 5000;
export const INTERVALS = 60_000 / INTERVAL_MS + 1;

export function intervalOf(timeMs: number): number {
  return Math.floor(timeMs / INTERVAL_MS);
}
