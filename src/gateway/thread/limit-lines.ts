// In: what a data thread tells of single exchanges: alerts, and faults. Out: the same to the supervisor, but not at any rate.
// A caller that makes each of its exchanges an alert must not fill the service log at its speed. Each kind has a budget of
// its own, so that a flood of low alerts hides no high one; every decision stands in the decision log all the same.
import { createLineBudget, type LineBudget } from "../../lib/line-budget.ts";
import type { FromThread } from "../thread-messages.ts";

export type LimitedLine = Extract<FromThread, { type: "alert" | "service" }>;

/** Of each kind in each interval: an alert that is told so often needs no more of its like. */
export const LINES_MAX = 20;
const INTERVAL_MS = 10_000;

/** Kinds are severities, and messages that are constants of this program. */
export function limitLines(
  notify: (message: FromThread) => void,
  monotonicMs: () => number,
): (line: LimitedLine) => void {
  const budgets = new Map<string, LineBudget>();
  return (line) => {
    const kind = line.type === "alert" ? line.severity : line.message;
    let budget = budgets.get(kind);
    if (budget === undefined) {
      budget = createLineBudget(LINES_MAX, INTERVAL_MS);
      budgets.set(kind, budget);
    }
    const leftOut = budget.take(monotonicMs());
    if (leftOut === null) return;
    notify(leftOut === 0 ? line : { ...line, fields: { ...line.fields, left_out_before: String(leftOut) } });
  };
}
