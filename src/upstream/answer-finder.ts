// In: the chunks of an event stream (HTML section 9.2.5) that passes as it is, and a request's id. Out: whether the answer to it
// was among its events. Trusts: an honest server to write JSON; of another one's stream nothing is found, or too much.
//
// An answer may be of any size, so none is kept: of each event's JSON only the members of the outermost object are, with 0
// for what is nested in them.

const CR = 0x0d;
const LF = 0x0a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = new Set([0x7b, 0x5b]);
const CLOSING = new Set([0x7d, 0x5d]);
const DATA = Buffer.from("data:");
/** An id has at most 1,024 characters, each of which may be written as an escape of six; beside it stand short names. */
const OUTLINE_CHARACTERS_MAX = 16_384;

export class AnswerFinder {
  readonly #id: string;
  #afterCr = false;
  #lineLength = 0;
  /** How much of `data:` the line began with. */
  #matched = 0;
  #outline = "";
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** `id`: as text; 7 and "7" are one. */
  constructor(id: string) {
    this.#id = id;
  }

  /** True once, with the chunk that ends the event. */
  push(chunk: Buffer): boolean {
    for (const byte of chunk) {
      const isSecondHalf = byte === LF && this.#afterCr;
      this.#afterCr = byte === CR;
      if (isSecondHalf) continue;
      if (byte !== CR && byte !== LF) this.#inLine(byte);
      else if (this.#lineLength === 0 && this.#isAnswer()) return true;
      else this.#endLine();
    }
    return false;
  }

  #inLine(byte: number): void {
    if (this.#matched === DATA.length) this.#read(byte);
    else if (this.#matched === this.#lineLength && byte === DATA[this.#matched]) this.#matched += 1;
    this.#lineLength += 1;
  }

  #endLine(): void {
    if (this.#lineLength === 0) {
      this.#outline = "";
      this.#depth = 0;
      this.#inString = false;
      this.#escaped = false;
    }
    this.#lineLength = 0;
    this.#matched = 0;
  }

  #read(byte: number): void {
    if (this.#inString) {
      this.#keep(byte);
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inString = false;
    } else if (OPENING.has(byte)) {
      this.#depth += 1;
      this.#keep(byte);
      if (this.#depth === 2) this.#outline += "0";
    } else if (CLOSING.has(byte)) {
      if (this.#depth === 1) this.#keep(byte);
      this.#depth -= 1;
    } else {
      this.#inString = byte === QUOTE;
      this.#keep(byte);
    }
  }

  #keep(byte: number): void {
    // What is cut off here is no JSON any more, and so no answer.
    if (this.#depth <= 1 && this.#outline.length < OUTLINE_CHARACTERS_MAX) this.#outline += String.fromCharCode(byte);
  }

  #isAnswer(): boolean {
    if (this.#outline === "") return false;
    let message: unknown;
    try {
      message = JSON.parse(Buffer.from(this.#outline, "latin1").toString("utf8"));
    } catch {
      return false;
    }
    if (typeof message !== "object" || message === null || !("id" in message) || "method" in message) return false;
    return ("result" in message || "error" in message) && String(message.id) === this.#id;
  }
}
