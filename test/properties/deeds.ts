// In: restrictions, as constraints and details have them. Out: what an agent may do under them.
// The model that narrowing is held against: what a restriction means, without the code that compares two of them.

/** The model: what an agent does, as a value with members, each of which a restriction may speak of. */
export interface Deed {
  readonly is: unknown;
  readonly of: Readonly<Record<string, Deed>>;
}

/** What a restriction means: written without the code that compares two of them. */
export function permits(restriction: unknown, deed: Deed): boolean {
  if (typeof restriction !== "object" || restriction === null) return deed.is === restriction;
  if (Array.isArray(restriction)) {
    const opaque = restriction.length === 0 || restriction.some((item) => typeof item === "object" && item !== null);
    return opaque ? deed.is === canonical(restriction) : restriction.includes(deed.is);
  }
  return Object.entries(restriction as Record<string, unknown>).every(([name, member]) => {
    const measured = typeof member === "number" && (name === "max" || name === "min");
    if (!measured) return deed.of[name] !== undefined && permits(member, deed.of[name]);
    if (typeof deed.is !== "number") return false;
    return name === "max" ? deed.is <= member : deed.is >= member;
  });
}

/** Deeds on and around the edges of a restriction. */
export function deedsOf(restriction: unknown): Deed[] {
  const numbers = [-1, 0, 1, 2, 3].map((is) => ({ is, of: {} }));
  if (typeof restriction !== "object" || restriction === null) return [{ is: restriction, of: {} }, ...numbers];
  if (Array.isArray(restriction)) {
    return [{ is: canonical(restriction), of: {} }, ...restriction.map((is: unknown) => ({ is, of: {} })), ...numbers];
  }
  const members = Object.entries(restriction as Record<string, unknown>).map(([name, member]) => ({
    name,
    deeds: deedsOf(member),
  }));
  return [-1, 0, 1, 2, 3].flatMap((is) =>
    [0, 1, 2].map((pick) => ({
      is,
      of: Object.fromEntries(members.map(({ name, deeds }) => [name, deeds[pick % deeds.length] ?? { is, of: {} }])),
    })),
  );
}

function canonical(json: unknown): string {
  return JSON.stringify(json, (_name, member: unknown) =>
    typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([left], [right]) => (left < right ? -1 : 1)))
      : member,
  );
}
