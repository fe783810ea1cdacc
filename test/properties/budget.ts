// In: deeds of some agents on three keys. Out: the property of the counters of the budgets.
// The model: a list of calls, counted anew for each question. The records that a gateway would write are folded beside it.
import assert from "node:assert/strict";
import fc from "fast-check";
import { type BudgetLimits, type Demand, INTERVAL_MS } from "../../src/budget/budget.ts";
import { budgetRecord } from "../../src/budget/budget-text.ts";
import {
  attachCounterTable,
  type CounterTable,
  createCounterBuffer,
  type Reservation,
} from "../../src/budget/counter-table.ts";
import { createFold, type Fold } from "../../src/budget/fold-records.ts";
import { ACCEPTED, property } from "./property.ts";

interface Deed {
  readonly deed: "reserve" | "end" | "return";
  /** Numbers of the keys. */
  readonly keys: readonly number[];
  readonly amount: number;
  readonly bytes: number;
  /** Time that passes before it. */
  readonly afterMs: number;
}

interface Call {
  readonly atMs: number;
  readonly demands: readonly Demand[];
  readonly reservation: Reservation;
  readonly id: string;
  open: boolean;
  returned: boolean;
}

const T0_MS = 1_800_000_000_000;
const KEEP_MS = 400_000;
const LIMITS: BudgetLimits = {
  calls_per_minute: 4,
  calls_total: 9,
  request_bytes_total: 40,
  concurrent: 3,
  sum: Number.MAX_SAFE_INTEGER,
};
const KEYS = ["0".repeat(32), "00000000000000010000000000000000", "f".repeat(32)];

export const BUDGETS = [
  property<readonly Deed[]>({
    name: "budget.counters",
    says: "the counters of budgets take and refuse as a list of all calls would, and the records alone come to the same",
    inputs: fc.array(
      fc.record({
        deed: fc.constantFrom("reserve", "reserve", "reserve", "end", "return"),
        keys: fc.constantFrom([0], [1], [2], [0, 1], [2, 0], [0, 1, 2]),
        amount: fc.constantFrom(0, 1, 2 ** 52, Number.MAX_SAFE_INTEGER),
        bytes: fc.nat(30),
        afterMs: fc.constantFrom(0, 1, 999, INTERVAL_MS - 1, INTERVAL_MS, 20_000, 60_000, 65_000, KEEP_MS),
      }),
      { maxLength: 40 },
    ),
    check: checkDeeds,
    runs: 500,
  }),
];

function checkDeeds(deeds: readonly Deed[]): string {
  const table = attachCounterTable(createCounterBuffer(64, 2), 0);
  const fold = createFold({ entries: [], open: [] });
  const calls: Call[] = [];
  const untilMs = new Map<string, number>();
  let nowMs = T0_MS;
  let taken = 0;
  let outlived = false;

  /** The calls that a key still knows: none where its time was over and nothing was open. */
  function known(key: string): readonly Call[] {
    const over = (untilMs.get(key) ?? 0) <= nowMs;
    const own = calls.filter(({ demands }) => demands.some((demand) => demand.key === key));
    if (over && own.some(({ open }) => open)) outlived = true;
    if (!over || own.some(({ open }) => open)) return own;
    for (const call of own)
      calls.splice(calls.indexOf(call), 1, { ...call, demands: call.demands.filter((one) => one.key !== key) });
    return [];
  }

  for (const [number, { deed, keys, amount, bytes, afterMs }] of deeds.entries()) {
    nowMs += afterMs;
    if (deed !== "reserve") {
      const call = calls.find(({ open }) => open);
      if (call === undefined) continue;
      end(call, deed === "return", table, fold);
      continue;
    }
    const demands = keys.map((key) => {
      const text = KEYS[key] as string;
      return { name: `b${key}`, key: text, limits: LIMITS, bytes, amount, untilMs: nowMs + KEEP_MS };
    });
    const uses = demands.map(({ key }) => useOf(known(key), key, nowMs));
    assert.deepEqual(table.read(demands, nowMs), uses);
    const fits = uses.every(
      (use) =>
        use.calls_per_minute.remaining >= 1 &&
        use.calls_total.remaining >= 1 &&
        use.request_bytes_total.remaining >= bytes &&
        use.concurrent.remaining >= 1 &&
        use.sum.remaining >= amount,
    );
    const result = table.reserve(demands, nowMs);
    assert.equal("slots" in result, fits, JSON.stringify(result));
    if (!("slots" in result)) {
      assert.equal(result.reason, "budget.exhausted");
      continue;
    }
    const id = `r${number}`;
    taken += 1;
    const at = new Date(nowMs).toISOString();
    fold.add(`{"type":"intent","at":"${at}","request_id":"${id}","budget":${budgetRecord(demands)}}`);
    for (const { key } of demands) untilMs.set(key, Math.max(untilMs.get(key) ?? 0, nowMs + KEEP_MS));
    calls.push({ atMs: nowMs, demands, reservation: result, id, open: true, returned: false });
  }

  for (const call of calls) if (call.open) end(call, false, table, fold);
  if (!outlived) compareWithRecords(table, fold, nowMs);
  return taken > 0 ? ACCEPTED : "nothing was taken";
}

function end(call: Call, returned: boolean, table: CounterTable, fold: Fold): void {
  if (returned) table.giveBack(call.reservation);
  table.release(call.reservation);
  call.open = false;
  call.returned = returned;
  fold.add(`{"type":"outcome","request_id":"${call.id}","sent":${!returned}}`);
}

function useOf(calls: readonly Call[], key: string, nowMs: number) {
  const counted = calls.filter(({ returned }) => !returned);
  const interval = (ms: number): number => Math.floor(ms / INTERVAL_MS);
  const sum = (of: (demand: Demand) => number): number =>
    counted.reduce((all, { demands }) => all + of(demands.find((one) => one.key === key) as Demand), 0);
  const used = {
    calls_per_minute: counted.filter(({ atMs }) => (interval(nowMs) - interval(atMs)) * INTERVAL_MS <= 60_000).length,
    calls_total: counted.length,
    request_bytes_total: sum(({ bytes }) => bytes),
    concurrent: calls.filter(({ open }) => open).length,
    sum: sum(({ amount }) => amount),
  };
  const use = (limit: keyof typeof used) => ({
    used: used[limit],
    remaining: Math.max(0, (LIMITS[limit] ?? 0) - used[limit]),
  });
  return {
    calls_per_minute: use("calls_per_minute"),
    calls_total: use("calls_total"),
    request_bytes_total: use("request_bytes_total"),
    concurrent: use("concurrent"),
    sum: use("sum"),
  };
}

/** A gateway that starts now and knows the records alone. */
function compareWithRecords(table: CounterTable, fold: Fold, nowMs: number): void {
  const again = attachCounterTable(createCounterBuffer(64, 2), 0);
  for (const entry of fold.state(nowMs).entries) assert.ok(again.load(entry, nowMs));
  const demands = KEYS.map((key, index) => ({
    name: `b${index}`,
    key,
    limits: LIMITS,
    bytes: 0,
    amount: 0,
    untilMs: nowMs,
  }));
  assert.deepEqual(again.read(demands, nowMs), table.read(demands, nowMs));
}
