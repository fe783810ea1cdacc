// In: the chunks of an event stream (HTML section 9.2.5) that passes as it is. Out: how one more event can be put behind them.
// Trusts: nothing. No event is read: only how the last line begins, which tells whether it may be ended here.

const CR = 0x0d;
const LF = 0x0a;
const FIELD = "data:";

export class EventPlace {
  #first = true;
  /** The first characters of the line that is not ended yet. */
  #line = "";

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#first = false;
    const end = Math.max(chunk.lastIndexOf(LF), chunk.lastIndexOf(CR));
    const before = end === -1 ? this.#line : "";
    const missing = FIELD.length - before.length;
    this.#line = before + chunk.toString("latin1", end + 1, Math.min(chunk.length, end + 1 + missing));
  }

  /**
   * What has to be written before another event. Null: the stream stands in a line that must not be ended. Half an `id` would
   * be another one, from which a client asks to go on. Half the data of a message is no JSON, and nobody takes it for one.
   */
  get ending(): string | null {
    if (this.#first) return "";
    // Two line breaks: the first may be the other half of one that is there, or end the half line.
    return this.#line === "" || this.#line === FIELD ? "\n\n" : null;
  }
}
