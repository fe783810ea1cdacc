// In: the scopes a client is registered with and those it asks for. Out: those it gets, or the one that is too wide.
// What covers what is said once, in lib/narrowing.ts.
import { narrowScopes } from "../lib/narrowing.ts";

export type ScopeGrant = { readonly granted: readonly string[] } | { readonly refused: string };

/** Nothing asked for means everything registered; one scope beyond the registered refuses the whole request. */
export function grantScopes(registered: readonly string[], requested: readonly string[]): ScopeGrant {
  if (requested.length === 0) return { granted: registered };
  const narrowed = narrowScopes(registered, requested);
  return narrowed.ok ? { granted: narrowed.value } : { refused: narrowed.error };
}
