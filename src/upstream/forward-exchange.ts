// In: one judged exchange. Out: undici's callbacks turned into a streamed response and one outcome.
// Trusts: undici's order of callbacks; nothing that the tool sends.
import type { ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { type Denial, deny } from "../errors.ts";
import { watched } from "./answer-watch.ts";
import { BodyHash } from "./body-hash.ts";
import { checkResponseHead, declaredLength } from "./check-response-head.ts";
import { ClientResponse } from "./client-response.ts";
import { DenialError, failureOf } from "./failure-of.ts";
import type { CutOptions, ForwardHandle, ForwardOutcome, ForwardRequest } from "./forwarder.ts";
import {
  type HeaderPairs,
  type ParsedHeaders,
  requestHeaders,
  responseHeaders,
  trailerFields,
  withPair,
} from "./header-rules.ts";
import { EventFilter } from "./event-filter.ts";
import { EventPassage } from "./event-passage.ts";
import { EventPlace } from "./event-place.ts";
import { type KeptBytes, KeptResponse } from "./kept-response.ts";
import { isEventStream, isPlainEventStream, messageBodyOf } from "./message-filter.ts";
import { Upload } from "./upload.ts";
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
  readonly #client: ClientResponse;
  readonly #redact: readonly string[];
  readonly #startedAt = performance.now();
  readonly #requestBody = new BodyHash();
  readonly #responseBody = new BodyHash();
  readonly #keptBytes: KeptBytes;
  /** Set when the response is gathered to be redacted or filtered. */
  #kept: KeptResponse | null = null;
  /** Set when the events of the response are filtered as they come. */
  #events: EventPassage | null = null;
  /** Set when they pass as they are, and a last one may have to be put behind them. */
  #place: EventPlace | null = null;
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
  #informational = 0;
  /** Set when the response is withheld: the tool is followed to its outcome, the caller gets the denial. */
  #withheld: Denial | null = null;
  #queueTimer: NodeJS.Timeout | null = null;
  #upload: Upload | null = null;

  constructor(request: ForwardRequest, keptBytes: KeptBytes) {
    this.#request = request;
    this.#keptBytes = keptBytes;
    this.#response = request.response;
    this.#client = new ClientResponse(request.response);
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
    const own = target.credential === null ? identity : withPair(identity, target.credential);
    const headers = requestHeaders(rawHeaders, own, mayRedact === true || this.#redact.length > 0);
    this.#dispatched = true;
    target.pool.dispatch(
      {
        method,
        path: target.pathFor(path),
        headers,
        body: body instanceof Uint8Array ? body : this.#openUpload(headers),
      },
      watched(this, this.#request.watch),
    );
  }

  cut(denial: Denial, options?: CutOptions): void {
    if (this.#settled) return;
    const follow = options?.follow === true && this.#requestComplete && !this.#client.started;
    if (follow && !SAFE_METHODS.has(this.#request.method)) this.#withheld = denial;
    else this.#endEvents(denial);
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
    this.#contentLength = declaredLength(headers);
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
      const filter = new EventFilter(this.#request.redactBytesMax, this.#keptBytes, filterMessage, rules);
      this.#events = new EventPassage(filter, controller, this.#client, {
        write: (part) => this.#write(controller, part),
        refuse: (why) => this.#endEvents(why),
        end: () => {
          this.#end();
          this.#settle(null);
        },
        isOver: () => this.#settled,
      });
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
      this.#events.push(chunk);
    } else if (this.#responseBody.bytes === this.#contentLength) {
      // The last byte: one write instead of two, and the end follows in undici's next callback.
      this.#end(chunk);
    } else {
      this.#place?.push(chunk);
      this.#write(controller, chunk);
    }
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: ParsedHeaders): void {
    this.#giveTurnBack();
    if (this.#settled) return;
    if (this.#withheld !== null) return this.#settle(this.#withheld);
    if (this.#kept !== null) {
      this.#endKept(this.#kept).catch((error: Error) => this.onResponseError(null, error));
      return;
    }
    // undici does not go on while it is paused; should it ever, what waits still leaves first.
    if (this.#events?.end() === false) return;
    if (!this.#client.ended) {
      const fields = trailerFields(trailers ?? {});
      if (fields.length > 0 && this.#contentLength === -1) this.#response.addTrailers(fields);
      this.#end();
    }
    this.#settle(null);
  }

  /** Beside what else was answered in this turn of the event loop, in which this one may still be cut. */
  async #endKept(kept: KeptResponse): Promise<void> {
    await this.#keptBytes.turn();
    if (this.#withheld === null && !this.#settled) this.#sendRedacted(kept);
    else if (!this.#settled) this.#settle(this.#withheld);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    this.#giveTurnBack();
    if (this.#settled) return;
    this.#client.cut();
    this.#settle(this.#withheld ?? failureOf(error));
  }

  #giveTurnBack(): void {
    if (!this.#dispatched) return;
    this.#dispatched = false;
    this.#request.target.queue.leave();
  }

  #checkHead(status: number, headers: ParsedHeaders): Denial | null {
    const { responseBytesMax: bytesMax, redactBytesMax } = this.#request;
    const redacts = this.#redact.length > 0;
    return checkResponseHead(status, headers, {
      expected: this.#mayHaveBody(),
      bytesMax,
      redactBytesMax: redacts ? redactBytesMax : undefined,
    });
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
    if (streaming && this.#request.lastEvent !== undefined && isPlainEventStream(headers))
      this.#place = new EventPlace();
    this.#writeHead(out, streaming);
    // A stream's head must not wait for its first event; where body bytes came with the head, they leave together.
    if (streaming) process.nextTick(flushUnlessWritten, this.#client, this.#responseBody);
  }

  #writeHead(headers: string[], streaming: boolean): void {
    const status = this.#status as number;
    this.#request.onResponseStart?.(status, streaming);
    this.#client.writeHead(status, headers, this.#uploadRest());
  }

  #sendRedacted(kept: KeptResponse): void {
    const changed = kept.changed(this.#redact, this.#request.filterMessage);
    if ("reason" in changed) this.#settle(changed);
    else if ("ready" in changed) void changed.ready.then((denial) => this.#sendWhole(kept, changed.data, denial));
    else this.#sendWhole(kept, changed, null);
  }

  #sendWhole(kept: KeptResponse, body: Buffer, denial: Denial | null): void {
    const refused = this.#withheld ?? denial;
    if (!this.#settled && refused !== null) this.#settle(refused);
    if (this.#settled) return;
    const out = responseHeaders(kept.headers, this.#request.responseHeaders ?? NO_HEADERS, true);
    out.push("content-length", String(body.length));
    this.#writeHead(out, false);
    this.#end(body);
    this.#settle(null);
  }

  #end(chunk?: Buffer): void {
    this.#client.end(chunk, this.#uploadRest());
  }

  /** A caller that does not read holds a connection and buffers: its patience is the same as a silent tool's. */
  #write(controller: Dispatcher.DispatchController, chunk: Buffer): boolean {
    if (this.#client.write(chunk)) return true;
    controller.pause();
    const resume = (): void => {
      if (!this.#settled && this.#events?.holds !== true) controller.resume();
    };
    const denial = deny("exchange.client_closed", "the client stopped reading");
    this.#client.whenRead(this.#request.target.bodyIdleTimeoutMs, resume, () => this.#fail(denial));
    return false;
  }

  #openUpload(headers: string[]): Readable | null {
    const { body, bodyLength } = this.#request;
    if (body === null || body instanceof Uint8Array) return null;
    if (bodyLength !== undefined) headers.push("content-length", String(bodyLength));
    this.#upload = new Upload(body, bodyLength);
    return this.#upload.stream;
  }

  #uploadRest(): number {
    return this.#upload === null ? 0 : this.#upload.rest(this.#requestBody.bytes);
  }

  readonly #onClientClose = (): void => {
    // A write that is followed to its outcome is not the client's to break off any more.
    if (this.#withheld !== null) return;
    if (!this.#settled && !this.#client.ended) this.#fail(deny("exchange.client_closed"));
  };

  /** As `#fail`, of a response that may be a stream of events. */
  #endEvents(denial: Denial): void {
    // What the filter lets out are whole events.
    const ending = this.#events === null ? (this.#place?.ending ?? null) : "";
    if (ending !== null) {
      const last = (): string | undefined => this.#request.lastEvent?.(denial);
      this.#client.endWithEvent(ending, last, this.#request.target.bodyIdleTimeoutMs);
    }
    this.#fail(denial);
  }

  /** Ends the exchange on both sides. */
  #fail(denial: Denial): void {
    if (this.#settled) return;
    this.#client.cut();
    this.#settle(denial);
    this.#controller?.abort(new DenialError(denial));
    this.#upload?.stream.destroy();
  }

  #settle(failure: Denial | null): void {
    this.#settled = true;
    this.#response.off("close", this.#onClientClose);
    if (this.#queueTimer !== null) {
      clearTimeout(this.#queueTimer);
      this.#request.target.queue.abandon(this);
    }
    this.#client.giveUpWaiting();
    this.#kept?.release();
    this.#events?.release();
    if (this.#upload !== null) this.#client.leaveUpload(this.#upload, this.#requestBody.bytes);
    this.#resolve({
      sent: this.#sent,
      requestComplete: this.#requestComplete,
      status: this.#status,
      failure,
      responseStarted: this.#client.started,
      requestBytes: this.#requestBody.bytes,
      responseBytes: this.#responseBody.bytes,
      requestSha256: this.#requestBody.hex(),
      responseSha256: this.#responseBody.hex(),
      upstreamMs: this.#upstreamMs,
    });
  }
}

function flushUnlessWritten(client: ClientResponse, body: BodyHash): void {
  if (body.bytes === 0) client.flushHead();
}

function noop(): void {}
