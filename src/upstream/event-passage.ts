// In: the chunks of an event stream, and the filter of its events. Out: each event at the client as soon as it may leave.
// Many tiny events come in one chunk, and each is a question to the policy: others have their turn in between.
// Trusts: undici, not to go on while it is paused. One event at a time may wait; what is behind it waits in the tool's socket.
import type { Denial } from "../errors.ts";
import type { ClientResponse } from "./client-response.ts";
import type { EventFilter, HeldEvent } from "./event-filter.ts";

export interface PassageEnds {
  /** False where the client is behind: who writes has paused the tool then, and resumes it. */
  write(chunk: Buffer): boolean;
  /** An event must not pass: the stream ends. */
  refuse(denial: Denial): void;
  /** What `end` was asked for and had to wait. */
  end(): void;
  isOver(): boolean;
}

/** Of undici's. */
interface Tool {
  pause(): void;
  resume(): void;
}

export class EventPassage {
  readonly #filter: EventFilter;
  readonly #tool: Tool;
  readonly #client: ClientResponse;
  readonly #ends: PassageEnds;
  #endsBehind = false;
  /** An event waits until it may leave. */
  holds = false;

  constructor(filter: EventFilter, tool: Tool, client: ClientResponse, ends: PassageEnds) {
    this.#filter = filter;
    this.#tool = tool;
    this.#client = client;
    this.#ends = ends;
  }

  /** False where the client is behind. */
  push(chunk: Buffer): boolean {
    const out = this.#filter.push(chunk);
    if ("reason" in out) this.#ends.refuse(out);
    else if ("ready" in out) this.#hold(out);
    else if (out.length === 0) this.#client.flushHead();
    else return this.#ends.write(out);
    return true;
  }

  /** The tool's stream is over. False where an event still waits. */
  end(): boolean {
    this.#endsBehind = this.holds;
    return !this.holds;
  }

  release(): void {
    this.#filter.release();
  }

  #hold({ before, data, ready, rest }: HeldEvent): void {
    this.holds = true;
    this.#tool.pause();
    if (before.length === 0) this.#client.flushHead();
    else this.#ends.write(before);
    void ready.then((denial) => {
      this.holds = false;
      if (this.#ends.isOver()) return;
      if (denial !== null) {
        this.#ends.refuse(denial);
        return;
      }
      let isRead = data.length === 0 || this.#ends.write(data);
      if (rest.length > 0) isRead = this.push(rest) && isRead;
      if (this.holds || this.#ends.isOver()) return;
      if (this.#endsBehind) this.#ends.end();
      // Last: undici may give what it has at once.
      else if (isRead) this.#tool.resume();
    });
  }
}
