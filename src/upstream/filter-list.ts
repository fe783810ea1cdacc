// In: the bytes of one JSON-RPC message, the lists it may hold, and who says what of them is shown. Out: the same bytes
// without the other items, or null where the message could be read in two ways. Trusts: nothing that the tool sends.
//
// Items are cut out of the text, as redaction does it: cursors, hints and the items that stay leave as they came. One
// member is written anew: `cacheScope: public` would offer one agent's list to all (2026-07-28, "Caching").
import { isAscii, isUtf8 } from "node:buffer";
import { skipSpace, skipString, skipValue } from "./redact-json.ts";
import { isObject } from "../lib/strict-json.ts";

export interface ListShape {
  /** The member of `result` that holds the list. */
  readonly member: string;
  /** The member of an item that names it. */
  readonly key: string;
}

export interface ListItem {
  readonly name: string;
  readonly value: Readonly<Record<string, unknown>>;
  /** As the server wrote it. A part of the message's text, which it keeps in memory. */
  readonly text: string;
}

/** The names to show of one list; also asked of an empty one. `result` is what holds it. */
export type ChooseItems<S extends ListShape> = (
  shape: S,
  items: readonly ListItem[],
  result: Readonly<Record<string, unknown>>,
) => ReadonlySet<string>;

interface Span {
  readonly start: number;
  readonly end: number;
}
interface Element extends Span {
  /** Its name may be another one to another reader. */
  readonly odd: boolean;
}
interface Change extends Span {
  readonly text: string;
}
/** Where the lists of a message stand, and the value of its cache scope. */
interface Places {
  readonly lists: Map<string, Span & { readonly elements: readonly Element[] }>;
  scope: Span | undefined;
}

const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Null: not one JSON object in UTF-8, or a member on the way to an item stands twice or in another spelling of case. */
export function filterList<S extends ListShape>(
  body: Uint8Array,
  shapes: readonly S[],
  choose: ChooseItems<S>,
): Buffer | null {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const encoding = isAscii(bytes) ? "latin1" : "utf8";
  if (encoding === "utf8" && !isUtf8(bytes)) return null;
  const text = bytes.toString(encoding);
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return null; // not JSON
  }
  if (!isObject(message)) return null;
  const places = new Walk(text).places(shapes);
  if (places === null) return null;
  const result = message["result"];
  if (!isObject(result) || places.lists.size === 0) return bytes;
  const changes: Change[] = [];
  for (const shape of shapes) {
    const place = places.lists.get(shape.member);
    if (place === undefined) continue;
    const list = result[shape.member] as readonly unknown[];
    const items = place.elements.map(({ odd, start, end }, index) =>
      odd ? null : itemOf(list[index], shape.key, text.slice(start, end)),
    );
    const kept = keptElements(place.elements, items, (named) => choose(shape, named, result));
    if (kept.length === list.length) continue;
    changes.push({ ...place, text: `[${kept.map(({ start, end }) => text.slice(start, end)).join(",")}]` });
  }
  if (places.scope !== undefined && result["cacheScope"] === "public")
    changes.push({ ...places.scope, text: '"private"' });
  if (changes.length === 0) return bytes;
  return Buffer.from(changed(text, changes), encoding);
}

function keptElements(
  elements: readonly Element[],
  items: readonly (ListItem | null)[],
  choose: (named: readonly ListItem[]) => ReadonlySet<string>,
): readonly Element[] {
  const shown = choose(items.filter((item) => item !== null));
  return elements.filter((_, index) => {
    const item = items[index];
    return item !== null && item !== undefined && shown.has(item.name);
  });
}

/** Null where the item has no name: it is never shown. */
function itemOf(value: unknown, key: string, text: string): ListItem | null {
  if (!isObject(value)) return null;
  const name = value[key];
  return typeof name === "string" ? { name, value, text } : null;
}

