// In: the scopes a client is registered with and those it asks for. Out: those it gets, or the one that is too wide.
// `action:resource:identifier`, three non-empty parts; only the identifier may be `*`.

const PART = "[A-Za-z0-9._~-]+";
const SCOPE = new RegExp(`^${PART}:${PART}:(?:\\*|${PART})$`);

export function isScope(value: string): boolean {
  return SCOPE.test(value);
}

export type ScopeGrant = { readonly granted: readonly string[] } | { readonly refused: string };

/** Nothing asked for means everything registered; one scope beyond the registered refuses the whole request. */
export function grantScopes(registered: readonly string[], requested: readonly string[]): ScopeGrant {
  if (requested.length === 0) return { granted: registered };
  for (const scope of requested) {
    if (!isScope(scope) || !registered.some((wider) => covers(wider, scope))) return { refused: scope };
  }
  return { granted: [...new Set(requested)] };
}

function covers(wider: string, narrower: string): boolean {
  if (wider === narrower) return true;
  return wider.endsWith(":*") && narrower.startsWith(wider.slice(0, -1));
}
