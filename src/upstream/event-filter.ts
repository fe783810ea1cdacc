// In: the chunks of an event stream (HTML section 9.2.5), and what to do with the data of one event. Out: the same events in
// the one framing that all readers read alike. Trusts: nothing; no more than one event is held, and that one is bounded.
//
// What is judged must be what is read. There are readers that end a line at LF alone, others also at what Unicode calls a
// line separator, and some drop the bytes of a byte order mark in a second encoding: to them a comment could hold data. So
// each line leaves with LF behind it, and beside data only the fields that there are, in ASCII.
import { type Denial, deny, type Reason } from "../errors.ts";
import { CHUNK_OVERHEAD_BYTES, type KeptBytes } from "./kept-response.ts";

const CR = 0x0d;
const LF = 0x0a;
const BYTE_ORDER_MARK = "\ufeff";
/** A comment or a field beside `data`. */
const OTHER_FIELD = /^(?:event|id|retry)?:[\t\x20-\x7e]*$|^(?:event|id|retry)$/;

/** What may leave once `ready` says so by null, and nothing behind it before. */
export interface HeldData {
  readonly data: Buffer;
  readonly ready: Promise<Denial | null>;
}

/** Null or a denial: the event must not pass, and so nothing behind it. */
export type FilterData = (data: Buffer) => Buffer | HeldData | Denial | null;

/** `before` may leave now, `data` is the event that waits, and `rest` is to be pushed once it has left. */
export interface HeldEvent extends HeldData {
  readonly before: Buffer;
  readonly rest: Buffer;
}

export interface EventRules {
  /** Why an event that is too large does not pass. */
  readonly refusal: Reason;
  /** Events leave without their `id`: nobody is told how to ask for them again. */
  readonly withoutIds: boolean;
}

const AS_THEY_ARE: EventRules = { refusal: "upstream.cannot_filter", withoutIds: false };

/** Of one turn of the event loop: a chunk of the smallest ones holds thousands, and each is a question to the policy. */
const EVENTS_AT_ONCE = 32;
const NOTHING = Buffer.alloc(0);

export class EventFilter {
  readonly #bytesMax: number;
  readonly #all: KeptBytes;
  readonly #filter: FilterData;
  readonly #rules: EventRules;
  #taken = 0;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #lineEmpty = true;
  #afterCr = false;
  #first = true;

  constructor(bytesMax: number, all: KeptBytes, filter: FilterData, rules = AS_THEY_ARE) {
    this.#bytesMax = bytesMax;
    this.#all = all;
    this.#filter = filter;
    this.#rules = rules;
  }

  /** What may leave now, perhaps nothing. What is left at the end of a stream is no event, and is dropped (9.2.6). */
  push(chunk: Buffer): Buffer | HeldEvent | Denial {
    const out: Buffer[] = [];
    let from = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at];
      if (byte === LF && this.#afterCr) {
        this.#afterCr = false;
        // The other half of the line break that ended the event before.
        if (this.#heldBytes === 0 && from === at) from = at + 1;
        continue;
      }
      this.#afterCr = byte === CR;
      if (byte !== LF && byte !== CR) {
        this.#lineEmpty = false;
        continue;
      }
      if (!this.#lineEmpty) {
        this.#lineEmpty = true;
        continue;
      }
      if (byte === CR && chunk[at + 1] === LF) {
        this.#afterCr = false;
        at += 1;
      }
      const event = this.#complete(chunk.subarray(from, at + 1));
      if ("reason" in event) return event;
      if ("ready" in event) return { ...event, before: Buffer.concat(out), rest: chunk.subarray(at + 1) };
      out.push(event);
      from = at + 1;
      if (out.length === EVENTS_AT_ONCE && from < chunk.length) {
        return { before: Buffer.concat(out), data: NOTHING, ready: nextTurn(), rest: chunk.subarray(from) };
      }
    }
    const denial = from < chunk.length ? this.#hold(chunk.subarray(from)) : null;
    if (denial !== null) return denial;
    return out.length === 1 ? (out[0] as Buffer) : Buffer.concat(out);
  }

  release(): void {
    this.#all.giveBack(this.#taken);
    this.#taken = 0;
    this.#held = [];
    this.#heldBytes = 0;
  }

  #hold(rest: Buffer): Denial | null {
    this.#heldBytes += rest.length;
    if (this.#heldBytes > this.#bytesMax) return this.#tooLarge();
    const held = rest.length + CHUNK_OVERHEAD_BYTES;
    if (!this.#all.take(held)) return deny("gateway.overloaded", "events to filter hold too many bytes");
    this.#taken += held;
    // A copy: a part of it would keep the whole chunk.
    this.#held.push(Buffer.from(rest));
    return null;
  }

  #complete(last: Buffer): Buffer | HeldData | Denial {
    if (this.#heldBytes + last.length > this.#bytesMax) return this.#tooLarge();
    const raw = this.#held.length === 0 ? last : Buffer.concat([...this.#held, last]);
    this.release();
    // Latin-1 keeps every byte; the names of fields and the ends of lines are ASCII.
    let text = raw.toString("latin1");
    if (this.#first && raw.toString("utf8").startsWith(BYTE_ORDER_MARK)) text = text.slice(3);
    this.#first = false;
    const lines = linesOf(text).filter((line) => isData(line) || this.#mayLeave(line));
    const before = Buffer.from(lines.filter(isData).map(dataOf).join("\n"), "latin1");
    const after = before.length === 0 ? before : this.#filter(before);
    if (after === null) return deny("upstream.cannot_filter", "an event is not one message");
    if ("reason" in after) return after;
    const data = "ready" in after ? after.data : after;
    const written = data.equals(before) ? lines : withData(lines, data.toString("latin1"));
    const event = Buffer.from(`${written.join("\n")}\n`, "latin1");
    return "ready" in after ? { data: event, ready: after.ready } : event;
  }

  #mayLeave(line: string): boolean {
    return line === "" || (OTHER_FIELD.test(line) && !(this.#rules.withoutIds && isId(line)));
  }

  #tooLarge(): Denial {
    return deny(this.#rules.refusal, "an event larger than redact_bytes_max");
  }
}

function nextTurn(): Promise<null> {
  return new Promise((resolve) => setImmediate(resolve, null));
}

/** Without their ends; the last one is empty, since it ends the event. */
function linesOf(event: string): string[] {
  return event.split(/\r\n|\r|\n/).slice(0, -1);
}

function isId(line: string): boolean {
  return /^id(?:$|:)/.test(line);
}

function isData(line: string): boolean {
  return /^data(?:$|:)/.test(line);
}

function dataOf(line: string): string {
  return line.replace(/^data:? ?/, "");
}

/** The other fields stay where they are; the new data stands where the first line of the old one stood. */
function withData(lines: readonly string[], data: string): string[] {
  const first = lines.findIndex(isData);
  const instead = data.split("\n").map((part) => `data: ${part}`);
  return lines.flatMap((line, at) => (at === first ? instead : isData(line) ? [] : [line]));
}
