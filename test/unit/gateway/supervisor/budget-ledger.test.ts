// The counters of the budgets at a start: from the checkpoint and the log behind it, or not at all.
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { numberLines } from "../../../../src/audit/append-log.ts";
import type { BudgetUse } from "../../../../src/budget/budget.ts";
import { budgetRecord } from "../../../../src/budget/budget-text.ts";
import { attachCounterTable, createCounterBuffer } from "../../../../src/budget/counter-table.ts";
import { type BudgetLedger, openBudgetLedger } from "../../../../src/gateway/supervisor/budget-ledger.ts";
import { demand, keyOf, T0_MS } from "../../budget/demands.ts";

const of = demand({ limits: { calls_total: 1000, calls_per_minute: 1000, sum: 1_000_000 }, amount: 7 });
const faults: unknown[] = [];
const AT = new Date(T0_MS).toISOString();

interface Log {
  readonly folder: string;
  readonly auditFile: string;
  /** Appends an intent with a budget for each id, and as many other records. */
  append(...ids: readonly string[]): void;
  outcome(id: string, sent: boolean | null): void;
  seq: number;
}

function createLog(t: TestContext): Log {
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-ledger-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const auditFile = path.join(folder, "audit.jsonl");
  writeFileSync(auditFile, "");
  const write = (record: string): void => {
    log.seq += 1;
    appendFileSync(auditFile, numberLines(record, log.seq, AT));
  };
  const log: Log = {
    folder,
    auditFile,
    seq: 0,
    append(...ids) {
      for (const id of ids) {
        write(`{"type":"denied","at":"${AT}","path":"/ä/${id}"}`);
        write(`{"type":"intent","at":"${AT}","request_id":"${id}","budget":${budgetRecord([of])}}`);
      }
    },
    outcome: (id, sent) => write(`{"type":"outcome","at":"${AT}","request_id":"${id}","sent":${sent}}`),
  };
  return log;
}

async function open(
  log: Log,
  seq = log.seq,
): Promise<{ ledger: BudgetLedger; calls: () => number | undefined; use: () => unknown }> {
  const table = attachCounterTable(createCounterBuffer(64, 1), 1);
  const ledger = await openBudgetLedger({
    file: path.join(log.folder, "budgets.json"),
    auditFile: log.auditFile,
    auditSeq: () => (seq === 0 ? log.seq : seq),
    names: new Set(["refunds"]),
    table,
    nowMs: () => T0_MS,
    growthBytes: 1000,
    onFault: (error) => void faults.push(error),
  });
  const use = (): BudgetUse | undefined => table.read([of], T0_MS)?.[0];
  return { ledger, use, calls: () => use()?.calls_total?.used };
}

test("without a checkpoint the counters are what the whole log says, the minute included", async (t) => {
  const log = createLog(t);
  log.append("a", "b", "c");
  log.outcome("b", false);
  log.outcome("a", true);
  const { ledger, use } = await open(log);
  assert.deepEqual(use(), {
    calls_total: { used: 2, remaining: 998 },
    sum: { used: 14, remaining: 999_986 },
    calls_per_minute: { used: 2, remaining: 998 },
  });
  await ledger.close();
});

test("with a checkpoint the log behind it is counted, once, and a call that was open then can still end", async (t) => {
  const log = createLog(t);
  log.append("a", "b");
  const first = await open(log, 0);
  log.append("c", "d");
  await first.ledger.advance();
  log.outcome("d", false);
  log.append("e");
  await first.ledger.close();
  const second = await open(log);
  assert.equal(second.calls(), 4);
  await second.ledger.close();
  // Another start reads nothing twice.
  const third = await open(log);
  assert.equal(third.calls(), 4);
  // What was open when a process ended stays counted, whatever comes later under its id.
  log.outcome("a", false);
  await third.ledger.close();
  const fourth = await open(log);
  assert.equal(fourth.calls(), 4);
  await fourth.ledger.close();
});

test("a checkpoint is written once the log has grown enough, and a fault of it is told once", async (t) => {
  const log = createLog(t);
  const { ledger } = await open(log, 0);
  const file = path.join(log.folder, "budgets.json");
  const first = readFileSync(file, "utf8");
  log.append("a");
  await ledger.check();
  assert.equal(readFileSync(file, "utf8"), first);
  log.append("b", "c", "d");
  await ledger.check();
  const second = readFileSync(file, "utf8");
  assert.match(second, /"seq":8,/);
  assert.match(second, /"calls":4,/);
  assert.deepEqual(faults, []);
  rmSync(log.auditFile);
  await ledger.check();
  await ledger.check();
  assert.equal(faults.length, 1);
  await assert.rejects(ledger.close());
});

test("what the writer has not on disk is not counted, since it may be cut off again", async (t) => {
  const log = createLog(t);
  log.append("a", "b");
  const { ledger, calls } = await open(log, 2);
  assert.equal(calls(), 1);
  await ledger.close();
  const again = await open(log);
  assert.equal(again.calls(), 2);
  await again.ledger.close();
});

test("a log that is another one, shorter, edited or gone is refused", async (t) => {
  for (const spoil of [
    (log: Log) => writeFileSync(log.auditFile, ""),
    (log: Log) => rmSync(log.auditFile),
    (log: Log) => writeFileSync(log.auditFile, readFileSync(log.auditFile, "utf8").replace(/.*\n$/, "")),
    (log: Log) =>
      writeFileSync(log.auditFile, readFileSync(log.auditFile, "utf8").replace('"sum":7,"until"', '"sum":0,"until"')),
  ]) {
    const log = createLog(t);
    log.append("a");
    await (await open(log)).ledger.close();
    spoil(log);
    await assert.rejects(open(log));
  }
});

test("a checkpoint that is damaged, and a record that cannot be read, are refused", async (t) => {
  const log = createLog(t);
  log.append("a");
  await (await open(log)).ledger.close();
  const file = path.join(log.folder, "budgets.json");
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.slice(0, -5));
  await assert.rejects(open(log), /damaged/);
  writeFileSync(file, text);
  await (await open(log)).ledger.close();
  const line = `{"type":"intent","at":"${AT}","request_id":"b","budget":[{"name":"refunds","key":"${keyOf("a")}"}]}`;
  appendFileSync(log.auditFile, numberLines(line, log.seq + 1, AT));
  log.seq += 1;
  await assert.rejects(open(log), /record 3/);
});

test("more counters than the table takes are refused at the start", async (t) => {
  const log = createLog(t);
  for (let key = 0; key < 65; key++) {
    const record = budgetRecord([{ ...of, key: keyOf(String(key)) }]);
    const line = `{"type":"intent","at":"${AT}","request_id":"r${key}","budget":${record}}`;
    appendFileSync(log.auditFile, numberLines(line, log.seq + 1, AT));
    log.seq += 1;
  }
  await assert.rejects(open(log), /budget_entries/);
});