function changed(text: string, changes: readonly Change[]): string {
  let out = "";
  let keptTo = 0;
  for (const { start, end, text: instead } of changes.toSorted((a, b) => a.start - b.start)) {
    out += text.slice(keptTo, start) + instead;
    keptTo = end;
  }
  return out + text.slice(keptTo);
}

/** One pass over a text that is known to be JSON: a list of hundreds of tools is read once, not once for each level. */
class Walk {
  readonly #text: string;
  /** The same few names stand in each item. */
  readonly #folded = new Map<string, string>();
  /** A member that is looked for stood twice, in another spelling of case, or was no list. */
  #odd = false;

  constructor(text: string) {
    this.#text = text;
  }

  places(shapes: readonly ListShape[]): Places | null {
    const places: Places = { lists: new Map(), scope: undefined };
    const wanted = [...shapes.map(({ member }) => member), "cacheScope"];
    this.#object(skipSpace(this.#text, 0), ["result"], (_result, at) => {
      if (this.#text.charCodeAt(at) !== OPEN_BRACE) return skipValue(this.#text, at);
      return this.#object(at, wanted, (name, start) => {
        const shape = shapes.find(({ member }) => member === name);
        if (shape !== undefined) return this.#list(start, shape, places);
        const end = skipValue(this.#text, start);
        places.scope = { start, end };
        return end;
      });
    });
    return this.#odd ? null : places;
  }

  #list(start: number, { member, key }: ListShape, places: Places): number {
    if (this.#text.charCodeAt(start) !== OPEN_BRACKET) {
      this.#odd = true;
      return skipValue(this.#text, start);
    }
    const elements: Element[] = [];
    const odd = this.#odd;
    let at = skipSpace(this.#text, start + 1);
    while (this.#text.charCodeAt(at) !== CLOSE_BRACKET) {
      this.#odd = false;
      const isItem = this.#text.charCodeAt(at) === OPEN_BRACE;
      const end = isItem
        ? this.#object(at, [key], (_key, value) => skipValue(this.#text, value))
        : skipValue(this.#text, at);
      elements.push({ start: at, end, odd: this.#odd });
      at = this.#next(end);
    }
    // Of an item that is odd, only the item is lost.
    this.#odd = odd;
    places.lists.set(member, { start, end: at + 1, elements });
    return at + 1;
  }

  /** Calls `visit` for each member that is looked for; it returns the end of the value. Returns the end of the object. */
  #object(start: number, wanted: readonly string[], visit: (name: string, at: number) => number): number {
    const text = this.#text;
    const seen: string[] = [];
    let at = skipSpace(text, start + 1);
    while (text.charCodeAt(at) !== CLOSE_BRACE) {
      const nameEnd = skipString(text, at);
      const raw = text.slice(at + 1, nameEnd - 1);
      const name = raw.includes("\\") ? (JSON.parse(`"${raw}"`) as string) : raw;
      const value = skipSpace(text, skipSpace(text, nameEnd) + 1);
      const folded = this.#fold(name);
      const one = wanted.find((candidate) => this.#fold(candidate) === folded);
      if (one !== undefined) {
        if (one !== name || seen.includes(one)) this.#odd = true;
        seen.push(one);
      }
      at = this.#next(one === undefined ? skipValue(text, value) : visit(one, value));
    }
    return at + 1;
  }

  /** From the end of an element to the next one, or to the bracket that closes. */
  #next(end: number): number {
    const at = skipSpace(this.#text, end);
    return this.#text.charCodeAt(at) === COMMA ? skipSpace(this.#text, at + 1) : at;
  }

  /** Readers that ignore case fold all of Unicode; see action/parse-json.ts. */
  #fold(name: string): string {
    let folded = this.#folded.get(name);
    if (folded === undefined) {
      folded = name.toLowerCase().toUpperCase().toLowerCase();
      this.#folded.set(name, folded);
    }
    return folded;
  }
}
