// In: a value that JSON.parse gave. Out: its one canonical text (RFC 8785), or null where it is nested too deeply or has a
// number that JSON cannot write. Trusts: nothing but that the value came from JSON.

/** Members in the order of their UTF-16 code units, numbers and strings as ECMAScript writes them, no white space. */
export function canonicalJson(value: unknown, depthMax: number): string | null {
  if (typeof value === "number") return Number.isFinite(value) ? JSON.stringify(value) : null;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (depthMax === 0) return null;
  const parts: string[] = [];
  if (Array.isArray(value)) {
    for (const item of value as readonly unknown[]) {
      const text = canonicalJson(item, depthMax - 1);
      if (text === null) return null;
      parts.push(text);
    }
    return `[${parts.join(",")}]`;
  }
  for (const [name, member] of Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const text = canonicalJson(member, depthMax - 1);
    if (text === null) return null;
    parts.push(`${JSON.stringify(name)}:${text}`);
  }
  return `{${parts.join(",")}}`;
}
