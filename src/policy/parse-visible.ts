// In: the raw result of the entry point `cordon/visible`. Out: the names to show, or a denial: then nothing is shown.
// Trusts: nothing; the policy may be written by somebody else than this gateway.
import { type Denial, deny } from "../errors.ts";
import { err, ok, type Result } from "../lib/result.ts";

/** A Rego set of strings comes as a list. Errors: policy.undefined, policy.malformed_decision. */
export function parseVisible(value: unknown): Result<ReadonlySet<string>, Denial> {
  if (value === undefined) return err(deny("policy.undefined"));
  const whole = Array.isArray(value) && value.every((name) => typeof name === "string");
  return whole ? ok(new Set(value)) : err(deny("policy.malformed_decision", "what is visible is not a list of names"));
}
