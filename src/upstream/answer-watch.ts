// In: undici's callbacks of one exchange, on their way to what writes them to the client. Out: the same callbacks, and word
// of when the request was sent and when its answer was there. Trusts: an honest server, to say once that it has answered.
import type { Dispatcher } from "undici";
import { AnswerFinder } from "./answer-finder.ts";
import type { ForwardExchange } from "./forward-exchange.ts";
import type { ParsedHeaders } from "./header-rules.ts";
import { isJson, isPlainEventStream } from "./message-filter.ts";

export interface AnswerWatch {
  /** Of the request, as text. */
  readonly id: string;
  /** A byte may have reached the tool. */
  sent(): void;
  /** Before the client can see the end of it. */
  answered(): void;
}

/** What a proxy in front of a server says, or 499 its log: the server may still be at work. */
const GIVEN_UP = new Set([408, 499, 502]);
/** Behind it stand 504 and what clouds have for their own impatience. */
const ERROR_STATUS_MAX = 503;

type Handler = Pick<
  ForwardExchange,
  | "onRequestStart"
  | "onBodySent"
  | "onRequestSent"
  | "onResponseStart"
  | "onResponseData"
  | "onResponseEnd"
  | "onResponseError"
>;

export function watched(inner: Handler, watch: AnswerWatch | undefined): Handler {
  return watch === undefined ? inner : new WatchedHandler(inner, watch);
}

class WatchedHandler implements Handler {
  readonly #inner: Handler;
  readonly #watch: AnswerWatch;
  #isWhole = false;
  #finder: AnswerFinder | null = null;

  constructor(inner: Handler, watch: AnswerWatch) {
    this.#inner = inner;
    this.#watch = watch;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // What it throws keeps the request from being sent.
    this.#inner.onRequestStart(controller);
    this.#watch.sent();
  }

  onBodySent(chunk: Buffer): void {
    this.#inner.onBodySent(chunk);
  }

  onRequestSent(): void {
    this.#inner.onRequestSent();
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: ParsedHeaders): void {
    if (status >= 200) {
      this.#finder = isPlainEventStream(headers) ? new AnswerFinder(this.#watch.id) : null;
      this.#isWhole = this.#finder === null && isAnswer(status, headers);
    }
    this.#inner.onResponseStart(controller, status, headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#finder?.push(chunk) === true) {
      this.#finder = null;
      this.#watch.answered();
    }
    this.#inner.onResponseData(controller, chunk);
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: ParsedHeaders): void {
    // A stream that ends without the answer was only broken off: the server may give it on another one.
    if (this.#isWhole) this.#watch.answered();
    this.#inner.onResponseEnd(controller, trailers);
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    this.#inner.onResponseError(controller, error);
  }
}

/** A JSON document, or the error that takes its place. */
function isAnswer(status: number, headers: ParsedHeaders): boolean {
  if (status < 300) return isJson(headers);
  return status >= 400 && status <= ERROR_STATUS_MAX && !GIVEN_UP.has(status);
}
