// In: the reasons of a denial, which the policy's authors wrote. Out: the scope that the caller is told it lacks, and nothing
// else of them. Trusts: nothing; the text becomes part of a header, so it is held to the signs that a scope may have.
import type { DecisionReason } from "./decision.ts";

/** RFC 6749 section 3.3: tokens with one space between them. Neither a quote, a backslash nor a line break is among them. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/;
/** Of one reason, and of all together: a header that every client takes. */
export const SCOPE_LENGTH_MAX = 1024;

export function isScope(value: unknown): value is string {
  return typeof value === "string" && value.length <= SCOPE_LENGTH_MAX && SCOPE.test(value);
}

/**
 * All that the reasons name, each token once: one challenge has to be enough (MCP authorization, "Scope Challenge Handling").
 * Reasons that name no scope change nothing: whether there were any is not the caller's to know.
 */
export function requiredScope(reasons: readonly DecisionReason[]): string | undefined {
  const tokens = new Set(reasons.flatMap(({ scope }) => scope?.split(" ") ?? []));
  return tokens.size === 0 ? undefined : [...tokens].join(" ");
}
