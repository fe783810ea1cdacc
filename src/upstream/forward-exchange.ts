// In: one judged exchange. Out: undici's callbacks turned into a streamed response and one outcome.
// Trusts: undici's order of callbacks; nothing that the tool sends.
import type { ServerResponse } from "node:http";
import { PassThrough } from "node:stream";
import type { Dispatcher } from "undici";
import { type Denial, deny } from "../errors.ts";
import { BodyHash } from "./body-hash.ts";
import { DISCARD_BYTES_MAX, discardUpload } from "./discard-upload.ts";
import { DenialError, failureOf } from "./failure-of.ts";
import type { CutOptions, ForwardHandle, ForwardOutcome, ForwardRequest } from "./forwarder.ts";
import {
  type HeaderPairs,
  type ParsedHeaders,
  requestHeaders,
  responseHeaders,
  trailerFields,
} from "./header-rules.ts";
import { checkRedactable } from "./check-redactable.ts";
import { EventFilter } from "./event-filter.ts";
import { type KeptBytes, KeptResponse, tooLargeToRedact } from "./kept-response.ts";
import { isEventStream, messageBodyOf } from "./message-filter.ts";
import type { Waiter } from "./wait-queue.ts";

/** 1xx answers before the real one: a tool that sends more keeps the headers timeout from ever passing. */
const INFORMATIONAL_MAX = 16;

/** Methods whose effect is followed to its outcome when a cut asks for it (RFC 9110 9.2.1). */
const SAFE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);

const NO_HEADERS: HeaderPairs = [];

export class ForwardExchange implements Dispatcher.DispatchHandler, ForwardHandle, Waiter {
  readonly done: Promise<ForwardOutcome>;
  readonly #request: ForwardRequest;
  readonly #response: ServerResponse;
  readonly #redact: readonly string[];
  readonly #startedAt = performance.now();
  readonly #requestBody = new BodyHash();
  readonly #responseBody = new BodyHash();
  readonly #keptBytes: KeptBytes;
  /** Set when the response is gathered to be redacted or filtered. */
  #kept: KeptResponse | null = null;
  /** Set when the events of the response are filtered as they come. */
  #events: EventFilter | null = null;
  #resolve: (outcome: ForwardOutcome) => void = noop;
  #controller: Dispatcher.DispatchController | null = null;
  #settled = false;
  /** Whether undici has the request: a turn of the target's queue is held until undici says that it let go. */
  #dispatched = false;
  #sent = false;
  #requestComplete = false;
  #status: number | null = null;
  #upstreamMs: number | null = null;
  #contentLength = -1;
  #responseStarted = false;
  #responseEnded = false;
  /** The answer says `Connection: close`: what may be left of the upload is too much to be read. */
  #closing = false;
  /** Its end is held back until the client has had time to read it. */
  #endHeld = false;
  #informational = 0;
  /** Set when the response is withheld: the tool is followed to its outcome, the caller gets the denial. */
  #withheld: Denial | null = null;
  #queueTimer: NodeJS.Timeout | null = null;
  #stallTimer: NodeJS.Timeout | null = null;
  #upload: PassThrough | null = null;

