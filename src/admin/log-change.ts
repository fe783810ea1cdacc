// In: one change that an operator asks for. Out: its result, and one line of who tried what and what became of it.
// Whatever becomes of the change is logged: applied, refused with its sentence, or failed with a throw that is passed on.
import type { Result } from "../lib/result.ts";
import type { AdminContext } from "./admin-context.ts";
import type { Operator } from "./operators.ts";

export interface Attempt {
  readonly action: string;
  readonly target: string;
  readonly reason: string;
}

export async function logged<T, E extends string | { readonly detail: string }>(
  context: AdminContext,
  operator: Operator,
  attempt: Attempt,
  change: () => Result<T, E> | Promise<Result<T, E>>,
): Promise<Result<T, E>> {
  const record = { operator: operator.name, role: operator.role, ...attempt };
  let result: Result<T, E>;
  try {
    result = await change();
  } catch (error) {
    context.logChange({ ...record, outcome: "failed", detail: error instanceof Error ? error.message : "unknown" });
    throw error;
  }
  if (result.ok) context.logChange({ ...record, outcome: "applied" });
  else {
    const { error } = result;
    context.logChange({ ...record, outcome: "refused", detail: typeof error === "string" ? error : error.detail });
  }
  return result;
}
