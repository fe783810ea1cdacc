// In: the bytes of one side of a connection, as latin1. Out: the requests in them, and what speaks against the rest.
// Written from RFC 9112 alone, and strict: where the standard leaves a choice, the bytes are a fault, but for `CLIENT`.

export interface WireRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

export interface ReadBytes {
  readonly requests: readonly WireRequest[];
  /** What is wrong behind the last whole request; "" where nothing is, also where more bytes may come. */
  readonly fault: string;
  /** Where the last whole request ends. */
  readonly end: number;
}

export interface Dialect {
  /** What may stand in front of a request. */
  readonly before: RegExp;
  readonly requestLine: RegExp;
}

/** What the gateway may send: one space, twice, and nothing between two requests. */
export const GATEWAY: Dialect = {
  before: /^/,
  requestLine: /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP\/1\.([01])$/,
};
/**
 * What Node's parser takes from a client though it need not: ends of lines in front of a request (section 2.2), and more
 * than one space in its line (section 3). Neither can move where a request ends, and what is forwarded has none of it.
 */
export const CLIENT: Dialect = {
  before: /^[\r\n]*/,
  requestLine: /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) +([\x21-\x7e]+) +HTTP\/1\.([01])$/,
};
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;
const CHUNK_LINE = /^([0-9A-Fa-f]{1,8})(?:;[\t\x20-\x7e\x80-\xff]*)?$/;

class Fault extends Error {}
class NeedsMore extends Error {}

export function readRequests(bytes: string, dialect: Dialect): ReadBytes {
  const requests: WireRequest[] = [];
  let end = 0;
  try {
    for (;;) {
      const cursor = new Cursor(bytes, end);
      requests.push(readRequest(cursor, dialect));
      end = cursor.at;
    }
  } catch (error) {
    if (error instanceof NeedsMore) return { requests, fault: "", end };
    if (error instanceof Fault) return { requests, fault: error.message, end };
    throw error;
  }
}

function readRequest(cursor: Cursor, { before, requestLine }: Dialect): WireRequest {
  cursor.skip(before);
  const first = cursor.line();
  const [, method = "", target = "", minor = ""] = requestLine.exec(first) ?? fault(`request line ${first}`);
  const headers = readFields(cursor);
  const valuesOf = (wanted: string): string[] =>
    headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
  const lengths = valuesOf("content-length");
  const codings = valuesOf("transfer-encoding");
  if (valuesOf("host").length !== 1) fault("not one Host");
  if (lengths.length > 1 || codings.length > 1 || (lengths.length === 1 && codings.length === 1)) fault("two framings");
  const [length] = lengths;
  if (length !== undefined) {
    if (!/^\d{1,15}$/.test(length)) fault(`Content-Length ${length}`);
    return { method, target, headers, body: cursor.take(Number(length)) };
  }
  const [coding] = codings;
  if (coding === undefined) return { method, target, headers, body: "" };
  if (coding.toLowerCase() !== "chunked" || minor === "0") fault(`Transfer-Encoding ${coding}`);
  return { method, target, headers, body: readChunks(cursor) };
}

function readFields(cursor: Cursor): [string, string][] {
  const fields: [string, string][] = [];
  for (let line = cursor.line(); line !== ""; line = cursor.line()) {
    const [, name = "", value = ""] = FIELD_LINE.exec(line) ?? fault(`field line ${line}`);
    fields.push([name, value]);
  }
  return fields;
}

function readChunks(cursor: Cursor): string {
  let body = "";
  for (;;) {
    const line = cursor.line();
    const [, hex = ""] = CHUNK_LINE.exec(line) ?? fault(`chunk line ${line}`);
    const size = Number.parseInt(hex, 16);
    if (size === 0) break;
    body += cursor.take(size);
    if (cursor.take(2) !== "\r\n") fault("a chunk that does not end where it says");
  }
  readFields(cursor);
  return body;
}

function fault(what: string): never {
  throw new Fault(JSON.stringify(what));
}

class Cursor {
  readonly #bytes: string;
  at: number;

  constructor(bytes: string, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** A line that ends in CRLF; a bare CR or LF in it is a fault. */
  line(): string {
    const end = this.#bytes.indexOf("\n", this.at);
    const text = this.#bytes.slice(this.at, end === -1 ? undefined : end);
    if (end === -1) throw new NeedsMore();
    this.at = end + 1;
    if (!text.endsWith("\r") || text.indexOf("\r") !== text.length - 1) fault(`line end of ${text}`);
    return text.slice(0, -1);
  }

  skip(pattern: RegExp): void {
    this.at += pattern.exec(this.#bytes.slice(this.at))?.[0].length ?? 0;
  }

  take(length: number): string {
    const text = this.#bytes.slice(this.at, this.at + length);
    if (text.length < length) throw new NeedsMore();
    this.at += length;
    return text;
  }
}