  constructor(request: ForwardRequest, keptBytes: KeptBytes) {
    this.#request = request;
    this.#keptBytes = keptBytes;
    this.#response = request.response;
    this.#redact = request.redact ?? [];
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get heldBytes(): number {
    const { body } = this.#request;
    return body instanceof Uint8Array ? body.length : 0;
  }

  start(): void {
    const { target, body } = this.#request;
    if (this.#response.destroyed || this.#response.closed) {
      this.#settle(deny("exchange.client_closed"));
      return;
    }
    const turn = target.queue.enter(this);
    if (turn === "full") {
      this.#settle(deny("gateway.overloaded", "too many wait for a connection to the tool"));
      return;
    }
    this.#response.on("close", this.#onClientClose);
    if (body !== null && !(body instanceof Uint8Array)) {
      body.on("error", () => this.#fail(deny("exchange.client_closed")));
    }
    if (turn === "now") {
      this.dispatch();
    } else {
      // The wait for a connection is bounded as the wait for an answer is.
      const denial = deny("upstream.timeout", "no connection became free");
      this.#queueTimer = setTimeout(() => this.#fail(denial), target.headersTimeoutMs);
    }
  }

  dispatch(): void {
    const { target, method, path, rawHeaders, body, identity, mayRedact } = this.#request;
    const own = target.credential === null ? identity : withCredential(identity, target.credential);
    const headers = requestHeaders(rawHeaders, own, mayRedact === true || this.#redact.length > 0);
    this.#dispatched = true;
    target.pool.dispatch(
      {
        method,
        path: target.pathFor(path),
        headers,
        body: body instanceof Uint8Array ? body : this.#openUpload(headers),
      },
      this,
    );
  }

  cut(denial: Denial, options?: CutOptions): void {
    if (this.#settled) return;
    const follow = options?.follow === true && this.#requestComplete && !this.#responseStarted;
    if (follow && !SAFE_METHODS.has(this.#request.method)) this.#withheld = denial;
    else this.#fail(denial);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#queueTimer !== null) clearTimeout(this.#queueTimer);
    // Thrown, not aborted: undici drops the request before its first byte and keeps the connection.
    if (this.#settled) throw new DenialError(deny("exchange.client_closed"));
    const denial = this.#request.beforeSend();
    if (denial !== null) throw new DenialError(denial);
    this.#controller = controller;
    this.#sent = true;
  }

  onBodySent(chunk: Buffer): void {
    this.#requestBody.add(chunk);
  }

  onRequestSent(): void {
    this.#requestComplete = true;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, fromTool: ParsedHeaders): void {
    if (status < 200) {
      this.#informational += 1;
      if (this.#informational > INFORMATIONAL_MAX)
        this.#fail(deny("upstream.protocol", "too many informational responses"));
      return;
    }
    this.#status = status;
    this.#upstreamMs = performance.now() - this.#startedAt;
    this.#controller = controller;
    const { mapHead, filterMessage, unreadable = "upstream.cannot_filter" } = this.#request;
    const headers = mapHead === undefined ? fromTool : mapHead(fromTool, status);
    const filtered =
      filterMessage !== undefined && this.#mayHaveBody() ? messageBodyOf(status, headers, unreadable) : "none";
    if (typeof filtered === "object") {
      this.#fail(filtered);
      return;
    }
    const denial = this.#checkHead(status, headers) ?? this.#checkEventStream(headers);
    if (denial !== null) {
      this.#fail(denial);
      return;
    }
    if (this.#withheld !== null) return;
    if (filtered === "events" && filterMessage !== undefined) {
      this.#contentLength = -1;
      // What comes again to a GET is redacted as that GET's own policy says; nobody is to ask for it who was not told how.
      const readsAll = unreadable !== "upstream.cannot_filter";
      const rules = { refusal: unreadable, withoutIds: readsAll && this.#request.method !== "GET" };
      this.#events = new EventFilter(this.#request.redactBytesMax, this.#keptBytes, filterMessage, rules);
    }
    if (filtered === "whole" || (this.#redact.length > 0 && this.#mayHaveBody())) {
      const refusal = unreadable === "response.not_judged" ? unreadable : "upstream.cannot_redact";
      this.#kept = new KeptResponse(headers, this.#request.redactBytesMax, this.#keptBytes, refusal);
    } else {
      this.#startResponse(headers);
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#settled) return;
    this.#responseBody.add(chunk);
    if (this.#responseBody.bytes > this.#request.responseBytesMax) {
      this.#endEvents(deny("upstream.response_too_large"));
    } else if (this.#withheld !== null) {
      return;
    } else if (this.#kept !== null) {
      const denial = this.#kept.add(chunk);
      if (denial !== null) this.#fail(denial);
    } else if (this.#events !== null) {
      const out = this.#events.push(chunk);
      if ("reason" in out) this.#endEvents(out);
      else if (out.length === 0) this.#response.flushHeaders();
      else if (!this.#response.write(out)) {
        controller.pause();
        this.#waitForClient(controller);
      }
    } else if (this.#responseBody.bytes === this.#contentLength) {
      // The last byte: one write instead of two, and the end follows in undici's next callback.
      this.#end(chunk);
    } else if (!this.#response.write(chunk)) {
      controller.pause();
      this.#waitForClient(controller);
    }
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: ParsedHeaders): void {
    this.#giveTurnBack();
    if (this.#settled) return;
    if (this.#withheld !== null) {
      this.#settle(this.#withheld);
      return;
    }
    if (this.#kept !== null) {
      this.#sendRedacted(this.#kept);
      return;
    }
    if (!this.#responseEnded) {
      const fields = trailerFields(trailers ?? {});
      if (fields.length > 0 && this.#contentLength === -1) this.#response.addTrailers(fields);
      this.#end();
    }
    this.#settle(null);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    this.#giveTurnBack();
    if (this.#settled) return;
    this.#endResponse();
    this.#settle(this.#withheld ?? failureOf(error));
  }

  #giveTurnBack(): void {
    if (!this.#dispatched) return;
    this.#dispatched = false;
    this.#request.target.queue.leave();
  }

  #checkHead(status: number, headers: ParsedHeaders): Denial | null {
    const coding = headers["transfer-encoding"];
    // undici undoes `chunked` only; another coding would be lost with the header that names it.
    if (coding !== undefined && String(coding).toLowerCase() !== "chunked")
      return deny("upstream.protocol", "transfer coding");
    const length = headers["content-length"];
    if (typeof length === "string" && coding === undefined) this.#contentLength = Number(length);
    if (this.#mayHaveBody() && this.#contentLength > this.#request.responseBytesMax)
      return deny("upstream.response_too_large");
    if (this.#redact.length === 0 || !this.#mayHaveBody()) return null;
    return this.#contentLength > this.#request.redactBytesMax ? tooLargeToRedact() : checkRedactable(status, headers);
  }

  #checkEventStream(headers: ParsedHeaders): Denial | null {
    const { beforeEventStream } = this.#request;
    if (beforeEventStream === undefined || !isEventStream(headers)) return null;
    return this.#mayHaveBody() && this.#withheld === null ? beforeEventStream() : null;
  }

  #mayHaveBody(): boolean {
    return this.#request.method !== "HEAD" && this.#status !== 204 && this.#status !== 304;
  }

  #changesBody(): boolean {
    return this.#redact.length > 0 || this.#events !== null;
  }

  #startResponse(headers: ParsedHeaders): void {
    const out = responseHeaders(headers, this.#request.responseHeaders ?? NO_HEADERS, this.#changesBody());
    const streaming = this.#contentLength === -1 && this.#mayHaveBody();
    this.#writeHead(out, streaming);
    // A stream's head must not wait for its first event; where body bytes came with the head, they leave together.
    if (streaming) process.nextTick(flushUnlessWritten, this.#response, this.#responseBody);
  }

  #writeHead(headers: string[], streaming: boolean): void {
    const status = this.#status as number;
    this.#request.onResponseStart?.(status, streaming);
    this.#responseStarted = true;
    if (this.#uploadRest() > DISCARD_BYTES_MAX) {
      this.#closing = true;
      headers.push("connection", "close");
    }
    this.#response.writeHead(status, headers);
  }

  #sendRedacted(kept: KeptResponse): void {
    const body = kept.changed(this.#redact, this.#request.filterMessage);
    if ("reason" in body) {
      this.#settle(body);
      return;
    }
    const out = responseHeaders(kept.headers, this.#request.responseHeaders ?? NO_HEADERS, true);
    out.push("content-length", String(body.length));
    this.#writeHead(out, false);
    this.#end(body);
    this.#settle(null);
  }

  #end(chunk?: Buffer): void {
    this.#responseEnded = true;
    // Node closes a connection at the end of its last answer, and what the client still sends would then reset it.
    this.#endHeld = this.#closing && this.#uploadRest() > 0;
    if (!this.#endHeld) this.#response.end(chunk);
    else if (chunk !== undefined) this.#response.write(chunk);
  }

  /** A caller that does not read holds a connection and buffers: its patience is the same as a silent tool's. */
  #waitForClient(controller: Dispatcher.DispatchController): void {
    const denial = deny("exchange.client_closed", "the client stopped reading");
    this.#stallTimer ??= setTimeout(() => this.#fail(denial), this.#request.target.bodyIdleTimeoutMs);
    this.#response.once("drain", () => {
      if (this.#stallTimer !== null) clearTimeout(this.#stallTimer);
      this.#stallTimer = null;
      if (!this.#settled) controller.resume();
    });
  }

  /**
   * undici destroys a body stream when the tool fails. The client's own stream would take its socket along, and with it
   * the answer that says what went wrong; so undici gets a stream between.
   */
  #openUpload(headers: string[]): PassThrough | null {
    const { body, bodyLength } = this.#request;
    if (body === null || body instanceof Uint8Array) return null;
    if (bodyLength !== undefined) headers.push("content-length", String(bodyLength));
    const upload = new PassThrough();
    this.#upload = upload;
    upload.on("error", noop); // reported by undici as the exchange's own error
    body.pipe(upload);
    return upload;
  }

  /** Bytes of the upload that may still come; infinite where the client declared no length. */
  #uploadRest(): number {
    const { body, bodyLength } = this.#request;
    if (this.#upload === null || body === null || body instanceof Uint8Array) return 0;
    if (body.readableEnded || ("complete" in body && body.complete === true)) return 0;
    return bodyLength === undefined ? Number.POSITIVE_INFINITY : bodyLength - this.#requestBody.bytes;
  }

  /** The answer is there, from the tool or from the gateway, and the client may still be sending. */
  #leaveUpload(): void {
    const { body } = this.#request;
    if (this.#upload === null || body === null || body instanceof Uint8Array) return;
    body.unpipe(this.#upload);
    const { socket, destroyed } = this.#response;
    if (destroyed || socket === null) return;
    const done = (whole: boolean): void => {
      if (this.#endHeld) this.#response.end();
      else if (!whole) socket.destroySoon();
    };
    if (this.#uploadRest() === 0) done(true);
    else discardUpload(body, done);
  }

  readonly #onClientClose = (): void => {
    // A write that is followed to its outcome is not the client's to break off any more.
    if (this.#withheld !== null) return;
    if (!this.#settled && !this.#responseEnded) this.#fail(deny("exchange.client_closed"));
  };

  /** Says in a last event why no more come. A client that does not read gets none: it would hold the connection. */
  #endEvents(denial: Denial): void {
    const { socket, writableNeedDrain } = this.#response;
    const last = this.#events === null || writableNeedDrain ? undefined : this.#request.lastEvent?.(denial);
    if (last !== undefined && socket !== null && this.#responseStarted) {
      this.#response.write(`data: ${last}\n\n`, () => socket.destroySoon());
      // Not the end that a whole answer has: for who counts chunks, it is a cut one still.
      this.#responseEnded = true;
      const impatient = setTimeout(() => socket.destroy(), this.#request.target.bodyIdleTimeoutMs);
      socket.once("close", () => clearTimeout(impatient));
    }
    this.#fail(denial);
  }

  /** Ends the exchange on both sides. */
  #fail(denial: Denial): void {
    if (this.#settled) return;
    this.#endResponse();
    this.#settle(denial);
    this.#controller?.abort(new DenialError(denial));
    this.#upload?.destroy();
  }

  /** A response that has started must not look complete: its socket is destroyed. */
  #endResponse(): void {
    if (!this.#responseStarted || this.#responseEnded) return;
    const { socket, req } = this.#response;
    // Before HTTP/1.1 the end of the connection is the end of the body: only a reset says otherwise.
    if (req.httpVersionMinor === 0 && socket !== null && !("encrypted" in socket)) socket.resetAndDestroy();
    this.#response.destroy();
  }

  #settle(failure: Denial | null): void {
    this.#settled = true;
    this.#response.off("close", this.#onClientClose);
    if (this.#queueTimer !== null) {
      clearTimeout(this.#queueTimer);
      this.#request.target.queue.abandon(this);
    }
    if (this.#stallTimer !== null) clearTimeout(this.#stallTimer);
    this.#kept?.release();
    this.#events?.release();
    this.#leaveUpload();
    this.#resolve({
      sent: this.#sent,
      requestComplete: this.#requestComplete,
      status: this.#status,
      failure,
      responseStarted: this.#responseStarted,
      requestBytes: this.#requestBody.bytes,
      responseBytes: this.#responseBody.bytes,
      requestSha256: this.#requestBody.hex(),
      responseSha256: this.#responseBody.hex(),
      upstreamMs: this.#upstreamMs,
    });
  }
}

function withCredential(identity: HeaderPairs, credential: readonly [string, string]): HeaderPairs {
  return [...identity.filter(([name]) => name !== credential[0]), credential];
}

function flushUnlessWritten(response: ServerResponse, body: BodyHash): void {
  if (body.bytes === 0 && !response.writableEnded && !response.destroyed) response.flushHeaders();
}

function noop(): void {}
