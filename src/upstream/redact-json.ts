// In: the bytes of a JSON document and JSON pointers. Out: the same bytes without those values, or null.
// Trusts: nothing; what does not parse strictly as UTF-8 JSON is not redacted in part but refused.
//
// The document is parsed for its strictness alone. What is removed is cut out of its text, so that everything else
// leaves as it came: the text of each number, the order of members, white space. Of a name that stands twice, both go.
import { isAscii, isUtf8 } from "node:buffer";

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

type Path = readonly string[];

/** The reference tokens of a pointer (RFC 6901 section 4); null where it is not one, or names the whole document. */
export function parsePointer(pointer: string): string[] | null {
  if (!pointer.startsWith("/") || /~(?![01])/.test(pointer)) return null;
  return pointer
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** Removes every pointed-at value; one that is absent is no error. Null: malformed document or pointer. */
export function redactJson(body: Uint8Array, pointers: readonly string[]): Buffer | null {
  const paths: Path[] = [];
  for (const pointer of pointers) {
    const path = parsePointer(pointer);
    if (path === null) return null;
    paths.push(path);
  }
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const encoding = isAscii(bytes) ? "latin1" : "utf8";
  if (encoding === "utf8" && !isUtf8(bytes)) return null;
  const text = bytes.toString(encoding);
  try {
    JSON.parse(text);
  } catch {
    return null; // not JSON
  }
  const cutter = new Cutter(text);
  cutter.value(skipSpace(text, 0), paths, 0);
  return cutter.cut ? Buffer.from(cutter.rest(), encoding) : bytes;
}

/** Walks along the pointers and no deeper: all other values are skipped without a call for each level. */
class Cutter {
  readonly #text: string;
  #kept = "";
  #keptTo = 0;
  cut = false;

  constructor(text: string) {
    this.#text = text;
  }

  rest(): string {
    return this.#kept + this.#text.slice(this.#keptTo);
  }

  #remove(start: number, end: number): void {
    this.cut = true;
    this.#kept += this.#text.slice(this.#keptTo, start);
    this.#keptTo = end;
  }

  /** The value at `at`, to which the first `depth` tokens of `paths` lead. Returns its end. */
  value(at: number, paths: readonly Path[], depth: number): number {
    const open = this.#text.charCodeAt(at);
    if (paths.length === 0 || (open !== OPEN_BRACE && open !== OPEN_BRACKET)) return skipValue(this.#text, at);
    const isArray = open === OPEN_BRACKET;
    let start = skipSpace(this.#text, at + 1);
    /** End of the element before, and start of the first one of a run that nothing kept stands in front of. */
    let before = -1;
    let run = -1;
    let keptOne = false;
    for (let index = 0; !isClose(this.#text.charCodeAt(start)); index += 1) {
      if (run >= 0) this.#remove(run, start);
      run = -1;
      const nameEnd = isArray ? start : skipString(this.#text, start);
      const name = isArray ? String(index) : this.#name(start, nameEnd);
      const valueStart = isArray ? start : skipSpace(this.#text, skipSpace(this.#text, nameEnd) + 1);
      const inner = paths.filter((path) => path[depth] === name);
      let end: number;
      if (inner.some((path) => path.length === depth + 1)) {
        end = skipValue(this.#text, valueStart);
        if (keptOne) this.#remove(before, end);
        else run = start;
      } else {
        end = this.value(valueStart, inner, depth + 1);
        keptOne = true;
      }
      before = end;
      start = skipSpace(this.#text, end);
      if (this.#text.charCodeAt(start) === COMMA) start = skipSpace(this.#text, start + 1);
    }
    if (run >= 0) this.#remove(run, before);
    return start + 1;
  }

  #name(start: number, end: number): string {
    const raw = this.#text.slice(start + 1, end - 1);
    return raw.includes("\\") ? (JSON.parse(`"${raw}"`) as string) : raw;
  }
}

function isClose(code: number): boolean {
  return code === CLOSE_BRACE || code === CLOSE_BRACKET;
}

/** RFC 8259 section 2: space, tab, line feed, carriage return. */
export function skipSpace(text: string, from: number): number {
  let at = from;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0d) return at;
    at += 1;
  }
}

/** `at` is the opening quote; returns what follows the closing one. */
export function skipString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); ; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return end + 1;
  }
}

export function skipValue(text: string, from: number): number {
  let depth = 0;
  let at = from;
  do {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = skipString(text, at);
      continue;
    }
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth += 1;
    else if (isClose(code)) depth -= 1;
    at += 1;
    // The end of a number or of a literal is what cannot be a part of one.
  } while (depth > 0 || !endsValue(text, from, at));
  return at;
}

/** Outside of all brackets: a string or a container ends with its last character, anything else at a delimiter. */
function endsValue(text: string, from: number, at: number): boolean {
  const first = text.charCodeAt(from);
  if (first === QUOTE || first === OPEN_BRACE || first === OPEN_BRACKET || at >= text.length) return true;
  const code = text.charCodeAt(at);
  return code === COMMA || isClose(code) || code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
}
