// In: the head and the body's chunks of a response to redact or to filter. Out: its changed body, or why there is none.
// Trusts: nothing that the tool sends, neither its length nor the size of its chunks.
//
// Redaction reads a document whole and in one go: its size is the time for which nothing else runs on the thread, and
// what is kept until the document is whole is memory that a tool decides about.
import { type Denial, deny, type Reason } from "../errors.ts";
import type { FilterData, HeldData } from "./event-filter.ts";
import type { ParsedHeaders } from "./header-rules.ts";
import { createLoopTurn } from "../lib/loop-turn.ts";
import { redactJson } from "./redact-json.ts";

/** For all responses of a thread that are being gathered: 32 documents of the default `redact_bytes_max`. */
export const KEPT_BYTES_MAX = 67_108_864;

/** A chunk costs its object and its place besides its bytes: a body sent byte by byte would hold a hundredfold. */
export const CHUNK_OVERHEAD_BYTES = 256;

/** What all responses that are gathered on one thread hold together. */
export class KeptBytes {
  #bytes = 0;

  take(bytes: number): boolean {
    if (this.#bytes + bytes > KEPT_BYTES_MAX) return false;
    this.#bytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Those that are whole are changed in a row, at the end of a turn of the event loop. */
  readonly turn = createLoopTurn();
}

export class KeptResponse {
  readonly headers: ParsedHeaders;
  readonly #all: KeptBytes;
  readonly #bytesMax: number;
  readonly #refusal: Reason;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #held = 0;

  /** `refusal`: why one that is too large does not pass. */
  constructor(headers: ParsedHeaders, bytesMax: number, all: KeptBytes, refusal: Reason = "upstream.cannot_redact") {
    this.#refusal = refusal;
    this.headers = headers;
    this.#bytesMax = bytesMax;
    this.#all = all;
  }

  /** The denial where this chunk is too much. */
  add(chunk: Buffer): Denial | null {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#bytesMax) return tooLargeToRedact(this.#refusal);
    const held = chunk.length + CHUNK_OVERHEAD_BYTES;
    if (!this.#all.take(held)) return deny("gateway.overloaded", "responses to redact hold too many bytes");
    this.#held += held;
    this.#chunks.push(chunk);
    return null;
  }

  /** Redacted first, then filtered. The denial where the body is no document of which that can be done; an empty body stays empty. */
  changed(pointers: readonly string[], filter: FilterData | undefined): Buffer | HeldData | Denial {
    const whole = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
    if (whole.length === 0) return whole;
    const redacted = pointers.length === 0 ? whole : redactJson(whole, pointers);
    if (redacted === null) return deny("upstream.cannot_redact", "not strict JSON");
    return filter === undefined ? redacted : (filter(redacted) ?? deny("upstream.cannot_filter", "not one message"));
  }

  release(): void {
    this.#all.giveBack(this.#held);
    this.#held = 0;
    this.#chunks = [];
  }
}

export function tooLargeToRedact(reason: Reason = "upstream.cannot_redact"): Denial {
  return deny(reason, "larger than redact_bytes_max");
}
