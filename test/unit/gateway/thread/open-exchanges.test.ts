// The second's look at what budgets have become, where there is more to look at than one look may take.
import assert from "node:assert/strict";
import { test } from "node:test";
import { deny } from "../../../../src/errors.ts";
import { createOpenExchanges, type OpenExchange } from "../../../../src/gateway/thread/open-exchanges.ts";
import type { BudgetLook } from "../../../../src/gateway/exchange/while-open.ts";
import type { Agent } from "../../../../src/token/agent.ts";

interface Watched {
  readonly exchange: OpenExchange;
  look: BudgetLook;
  looked: number;
  asked: number;
  readonly cuts: string[];
}

function watched(streaming = true, counted = true): Watched {
  const one: Watched = {
    look: "same",
    looked: 0,
    asked: 0,
    cuts: [],
    exchange: {
      agent: {} as Agent,
      streaming,
      toMonitor: false,
      uploads: false,
      labels: [],
      revision: "",
      whileOpen: {
        judgeAgain: () => {
          one.asked += 1;
          one.look = "same";
          return null;
        },
        lookAtBudgets: counted
          ? () => {
              one.looked += 1;
              return one.look;
            }
          : undefined,
      },
      cut: ({ reason, detail }) => void one.cuts.push(`${reason} ${detail}`),
      cutAtMs: undefined,
    },
  };
  return one;
}

function opened(all: readonly Watched[]): ReturnType<typeof createOpenExchanges> {
  const open = createOpenExchanges(5000);
  for (const { exchange } of all) open.add(exchange);
  return open;
}

test("streams whose budgets keep changing are asked in turns, and each has its turn", () => {
  const all = Array.from({ length: 450 }, () => watched());
  const open = opened(all);
  for (let sweep = 1; sweep <= 3; sweep++) {
    for (const one of all) one.look = "changed";
    const before = all.reduce((sum, { asked }) => sum + asked, 0);
    open.sweepBudgets();
    assert.equal(all.reduce((sum, { asked }) => sum + asked, 0) - before, 200);
  }
  assert.ok(all.every(({ asked }) => asked > 0));
  assert.equal(open.size, 450);
});

test("what is used up is cut in the same sweep, however many streams are asked before it", () => {
  const all = Array.from({ length: 300 }, () => watched());
  const last = all.at(-1) as Watched;
  for (const one of all) one.look = "changed";
  last.look = deny("budget.exhausted", "calls: calls_total");
  opened(all).sweepBudgets();
  assert.deepEqual(last.cuts, ["stream.cut_budget calls: calls_total"]);
  assert.ok(all.every((one) => one === last || one.cuts.length === 0));
});

test("budgets that cannot be read are tried once a sweep, and end the streams that they count with the second one", () => {
  const [first, second, single, free] = [watched(), watched(), watched(false), watched(true, false)];
  const all = [first, second, single, free];
  const open = opened(all);
  first.look = "unreadable";
  open.sweepBudgets();
  assert.deepEqual([first.looked, second.looked, ...all.flatMap(({ cuts }) => cuts)], [1, 0]);
  first.look = "same";
  open.sweepBudgets();
  first.look = "unreadable";
  open.sweepBudgets();
  assert.deepEqual(
    all.flatMap(({ cuts }) => cuts),
    [],
    "it was readable in between",
  );
  open.sweepBudgets();
  const reason = "stream.cut_budget budget.unavailable";
  assert.deepEqual(
    all.map(({ cuts }) => cuts),
    [[reason], [reason], [], []],
  );
});
