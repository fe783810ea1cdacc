// In: a head, bytes and an end. Out: an answer that goes at the pace of its client, and looks complete only where it is.
// Trusts: Node's writing of HTTP; not that the client reads, nor that it stops sending.
import type { ServerResponse } from "node:http";
import { DISCARD_BYTES_MAX } from "./discard-upload.ts";
import type { Upload } from "./upload.ts";

export class ClientResponse {
  /** The head is out: a failure can be answered no more. */
  started = false;
  /** All is written that will be. */
  ended = false;
  readonly #response: ServerResponse;
  /** The answer says `Connection: close`: what may be left of the upload is too much to be read. */
  #closing = false;
  /** Its end is held back until the client has had time to read it. */
  #endHeld = false;
  #stallTimer: NodeJS.Timeout | null = null;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  /** `uploadRest`: the bytes that the client may still send. */
  writeHead(status: number, headers: string[], uploadRest: number): void {
    this.started = true;
    if (uploadRest > DISCARD_BYTES_MAX) {
      this.#closing = true;
      headers.push("connection", "close");
    }
    this.#response.writeHead(status, headers);
  }

  flushHead(): void {
    if (!this.#response.writableEnded && !this.#response.destroyed) this.#response.flushHeaders();
  }

  /** Whether more may come at once; else `whenRead` says when. */
  write(chunk: Buffer): boolean {
    return this.#response.write(chunk);
  }

  /** One of the two is called, unless the wait is given up before. */
  whenRead(limitMs: number, onRead: () => void, onStall: () => void): void {
    this.#stallTimer ??= setTimeout(onStall, limitMs);
    this.#response.once("drain", () => {
      this.giveUpWaiting();
      onRead();
    });
  }

  giveUpWaiting(): void {
    if (this.#stallTimer !== null) clearTimeout(this.#stallTimer);
    this.#stallTimer = null;
  }

  end(chunk: Buffer | undefined, uploadRest: number): void {
    this.ended = true;
    // Node closes a connection at the end of its last answer, and what the client still sends would then reset it.
    this.#endHeld = this.#closing && uploadRest > 0;
    if (!this.#endHeld) this.#response.end(chunk);
    else if (chunk !== undefined) this.#response.write(chunk);
  }

  /**
   * Says in a last event why no more come. A client that does not read gets none: it would hold the connection.
   * `ending`: of what is not a whole event yet.
   */
  endWithEvent(ending: string, data: () => string | undefined, limitMs: number): void {
    const { socket, writableNeedDrain } = this.#response;
    const last = writableNeedDrain ? undefined : data();
    if (last === undefined || socket === null || !this.started || this.ended) return;
    this.#response.write(`${ending}data: ${last}\n\n`, () => socket.destroySoon());
    // Not the end that a whole answer has: for who counts chunks, it is a cut one still.
    this.ended = true;
    const impatient = setTimeout(() => socket.destroy(), limitMs);
    socket.once("close", () => clearTimeout(impatient));
  }

  /** What has started and is not whole must not look so: its socket is destroyed. */
  cut(): void {
    if (!this.started || this.ended) return;
    const { socket, req } = this.#response;
    // Before HTTP/1.1 the end of the connection is the end of the body: only a reset says otherwise.
    if (req.httpVersionMinor === 0 && socket !== null && !("encrypted" in socket)) socket.resetAndDestroy();
    this.#response.destroy();
  }

  /** The answer is there, from the tool or from the gateway, and the client may still be sending. */
  leaveUpload(upload: Upload, sentBytes: number): void {
    upload.detach();
    const { socket, destroyed } = this.#response;
    if (destroyed || socket === null) return;
    const done = (whole: boolean): void => {
      if (this.#endHeld) this.#response.end();
      else if (!whole) socket.destroySoon();
    };
    if (upload.rest(sentBytes) === 0) done(true);
    else upload.discard(done);
  }
}
