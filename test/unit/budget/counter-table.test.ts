// The counters of the budgets: what is reserved, what is refused and for how long, and what is given back.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Demand } from "../../../src/budget/budget.ts";
import {
  attachCounterTable,
  type CounterTable,
  createCounterBuffer,
  type Reservation,
} from "../../../src/budget/counter-table.ts";
import { demand, HOUR_MS, keyOf, T0_MS } from "./demands.ts";

const table = (): CounterTable => attachCounterTable(createCounterBuffer(64, 2), 0);

function taken(counters: CounterTable, demands: readonly Demand[], nowMs = T0_MS): Reservation {
  const result = counters.reserve(demands, nowMs);
  assert.ok("slots" in result, JSON.stringify(result));
  return result;
}

test("a total takes what fits exactly, and nothing beyond it", () => {
  const counters = table();
  const of = (amount: number) => demand({ limits: { sum: Number.MAX_SAFE_INTEGER }, amount });
  taken(counters, [of(Number.MAX_SAFE_INTEGER - 1)]);
  const refused = { reason: "budget.exhausted", detail: "refunds: sum", retryAfterS: null };
  assert.deepEqual(counters.reserve([of(2)], T0_MS), refused);
  taken(counters, [of(1)]);
  assert.deepEqual(counters.reserve([of(Number.MAX_SAFE_INTEGER)], T0_MS), refused);
  taken(counters, [of(0)]);
});

test("all of a call's budgets are reserved or none", () => {
  const counters = table();
  const wide = demand({ name: "wide", key: keyOf("wide"), limits: { calls_total: 5 } });
  const narrow = demand({ name: "narrow", key: keyOf("narrow"), limits: { calls_total: 1 } });
  taken(counters, [wide, narrow]);
  assert.equal("reason" in counters.reserve([wide, narrow], T0_MS), true);
  assert.deepEqual(counters.read([wide, narrow], T0_MS), [
    { calls_total: { used: 1, remaining: 4 } },
    { calls_total: { used: 1, remaining: 0 } },
  ]);
});

test("a call counts in the minute for at least 60 s and at most 65, and the time to wait is the time it takes", () => {
  const counters = table();
  const of = demand({ limits: { calls_per_minute: 2 } });
  taken(counters, [of], T0_MS + 4999);
  taken(counters, [of], T0_MS + 20_000);
  for (const afterMs of [20_000, 59_000, 64_999]) {
    const refused = counters.reserve([of], T0_MS + afterMs);
    assert.ok("retryAfterS" in refused && refused.retryAfterS !== null, String(afterMs));
    const freeMs = T0_MS + afterMs + refused.retryAfterS * 1000;
    assert.ok(freeMs >= T0_MS + 65_000 && freeMs < T0_MS + 66_000, `${afterMs}: ${refused.retryAfterS} s`);
  }
  taken(counters, [of], T0_MS + 65_000);
  assert.equal("reason" in counters.reserve([of], T0_MS + 84_999), true);
  taken(counters, [of], T0_MS + 85_000);
});

test("a clock that went back gives nothing back", () => {
  const counters = table();
  const of = demand({ limits: { calls_per_minute: 1 } });
  taken(counters, [of], T0_MS);
  assert.equal("reason" in counters.reserve([of], T0_MS - 600_000), true);
});

test("a concurrent call ends with its release and not before; the other counts stay", () => {
  const counters = table();
  const of = demand({ limits: { concurrent: 1, calls_total: 10 } });
  const first = taken(counters, [of]);
  assert.deepEqual(counters.reserve([of], T0_MS), {
    reason: "budget.exhausted",
    detail: "refunds: concurrent",
    retryAfterS: 1,
  });
  counters.release(first);
  taken(counters, [of]);
  assert.deepEqual(counters.read([of], T0_MS), [
    { concurrent: { used: 1, remaining: 0 }, calls_total: { used: 2, remaining: 8 } },
  ]);
});

test("what is given back can be spent again, in the minute too", () => {
  const counters = table();
  const of = demand({
    limits: { calls_per_minute: 1, calls_total: 1, request_bytes_total: 10, sum: 7 },
    bytes: 10,
    amount: 7,
  });
  const first = taken(counters, [of]);
  counters.giveBack(first);
  counters.release(first);
  taken(counters, [of], T0_MS + 1);
});

