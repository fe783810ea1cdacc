// In: what a parent has and what is asked for. Out: what is granted, never more than the parent has.
// Pure. A part that is not asked for is inherited whole; so is a constraint, since leaving it out would widen.
import { narrowConstraints, narrowDetails, narrowScopes } from "../../lib/narrowing.ts";
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import type { Grant } from "./authority.ts";
import type { AskedGrant } from "./read-parameters.ts";
import { type Refusal, refuse } from "./refusal.ts";

/** Whom the parent part belongs to: it names the refusal. */
export type Bound = "ceiling" | "granted";

export function narrowGrant(parent: Grant, asked: AskedGrant, bound: Bound): Result<Grant, Refusal> {
  const ceiling = bound === "ceiling";
  const scope = narrowScopes(parent.scope, asked.scope ?? parent.scope);
  if (!scope.ok) return refuse(ceiling ? "scope_beyond_ceiling" : "scope_wider", scope.error);
  const details = asked.details ?? parent.details;
  const narrowed = narrowDetails(parent.details, details);
  if (!narrowed.ok) {
    return refuse(ceiling ? "details_beyond_ceiling" : "details_wider", `entry ${narrowed.error.index}`);
  }
  const constraints = { ...parent.constraints, ...asked.constraints };
  const restricted = narrowConstraints(parent.constraints, constraints);
  if (!restricted.ok) return refuse(ceiling ? "constraint_beyond_ceiling" : "constraint_wider", restricted.error);
  return ok({ scope: scope.value, details, constraints });
}
