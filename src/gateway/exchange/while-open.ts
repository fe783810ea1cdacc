// In: an exchange that was allowed, and a way to ask its policy again. Out: whether its stream may go on, for as long as it is open.
// Trusts: the caller to ask. What its own call holds of a budget never ends a stream.
import type { Denial } from "../../errors.ts";
import type { Result } from "../../lib/result.ts";
import type { BudgetsNow, Counted } from "../thread/budget-gate.ts";
import type { ExchangeFacts, Services } from "../thread/services.ts";

/** `same`: as when the policy was asked last. A denial: a total that was to end streams is used up. */
export type BudgetLook = "same" | "changed" | "unreadable" | Denial;

export interface WhileOpen {
  /** Asks the policy again with the time and the budgets of now; null where it still allows. */
  judgeAgain(): Denial | null;
  /** Asks no policy, and costs microseconds. Undefined where no budget counts the exchange. */
  readonly lookAtBudgets: (() => BudgetLook) | undefined;
}

/** `ask`: the policy's verdict on the exchange at this time, with this `input.budget`. */
export function judgeWhileOpen(
  s: Pick<Services, "budgets" | "clock">,
  x: Pick<ExchangeFacts, "reservation">,
  counted: Counted | undefined,
  ask: (timeMs: number, budgetJson: string | undefined) => Denial | null,
): WhileOpen {
  /** `input.budget` as the policy saw it last. */
  let askedWith = counted?.inputJson;

  function budgetsAt(timeMs: number): Result<BudgetsNow, Denial> | undefined {
    const { reservation } = x;
    if (counted === undefined || reservation === undefined) return undefined;
    return s.budgets.lookAgain(counted, reservation, timeMs);
  }

  function look(): BudgetLook {
    const budgets = budgetsAt(s.clock.nowMs());
    if (budgets === undefined) return "same";
    if (!budgets.ok) return "unreadable";
    return budgets.value.usedUp ?? (budgets.value.inputJson === askedWith ? "same" : "changed");
  }

  return {
    judgeAgain() {
      const timeMs = s.clock.nowMs();
      const budgets = budgetsAt(timeMs);
      if (budgets?.ok === false) return budgets.error;
      if (budgets !== undefined) askedWith = budgets.value.inputJson;
      return ask(timeMs, askedWith);
    },
    lookAtBudgets: counted === undefined ? undefined : look,
  };
}
