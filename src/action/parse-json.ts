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

/** One pass over the text that checks what `JSON.parse` lets through. Returns the first fault. */
function scan(text: string, depthMax: number): Denial | null {
  // One entry for each open container: the folded names seen in an object, or null for an array.
  const open: (Set<string> | null)[] = [];
  let at = 0;
  let expectKey = false;
  while (at < text.length) {
    const char = text.charCodeAt(at);
    if (char === 0x22) {
      const end = endOfString(text, at);
      if (end === -1) return deny("body.malformed", "unterminated string");
      const raw = text.slice(at + 1, end);
      const value = raw.includes("\\") ? unescape(raw) : raw;
      if (value === null || !value.isWellFormed()) return deny("body.malformed", "a broken or lone-surrogate string");
      if (expectKey) {
        const keys = open.at(-1);
        const fault = keys ? addKey(keys, value) : null;
        if (fault !== null) return fault;
        expectKey = false;
      }
      at = end + 1;
    } else if (char === 0x7b || char === 0x5b) {
      if (open.length >= depthMax) return deny("body.too_deep");
      open.push(char === 0x7b ? new Set() : null);
      expectKey = char === 0x7b;
      at++;
    } else if (char === 0x7d || char === 0x5d) {
      open.pop();
      expectKey = false;
      at++;
    } else if (char === 0x2c) {
      expectKey = open.at(-1) instanceof Set;
      at++;
    } else if (char === 0x2d || (char >= 0x30 && char <= 0x39)) {
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

const ASCII = /^[\u0000-\u007f]*$/;

/**
 * Parsers that ignore case (Go's among them) fold all of Unicode: U+017F is an `s` to them, U+212A a `k`. Lower case
 * comes first too: the capital U+1E9E is its own upper case, while its small letter `ß` has the upper case `SS`.
 */
function fold(key: string): string {
  return ASCII.test(key) ? key.toLowerCase() : key.toLowerCase().toUpperCase().toLowerCase();
}

function addKey(keys: Set<string>, key: string): Denial | null {
  const folded = fold(key);
  if (folded === FORBIDDEN_KEY) return deny("body.forbidden_key", "a prototype name");
  if (keys.has(folded)) return deny("body.duplicate_key", "a member name occurs twice, or in two spellings of case");
  keys.add(folded);
  return null;
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === 0x5c) at++;
    else if (char === 0x22) return at;
  }
  return -1;
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
  if (number.length <= 15 && !/[eE]/.test(number)) return !/^-0(?:\.0+)?$/.test(number);
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
