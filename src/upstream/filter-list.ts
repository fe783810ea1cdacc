// In: the bytes of one JSON-RPC message, what was read of its lists, and who says what of them is shown. Out: the same bytes
// without the other items. Trusts: read-lists.ts for the places.
//
// Items are cut out of the bytes, as redaction does it: cursors, hints and the items that stay leave as they came. One
// member is written anew: `cacheScope: public` would offer one agent's list to all (2026-07-28, "Caching").
import type { FoundList, ListItem, ListMessage, ListShape, Span } from "./read-lists.ts";

/** The names to show of one list; also asked of an empty one. */
export type ChooseItems<S extends ListShape, T> = (shape: S, items: readonly ListItem<T>[]) => ReadonlySet<string>;

interface Change extends Span {
  /** What stands there instead: a text, or the elements of a list. */
  readonly instead: string | readonly Span[];
}

const PRIVATE = '"private"';
/** `"public"` in its shortest spelling is shorter than what replaces it; a list without an item never grows. */
const GROWS_BYTES_MAX = 1;

export function filterList<S extends ListShape, T>(
  bytes: Buffer,
  { lists, publicScope }: ListMessage<S, T>,
  choose: ChooseItems<S, T>,
): Buffer {
  if (lists.length === 0) return bytes;
  const changes: Change[] = [];
  for (const list of lists) {
    const kept = keptElements(list, choose);
    if (kept.length < list.elements.length) changes.push({ start: list.start, end: list.end, instead: kept });
  }
  if (publicScope !== undefined) changes.push({ ...publicScope, instead: PRIVATE });
  return changes.length === 0 ? bytes : changed(bytes, changes);
}

function keptElements<S extends ListShape, T>(
  { shape, elements, items, named }: FoundList<S, T>,
  choose: ChooseItems<S, T>,
): readonly Span[] {
  const shown = choose(shape, named);
  return elements.filter((_, index) => {
    const item = items[index];
    return item !== null && item !== undefined && shown.has(item.name);
  });
}

function changed(bytes: Buffer, changes: readonly Change[]): Buffer {
  const out = Buffer.allocUnsafe(bytes.length + GROWS_BYTES_MAX);
  let to = 0;
  let keptTo = 0;
  for (const { start, end, instead } of changes.toSorted((a, b) => a.start - b.start)) {
    to += bytes.copy(out, to, keptTo, start);
    keptTo = end;
    if (typeof instead === "string") {
      to += out.write(instead, to, "latin1");
      continue;
    }
    to += out.write("[", to, "latin1");
    for (const [index, element] of instead.entries()) {
      if (index > 0) to += out.write(",", to, "latin1");
      to += bytes.copy(out, to, element.start, element.end);
    }
    to += out.write("]", to, "latin1");
  }
  to += bytes.copy(out, to, keptTo);
  return out.subarray(0, to);
}
