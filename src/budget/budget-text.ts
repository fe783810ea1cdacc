// In: what a call asks of its budgets, and what is used of them. Out: `input.budget` and the record's `budget` as JSON text.
// The names are the configuration's, closed letters that need no escape.
import type { BudgetUse, Demand } from "./budget.ts";
import { isoTime } from "../lib/iso-time.ts";

/** `{"refunds":{"sum":{"used":1200,"remaining":800}}}` */
export function budgetInput(demands: readonly Demand[], uses: readonly BudgetUse[]): string {
  return JSON.stringify(Object.fromEntries(demands.map(({ name }, index) => [name, uses[index] ?? {}])));
}

/** What an intent carries, so that the counters can be made again from the records alone. */
export function budgetRecord(demands: readonly Demand[]): string {
  const items = demands.map(
    ({ name, key, bytes, amount, untilMs }) =>
      `{"name":"${name}","key":"${key}","bytes":${bytes},"sum":${amount},"until":"${isoTime(untilMs)}"}`,
  );
  return `[${items.join(",")}]`;
}
