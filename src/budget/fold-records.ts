// In: records of the audit log, in their order. Out: the counters that they come to, and which calls are still open.
// Trusts: the records. What a call reserved counts unless its own outcome says that nothing was sent: a call whose outcome
// is missing may have reached the tool.
import { isObject } from "../lib/strict-json.ts";
import { INTERVALS, intervalOf, type KeptEntry } from "./budget.ts";

/** What one intent reserved on one budget. */
interface Reserved {
  readonly name: string;
  readonly key: string;
  readonly bytes: number;
  readonly sum: number;
  readonly untilMs: number;
}

export interface OpenCall {
  readonly atMs: number;
  readonly reserved: readonly Reserved[];
}

/** What is kept between two readings of the log; each list can be walked once. */
export interface FoldState {
  readonly entries: Iterable<KeptEntry>;
  readonly open: Iterable<readonly [requestId: string, call: OpenCall]>;
}

export interface Fold {
  /** One line of the log. Throws where a record that reserves something cannot be read. */
  add(line: string): void;
  /** As of now, until `add` is called again. Entries whose time is over are forgotten. */
  state(nowMs: number): FoldState;
}

/** Calls whose outcome has not come. Beyond this the oldest stay counted, whatever their outcome says. */
const OPEN_MAX = 100_000;

interface Entry {
  readonly name: string;
  readonly key: string;
  readonly sinceMs: number;
  untilMs: number;
  calls: number;
  bytes: number;
  sum: number;
  recent: Map<number, number>;
}

export function createFold(from: FoldState): Fold {
  const entries = new Map<string, Entry>();
  for (const entry of from.entries) entries.set(entry.key, { ...entry, recent: new Map(entry.recent) });
  const open = new Map<string, OpenCall>(from.open);

  function count({ name, key, bytes, sum, untilMs }: Reserved, atMs: number): void {
    let entry = entries.get(key);
    if (entry === undefined || entry.untilMs <= atMs) {
      entry = { name, key, sinceMs: atMs, untilMs, calls: 0, bytes: 0, sum: 0, recent: new Map() };
      entries.set(key, entry);
    }
    const interval = intervalOf(atMs);
    entry.untilMs = Math.max(entry.untilMs, untilMs);
    entry.calls += 1;
    entry.bytes += bytes;
    entry.sum += sum;
    entry.recent.set(interval, (entry.recent.get(interval) ?? 0) + 1);
    if (entry.recent.size > INTERVALS) {
      for (const old of entry.recent.keys()) if (old <= interval - INTERVALS) entry.recent.delete(old);
    }
  }

  function takeBack({ key, bytes, sum }: Reserved, atMs: number): void {
    const entry = entries.get(key);
    // A call that outlived its entry has nothing in the next one.
    if (entry === undefined || atMs < entry.sinceMs) return;
    const interval = intervalOf(atMs);
    entry.calls -= 1;
    entry.bytes -= bytes;
    entry.sum -= sum;
    entry.recent.set(interval, Math.max(0, (entry.recent.get(interval) ?? 0) - 1));
  }

  function addIntent(record: Readonly<Record<string, unknown>>): void {
    const { request_id: id, at, budget } = record;
    if (budget === undefined) return;
    const atMs = typeof at === "string" ? Date.parse(at) : Number.NaN;
    if (typeof id !== "string" || !Number.isFinite(atMs) || !Array.isArray(budget)) throw new Error("its budget");
    const reserved = budget.map(parseReserved);
    for (const one of reserved) count(one, atMs);
    open.set(id, { atMs, reserved });
    if (open.size > OPEN_MAX) for (const [oldest] of open.entries().take(1)) open.delete(oldest);
  }

  function addOutcome({ request_id: id, sent }: Readonly<Record<string, unknown>>): void {
    const call = open.get(String(id));
    if (call === undefined) return;
    open.delete(String(id));
    if (sent === false) for (const one of call.reserved) takeBack(one, call.atMs);
  }

  return {
    add(line) {
      // In JSON text a quote inside a string is escaped, so these can only be a record's own members.
      const intent = line.includes('"type":"intent"') && line.includes('"budget":[');
      if (!intent && (open.size === 0 || !line.includes('"type":"outcome"'))) return;
      const record: unknown = JSON.parse(line);
      if (!isObject(record)) throw new Error("a record that is no object");
      if (record["type"] === "intent") addIntent(record);
      else if (record["type"] === "outcome") addOutcome(record);
    },
    state(nowMs) {
      for (const [key, { untilMs }] of entries) if (untilMs <= nowMs) entries.delete(key);
      return { entries: entries.values().map((entry) => ({ ...entry, recent: [...entry.recent] })), open };
    },
  };
}

function parseReserved(value: unknown): Reserved {
  if (!isObject(value)) throw new Error("a budget that is no object");
  const { name, key, bytes, sum, until } = value;
  const untilMs = typeof until === "string" ? Date.parse(until) : Number.NaN;
  const whole = typeof name === "string" && isKey(key) && isAmount(bytes) && isAmount(sum) && Number.isFinite(untilMs);
  if (!whole) throw new Error("a budget that is not whole");
  return { name, key, bytes, sum, untilMs };
}

export function isKey(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{32}$/.test(value);
}

export function isAmount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
