import assert from "node:assert/strict";
import { test } from "node:test";
import { LINES_MAX, type LimitedLine, limitLines } from "../../../../src/gateway/thread/limit-lines.ts";
import type { FromThread } from "../../../../src/gateway/thread-messages.ts";

test("of each kind so many lines are told in ten seconds, and the next one says how many were left out", () => {
  const told: FromThread[] = [];
  let nowMs = 0;
  const tell = limitLines(
    (message) => told.push(message),
    () => nowMs,
  );
  const low: LimitedLine = { type: "alert", severity: "low", fields: { agent: "a" } };
  for (let n = 0; n < LINES_MAX + 7; n++) tell(low);
  assert.deepEqual(
    told,
    Array.from({ length: LINES_MAX }, () => low),
  );
  const others: LimitedLine[] = [
    { type: "alert", severity: "high", fields: {} },
    { type: "service", level: "error", message: "a fault", fields: {} },
  ];
  for (const other of others) tell(other);
  assert.deepEqual(told.slice(LINES_MAX), others, "no kind takes from another");
  nowMs = 10_000;
  tell(low);
  tell(low);
  assert.deepEqual(told.slice(-2), [{ ...low, fields: { agent: "a", left_out_before: "7" } }, low]);
});
