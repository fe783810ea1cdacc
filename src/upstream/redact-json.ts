// In: the bytes of a JSON document and JSON pointers. Out: the bytes of the document without those values, or null.
// Trusts: nothing; what does not parse strictly as UTF-8 JSON is not redacted in part but refused.
//
// Numbers keep their own text (`JSON.rawJSON`), so an amount beyond 2^53 leaves as it came.

interface JsonSource {
  readonly rawJSON: (text: string) => unknown;
  readonly isRawJSON: (value: unknown) => boolean;
}

type Reviver = (this: unknown, key: string, value: unknown) => unknown;

const { rawJSON, isRawJSON } = JSON as unknown as JsonSource;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The reference tokens of a pointer (RFC 6901 section 4); null where it is not one, or names the whole document. */
export function parsePointer(pointer: string): string[] | null {
  if (!pointer.startsWith("/") || /~(?![01])/.test(pointer)) return null;
  return pointer
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** Fractions, exponents, negative zero and more than 15 digits: what a double may print in another form. */
const UNCOMMON_NUMBER = /\d{16}|\d[.eE]|-0/;

/** Removes every pointed-at value; one that is absent is no error. Null: malformed document or pointer. */
export function redactJson(body: Uint8Array, pointers: readonly string[]): Buffer | null {
  try {
    const text = utf8.decode(body);
    // A reviver is called for every value, so it is left out where no number needs it; digits in strings cost only time.
    const document: unknown = UNCOMMON_NUMBER.test(text)
      ? JSON.parse(text, keepNumberText as Reviver)
      : JSON.parse(text);
    const paths = pointers.map(parsePointer);
    const found: [object, string][] = [];
    for (const path of paths) {
      if (path === null) return null;
      const parent = parentOf(document, path);
      if (parent !== null) found.push([parent, path[path.length - 1] as string]);
    }
    // All are found before any is removed, and high indexes go first: removing one must not move another.
    const elements = found.filter(([parent]) => Array.isArray(parent));
    remove(elements.toSorted(([, a], [, b]) => Number(b) - Number(a)));
    remove(found.filter(([parent]) => !Array.isArray(parent)));
    return Buffer.from(JSON.stringify(document));
  } catch {
    // SyntaxError, TypeError of the decoder, RangeError of a nesting too deep: all mean that it cannot be redacted.
    return null;
  }
}

function keepNumberText(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== "number" || context.source === undefined || String(value) === context.source) return value;
  return rawJSON(context.source);
}

function parentOf(document: unknown, path: readonly string[]): object | null {
  let at: unknown = document;
  for (let depth = 0; ; depth += 1) {
    const token = path[depth] as string;
    if (typeof at !== "object" || at === null || isRawJSON(at) || !hasMember(at, token)) return null;
    if (depth === path.length - 1) return at;
    at = (at as Record<string, unknown>)[token];
  }
}

function hasMember(container: object, token: string): boolean {
  if (Array.isArray(container)) return /^(0|[1-9][0-9]*)$/.test(token) && Number(token) < container.length;
  return Object.hasOwn(container, token);
}

function remove(found: readonly (readonly [object, string])[]): void {
  const done = new Map<object, Set<string>>();
  for (const [parent, token] of found) {
    const removed = done.get(parent) ?? new Set<string>();
    if (removed.has(token)) continue;
    done.set(parent, removed.add(token));
    if (Array.isArray(parent)) parent.splice(Number(token), 1);
    else delete (parent as Record<string, unknown>)[token];
  }
}
