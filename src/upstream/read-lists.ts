// In: the bytes of one JSON-RPC message, and the lists it may hold. Out: where they stand and what was read of each item, or
// null where the message could be read in two ways. Trusts: nothing that the tool sends. A function of the bytes alone, so
// that what was read of a message may be kept for the next one of the same bytes (kept-pages.ts).
import { isAscii, isUtf8 } from "node:buffer";
import { isObject } from "../lib/strict-json.ts";
import { skipSpace, skipString, skipValue } from "./redact-json.ts";

export interface ListShape {
  /** The member of `result` that holds the list. */
  readonly member: string;
  /** The member of an item that names it. */
  readonly key: string;
}

/** Places in the message, in bytes. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface ListItem<T> {
  readonly name: string;
  readonly facts: T;
}

export interface FoundList<S extends ListShape, T> extends Span {
  readonly shape: S;
  readonly elements: readonly Span[];
  /** One for each element; null where it has no name, or two: it is never shown. */
  readonly items: readonly (ListItem<T> | null)[];
  /** Those that have one. */
  readonly named: readonly ListItem<T>[];
}

export interface ListMessage<S extends ListShape, T> {
  /** In the order of the shapes that were asked for. */
  readonly lists: readonly FoundList<S, T>[];
  /** The value of `cacheScope` where it is `public`. */
  readonly publicScope: Span | undefined;
  /** The result's `nextCursor`, where it is a text. */
  readonly next: string | null;
}

/** What is to be known of an item; `text` is the item as the server wrote it, a part of the message's text. */
export type ReadItem<S extends ListShape, T> = (
  shape: S,
  name: string,
  value: Readonly<Record<string, unknown>>,
  text: string,
) => T;

interface Element extends Span {
  /** Its name may be another one to another reader. */
  readonly odd: boolean;
}
interface Name {
  readonly name: string;
  readonly folded: string;
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
/** A name that is what it is written as: ASCII without an escape. */
const PLAIN = /^[\x20-\x5b\x5d-\x7f]*$/;

/** Null: not one JSON object in UTF-8, or a member on the way to an item stands twice or in another spelling of case. */
export function readLists<S extends ListShape, T>(
  bytes: Buffer,
  shapes: readonly S[],
  read: ReadItem<S, T>,
): ListMessage<S, T> | null {
  const ascii = isAscii(bytes);
  if (!ascii && !isUtf8(bytes)) return null;
  const raw = bytes.toString("latin1");
  let message: unknown;
  try {
    message = JSON.parse(ascii ? raw : bytes.toString("utf8"));
  } catch {
    return null; // not JSON
  }
  if (!isObject(message)) return null;
  const places = new Walk(raw).places(shapes);
  if (places === null) return null;
  const result = message["result"];
  if (!isObject(result)) return { lists: [], publicScope: undefined, next: null };
  const textOf = ({ start, end }: Span): string => (ascii ? raw.slice(start, end) : bytes.toString("utf8", start, end));
  const lists = shapes.flatMap((shape) => {
    const place = places.lists.get(shape.member);
    if (place === undefined) return [];
    const values = result[shape.member] as readonly unknown[];
    const items = place.elements.map((element, index): ListItem<T> | null => {
      const value = values[index];
      const name = element.odd || !isObject(value) ? undefined : value[shape.key];
      return typeof name === "string" && isObject(value)
        ? { name, facts: read(shape, name, value, textOf(element)) }
        : null;
    });
    return [{ shape, ...place, items, named: items.filter((item) => item !== null) }];
  });
  const { nextCursor: next, cacheScope } = result;
  return {
    lists,
    publicScope: cacheScope === "public" ? places.scope : undefined,
    next: typeof next === "string" ? next : null,
  };
}

/**
 * One pass over a text that is known to be JSON: a list of hundreds of tools is read once, not once for each level. The text
 * has a character for each byte, so that a place in it is one in the bytes; what JSON is made of is ASCII.
 */
class Walk {
  readonly #text: string;
  /** The same few names stand in each item; by what is between the quotes. */
  readonly #names = new Map<string, Name>();
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
      const { name, folded } = this.#name(text.slice(at + 1, nameEnd - 1));
      const value = skipSpace(text, skipSpace(text, nameEnd) + 1);
      const one = wanted.find((candidate) => this.#name(candidate).folded === folded);
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

  #name(raw: string): Name {
    let known = this.#names.get(raw);
    if (known === undefined) {
      const name = PLAIN.test(raw) ? raw : (JSON.parse(`"${Buffer.from(raw, "latin1").toString("utf8")}"`) as string);
      known = { name, folded: fold(name) };
      this.#names.set(raw, known);
    }
    return known;
  }
}

/** Readers that ignore case fold all of Unicode; see action/parse-json.ts. */
function fold(name: string): string {
  return name.toLowerCase().toUpperCase().toLowerCase();
}