test("of two refusals the one that waiting does not help is told", () => {
  const counters = table();
  const minute = demand({ name: "minute", key: keyOf("minute"), limits: { calls_per_minute: 1 } });
  const total = demand({ name: "total", key: keyOf("total"), limits: { calls_total: 1 } });
  taken(counters, [minute, total]);
  const refused = counters.reserve([minute, total], T0_MS);
  assert.deepEqual("reason" in refused && [refused.detail, refused.retryAfterS], ["total: calls_total", null]);
});

test("a full table refuses with its own reason, and keys whose time is over make room", () => {
  const counters = table();
  const of = (name: number, untilMs: number): Demand =>
    demand({ key: keyOf(String(name)), limits: { calls_total: 1 }, untilMs });
  const held = taken(counters, [of(0, T0_MS + 1)]);
  for (let name = 1; name < 64; name++) counters.release(taken(counters, [of(name, T0_MS + HOUR_MS)]));
  const refused = counters.reserve([of(64, T0_MS + HOUR_MS)], T0_MS);
  assert.equal("reason" in refused && refused.reason, "budget.table_full");
  // Its time is over, but the call is not: its end must find what it counted.
  assert.equal("reason" in counters.reserve([of(64, T0_MS + HOUR_MS)], T0_MS + 2), true);
  counters.release(held);
  taken(counters, [of(64, T0_MS + HOUR_MS)], T0_MS + 2);
  // A call that needs two new keys where there is room for one leaves nothing behind.
  const later = T0_MS + HOUR_MS;
  taken(counters, [of(65, later + 1)], later);
});

test("a call on two new keys where one has room takes neither", () => {
  const counters = table();
  const of = (name: number): Demand => demand({ key: keyOf(String(name)), limits: { calls_total: 1 } });
  for (let name = 1; name < 64; name++) taken(counters, [of(name)]);
  const refused = counters.reserve([of(64), of(65)], T0_MS);
  assert.equal("reason" in refused && refused.reason, "budget.table_full");
  taken(counters, [of(66)]);
});

test("a counter whose time is over begins at 0, and one that is used again lives on", () => {
  const counters = table();
  const of = demand({ limits: { calls_total: 2 }, untilMs: T0_MS + 1000 });
  counters.release(taken(counters, [of]));
  counters.release(taken(counters, [{ ...of, untilMs: T0_MS + 5000 }], T0_MS + 999));
  assert.equal("reason" in counters.reserve([of], T0_MS + 4999), true);
  taken(counters, [{ ...of, untilMs: T0_MS + 9000 }], T0_MS + 5000);
  assert.deepEqual(counters.read([of], T0_MS + 5000), [{ calls_total: { used: 1, remaining: 1 } }]);
});

test("what a thread that ended had open is open no more, and a lock that it held is free", () => {
  const shared = createCounterBuffer(64, 2);
  const [first, second, supervisor] = [0, 1, 2].map((thread) => attachCounterTable(shared, thread));
  assert.ok(first !== undefined && second !== undefined && supervisor !== undefined);
  const of = demand({ limits: { concurrent: 2, calls_total: 9 } });
  taken(first, [of]);
  taken(second, [of]);
  Atomics.store(new Int32Array(shared), 0, 1); // the first thread ends in the middle of a reservation
  const refused = second.reserve([of], T0_MS);
  assert.equal("reason" in refused && refused.reason, "budget.unavailable");
  assert.equal(second.read([of], T0_MS), undefined);
  supervisor.threadEnded(0);
  assert.deepEqual(second.read([of], T0_MS), [
    { concurrent: { used: 1, remaining: 1 }, calls_total: { used: 2, remaining: 7 } },
  ]);
  taken(second, [of]);
});

test("the end of another thread does not open a lock", () => {
  const shared = createCounterBuffer(64, 2);
  const supervisor = attachCounterTable(shared, 2);
  Atomics.store(new Int32Array(shared), 0, 2);
  supervisor.threadEnded(0);
  assert.equal(attachCounterTable(shared, 0).read([demand()], T0_MS), undefined);
});
