// The counters as the audit log tells them: intents count, unless their own outcome says that nothing was sent.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Demand } from "../../../src/budget/budget.ts";
import { budgetRecord } from "../../../src/budget/budget-text.ts";
import { checkpointLines, LOG_START, parseCheckpoint } from "../../../src/budget/checkpoint.ts";
import { createFold, type Fold, type FoldState } from "../../../src/budget/fold-records.ts";
import { demand, HOUR_MS, T0_MS } from "./demands.ts";

const EMPTY: FoldState = { entries: [], open: [] };

function intent(id: string, of: readonly Demand[], atMs = T0_MS): string {
  const at = new Date(atMs).toISOString();
  return `{"seq":1,"written_at":"${at}","type":"intent","at":"${at}","request_id":"${id}","budget":${budgetRecord(of)}}`;
}

function outcome(id: string, sent: boolean | null): string {
  return `{"seq":1,"type":"outcome","at":"${new Date(T0_MS).toISOString()}","request_id":"${id}","sent":${sent}}`;
}

function counts(lines: readonly string[], from = EMPTY): number[] {
  const fold = createFold(from);
  for (const line of lines) fold.add(line);
  const [entry] = fold.state(T0_MS).entries;
  return entry === undefined ? [] : [entry.calls, entry.bytes, entry.sum];
}

const textOf = (fold: Fold): string => [...checkpointLines({ place: LOG_START, state: fold.state(T0_MS) })].join("");

const of = [demand({ bytes: 10, amount: 7 })];

test("a call is taken back by its own outcome that nothing was sent, once, and by no other", () => {
  assert.deepEqual(counts([intent("a", of), outcome("a", false)]), [0, 0, 0]);
  assert.deepEqual(counts([intent("a", of), outcome("a", false), outcome("a", false)]), [0, 0, 0]);
  assert.deepEqual(counts([intent("a", of), outcome("b", false)]), [1, 10, 7]);
  assert.deepEqual(counts([intent("a", of), outcome("a", true), outcome("a", false)]), [1, 10, 7]);
  assert.deepEqual(counts([intent("a", of), outcome("a", null)]), [1, 10, 7]);
  // The record of the intent was lost: what was never counted is not taken back.
  assert.deepEqual(counts([outcome("a", false), intent("b", of)]), [1, 10, 7]);
});

test("a call outlives neither its entry nor what comes after it", () => {
  const later = T0_MS + HOUR_MS;
  const next = [demand({ amount: 3, untilMs: later + HOUR_MS })];
  assert.deepEqual(counts([intent("a", of), intent("b", next, later), outcome("a", false)]), [1, 0, 3]);
});

test("a checkpoint in the middle changes nothing, open calls included", () => {
  const lines = [intent("a", of), intent("b", of, T0_MS + 70_000), outcome("b", false), outcome("a", true)];
  for (let cut = 0; cut <= lines.length; cut++) {
    const fold = createFold(EMPTY);
    for (const line of lines.slice(0, cut)) fold.add(line);
    const text = textOf(fold);
    assert.deepEqual(counts(lines.slice(cut), parseCheckpoint(text).state), [1, 10, 7], String(cut));
  }
});

test("a record that reserves something and cannot be read is no record that reserves nothing", () => {
  const good = intent("a", of);
  for (const bad of [
    good.replace('"bytes":10', '"bytes":-10'),
    good.replace('"sum":7', '"sum":"7"'),
    good.replace('"key":"', '"key":"x'),
    good.replace(/"until":"[^"]*"/, '"until":"soon"'),
    good.replace('"request_id":"a",', ""),
    good.slice(0, -1),
  ]) {
    assert.throws(() => createFold(EMPTY).add(bad), bad);
  }
});

test("text of others that looks like a budget is none", () => {
  const path = JSON.stringify('/"budget":[{"name":"refunds"}]');
  const line = `{"seq":1,"type":"intent","at":"${new Date(T0_MS).toISOString()}","request_id":"a","path":${path}}`;
  assert.deepEqual(counts([line]), []);
});

test("a checkpoint that is not whole is refused", () => {
  const fold = createFold(EMPTY);
  fold.add(intent("a", of));
  const text = textOf(fold);
  for (const bad of [
    "",
    "{}",
    text.slice(0, -3),
    text.replace('"calls":1', '"calls":-1'),
    text.replace('"sum":7,', ""),
    text.replace(/\{"name".*\n/, ""),
    text.replace(/.*\n$/, ""),
  ]) {
    assert.throws(() => parseCheckpoint(bad), bad);
  }
});
