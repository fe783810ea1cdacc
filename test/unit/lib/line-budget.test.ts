import assert from "node:assert/strict";
import { test } from "node:test";
import { createLineBudget } from "../../../src/lib/line-budget.ts";

test("so many lines are told in an interval, and the next one tells how many were not", () => {
  const budget = createLineBudget(2, 1000);
  assert.deepEqual(
    [0, 1, 2, 999, 1000, 1001, 1002].map((ms) => budget.take(ms)),
    [0, 0, null, null, 2, 0, null],
  );
});
