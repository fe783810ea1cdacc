// In: a body that its client is still sending. Out: the stream that undici reads in its place, and how much may still come.
// Trusts: Node's framing of the body; not that the client stops sending when it has its answer.
import { PassThrough, type Readable } from "node:stream";
import { discardUpload } from "./discard-upload.ts";

export class Upload {
  /**
   * undici destroys a body stream when the tool fails. The client's own stream would take its socket along, and with it
   * the answer that says what went wrong; so undici gets this one.
   */
  readonly stream = new PassThrough();
  readonly #body: Readable;
  readonly #bytes: number;

  /** `bytes` is the declared length, infinite where the client declared none. */
  constructor(body: Readable, bytes = Number.POSITIVE_INFINITY) {
    this.#body = body;
    this.#bytes = bytes;
    this.stream.on("error", noop); // reported by undici as the exchange's own error
    body.pipe(this.stream);
  }

  /** Bytes that may still come. */
  rest(sentBytes: number): number {
    const body = this.#body;
    if (body.readableEnded || ("complete" in body && body.complete === true)) return 0;
    return this.#bytes - sentBytes;
  }

  /** The stream for undici gets no more of it. */
  detach(): void {
    this.#body.unpipe(this.stream);
  }

  /** `done` is called once, with whether the whole rest was read. */
  discard(done: (whole: boolean) => void): void {
    discardUpload(this.#body, done);
  }
}

function noop(): void {}
