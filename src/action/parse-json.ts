// In: the bytes of a request body. Out: its JSON value and text, or a denial. Trusts nothing.
// Stricter than RFC 8259, so that every later parser reads the same value: I-JSON (RFC 7493) names and numbers.
import { type Denial, deny, type Reason } from "../errors.ts";
import { err, ok, type Result } from "../lib/result.ts";

export interface ParsedJson {
  readonly value: unknown;
  /** The body as text: byte for byte what was judged, fit to be spliced into a larger JSON text. */
  readonly text: string;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The name that changes a prototype when a careless upstream copies it. */
const FORBIDDEN_KEY = "__proto__";

/** Decimal digits that always survive a double. */
const EXACT_DIGITS = 15;
/** Member names of an object that are looked through one by one. */
const FEW_NAMES = 8;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

/**
 * Parses strictly: UTF-8, no byte-order mark, no duplicate or case-variant member names, no prototype names, no lone
 * surrogates, no number that a double cannot carry unchanged, at most `depthMax` levels.
 */
export function parseJson(bytes: Uint8Array, depthMax: number): Result<ParsedJson, Denial> {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return fail("body.malformed", "not UTF-8");
  }
  const fault = scan(text, depthMax);
  if (fault !== null) return err(fault);
  try {
    return ok({ value: JSON.parse(text), text });
  } catch {
    return fail("body.malformed", "not JSON");
  }
}

/** One pass over the text, which came from UTF-8, that checks what `JSON.parse` lets through. Returns the first fault. */
function scan(text: string, depthMax: number): Denial | null {
  // One entry for each open container: null for an array. Names of a depth are used again: bodies have many small objects.
  const open: (Names | null)[] = [];
  const unused: Names[] = [];
  let at = 0;
  let expectKey = false;
  /** The first backslash at or behind the string that is read; a string without one needs no second look. */
  let escape = text.indexOf("\\");
  while (at < text.length) {
    const char = text.charCodeAt(at);
    if (char === 0x22) {
      if (escape !== -1 && escape < at) escape = text.indexOf("\\", at);
      let end = text.indexOf('"', at + 1);
      let value: string | null = null;
      if (escape !== -1 && escape < end) {
        end = endOfString(text, at);
        value = end === -1 ? null : unescape(text.slice(at + 1, end));
        // Only an escape can write half of a surrogate pair.
        if (end !== -1 && value?.isWellFormed() !== true)
          return deny("body.malformed", "a broken or lone-surrogate string");
      }
      if (end === -1) return deny("body.malformed", "unterminated string");
      if (expectKey) {
        const fault = open.at(-1)?.add(value ?? text.slice(at + 1, end)) ?? null;
        if (fault !== null) return fault;
        expectKey = false;
      }
      at = end + 1;
    } else if (char === 0x7b || char === 0x5b) {
      if (open.length >= depthMax) return deny("body.too_deep");
      open.push(char === 0x7b ? (unused.pop() ?? new Names()) : null);
      expectKey = char === 0x7b;
      at++;
    } else if (char === 0x7d || char === 0x5d) {
      const names = open.pop();
      if (names) unused.push(names.clear());
      expectKey = false;
      at++;
    } else if (char === 0x2c) {
      expectKey = (open.at(-1) ?? null) !== null;
      at++;
    } else if (char === 0x2d || (char >= 0x30 && char <= 0x39)) {
      const end = endOfInteger(text, at);
      if (end !== -1) {
        at = end;
        continue;
      }
      NUMBER.lastIndex = at;
      const number = NUMBER.exec(text)?.[0];
      if (number === undefined) return deny("body.malformed", "a broken number");
      if (!survives(number)) return deny("body.number", "not exactly a double");
      at += number.length;
    } else {
      at++;
    }
  }
  return null;
}

/** The member names of one open object, folded. */
class Names {
  /** Nearly all objects have few, which are compared faster than hashed. */
  readonly #few: string[] = [];
  #count = 0;
  #many: Set<string> | null = null;

  add(name: string): Denial | null {
    const folded = isFolded(name) ? name : fold(name);
    if (folded === FORBIDDEN_KEY) return deny("body.forbidden_key", "a prototype name");
    if (this.#has(folded)) return deny("body.duplicate_key", "a member name occurs twice, or in two spellings of case");
    if (this.#count < FEW_NAMES) this.#few[this.#count] = folded;
    else (this.#many ??= new Set(this.#few)).add(folded);
    this.#count++;
    return null;
  }

  clear(): this {
    this.#count = 0;
    this.#many = null;
    return this;
  }

  #has(folded: string): boolean {
    if (this.#many !== null) return this.#many.has(folded);
    for (let index = 0; index < this.#count; index++) if (this.#few[index] === folded) return true;
    return false;
  }
}

const ASCII = /^[\u0000-\u007f]*$/;

/**
 * Parsers that ignore case (Go's among them) fold all of Unicode: U+017F is an `s` to them, U+212A a `k`. Lower case
 * comes first too: the capital U+1E9E is its own upper case, while its small letter `ß` has the upper case `SS`.
 */
function fold(key: string): string {
  return ASCII.test(key) ? key.toLowerCase() : key.toLowerCase().toUpperCase().toLowerCase();
}

/** Small ASCII letters, and what is no letter: a name that is its own folding, as nearly all are. */
function isFolded(name: string): boolean {
  for (let at = 0; at < name.length; at++) {
    const char = name.charCodeAt(at);
    if (char >= 0x80 || (char >= 0x41 && char <= 0x5a)) return false;
  }
  return true;
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === 0x5c) at++;
    else if (char === 0x22) return at;
  }
  return -1;
}

/** The end of digits that are a number as they stand and that a double carries; -1 for all others, which are looked at whole. */
function endOfInteger(text: string, start: number): number {
  let at = start;
  let char = text.charCodeAt(at);
  while (char >= 0x30 && char <= 0x39) char = text.charCodeAt(++at);
  const isMore = char === 0x2e || char === 0x65 || char === 0x45;
  return at === start || at > start + EXACT_DIGITS || isMore ? -1 : at;
}

function unescape(raw: string): string | null {
  try {
    return JSON.parse(`"${raw}"`) as string;
  } catch {
    return null;
  }
}

/** Whether parsing and printing gives back the same decimal value: 1.0 and 1e2 do, 9007199254740993 and 1e400 do not. */
export function survives(number: string): boolean {
  // Up to 15 significant digits always survive a double; only longer or scaled numbers need the exact comparison.
  if (number.length <= EXACT_DIGITS && !/[eE]/.test(number)) return !/^-0(?:\.0+)?$/.test(number);
  const value = Number(number);
  if (!Number.isFinite(value) || Object.is(value, -0)) return false;
  return normalise(number) === normalise(String(value));
}

/** Decimal text to sign, digits without outer zeros, and exponent: equal texts are equal numbers. */
function normalise(number: string): string {
  const match = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/.exec(number);
  if (match === null) return `?${number}`;
  const fraction = match[3] ?? "";
  const digits = `${match[2]}${fraction}`;
  const stripped = digits.replace(/^0+/, "");
  const significant = stripped.replace(/0+$/, "");
  if (significant === "") return "0";
  const exponent = Number(match[4] ?? 0) - fraction.length + (stripped.length - significant.length);
  return `${match[1]}${significant}e${exponent}`;
}

function fail(reason: Reason, detail: string): Result<never, Denial> {
  return err(deny(reason, detail));
}
