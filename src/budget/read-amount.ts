// In: the arguments of a call and the path to one of them. Out: the amount that a budget adds up, or what is wrong with it.
// Trusts: a parser that has refused duplicate names and numbers that it could not keep (parse-json.ts).

export type Amount = { readonly amount: number } | { readonly fault: string };

/** The reference tokens of a JSON pointer (RFC 6901 section 4) that names a part; null where it is not one. */
export function parsePointer(pointer: string): readonly string[] | null {
  if (!/^(?:\/(?:[^~/]|~[01])*)+$/.test(pointer)) return null;
  return pointer
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/**
 * Amounts are counted in minor units (cents): a fraction, or more than every parser can carry, is no amount. A text is none
 * either, whatever it says: the tool might read another number in it.
 */
export function readAmount(value: unknown, path: readonly string[], required: boolean): Amount {
  let found: unknown = value ?? undefined;
  for (const token of path) {
    if (found === undefined) break;
    // A text where an object is awaited: what the tool reads in it is not known here.
    if (typeof found !== "object" || found === null) return { fault: "no object on the way to it" };
    found = memberOf(found, token);
  }
  if (found === undefined) return required ? { fault: "absent" } : { amount: 0 };
  if (typeof found !== "number") return { fault: found === null ? "null" : `of type ${typeof found}` };
  if (found < 0) return { fault: "negative" };
  return Number.isSafeInteger(found) ? { amount: found } : { fault: "not a safe integer" };
}

/** RFC 6901 section 4: an index has no leading zero. Own members only, so that no prototype is an argument. */
function memberOf(container: object, token: string): unknown {
  if (Array.isArray(container) && !/^(?:0|[1-9][0-9]*)$/.test(token)) return undefined;
  return Object.hasOwn(container, token) ? (container as Readonly<Record<string, unknown>>)[token] : undefined;
}
