// In: a judged exchange and its prepared target. Out: the tool's response, streamed to the caller, and an outcome.
// Trusts: the caller of `send` has judged method, path and body; nothing that the tool answers is trusted.
//
// Nothing is ever sent twice: no retry, no redirect, no silent reconnect, whatever the method is.
import type { ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import type { UpstreamConfig } from "../config/schema.ts";
import type { Denial } from "../errors.ts";
import type { AnswerWatch } from "./answer-watch.ts";
import type { FilterData } from "./event-filter.ts";
import { ForwardExchange } from "./forward-exchange.ts";
import type { ParsedHeaders } from "./header-rules.ts";
import { KeptBytes } from "./kept-response.ts";
import type { Unreadable } from "./message-filter.ts";
import { createTargetFactory, type UpstreamTarget } from "./target.ts";

export interface ForwarderOptions {
  /** Called for each connection to a tool that was opened or closed; for the metrics. */
  readonly onSocketEvent?: (event: "open" | "close") => void;
}

export type { UpstreamTarget } from "./target.ts";

export interface ForwardRequest {
  readonly target: UpstreamTarget;
  readonly method: string;
  /** Raw canonical path and query as judged; the prefix is not stripped yet. */
  readonly path: string;
  /** The client's headers, as `IncomingMessage.rawHeaders`. Not changed. */
  readonly rawHeaders: readonly string[];
  /** The judged bytes, or a stream that was not read, or null for no body. */
  readonly body: Buffer | Readable | null;
  /** Length of a streamed body where the client declared one; chunked where absent. */
  readonly bodyLength?: number;
  /** The gateway's own headers, lower-case names: `x-cordon-agent`, `traceparent`, ... They replace the client's. */
  readonly identity: readonly (readonly [string, string])[];
  readonly response: ServerResponse;
  /** Asked when the connection is ready and before the first byte: a denial stops the exchange, and nothing was sent. */
  readonly beforeSend: () => Denial | null;
  /** JSON pointers to remove from the response; empty or absent: the response is streamed as it is. */
  readonly redact?: readonly string[];
  /** Removes `Accept-Encoding`, `Range` and `If-Range` from the request, also where `redact` is empty. */
  readonly mayRedact?: boolean;
  readonly responseBytesMax: number;
  /** For a response to redact, which is gathered and parsed whole. */
  readonly redactBytesMax: number;
  /** Headers for the response, lower-case names; they replace the tool's. */
  readonly responseHeaders?: readonly (readonly [string, string])[];
  /** The tool's head as the client is to see it. */
  readonly mapHead?: (headers: ParsedHeaders, status: number) => ParsedHeaders;
  /** Each message of the answer, a JSON body or the data of an event, before it goes on; a denial or null withholds all. */
  readonly filterMessage?: FilterData;
  /**
   * Why a body that `filterMessage` cannot read does not pass; `upstream.cannot_filter` where absent. For the other two all
   * of it is read: no other body passes, and who did not GET the stream is not told its events' ids.
   */
  readonly unreadable?: Unreadable;
  /** The data of the last event of a stream that is cut here; undefined where nobody waits for one. */
  readonly lastEvent?: (denial: Denial) => string | undefined;
  /** Told when the request was sent and its answer seen; a compressed stream cannot be read, so `mayRedact` goes with it. */
  readonly watch?: AnswerWatch;
  /** Asked before the head of an event stream goes to the client: a denial is the answer instead. */
  readonly beforeEventStream?: () => Denial | null;
  /** Called once, just before the response head goes to the client. */
  readonly onResponseStart?: (status: number, streaming: boolean) => void;
}

export interface ForwardOutcome {
  /** Whether a byte may have reached the tool. False: certainly none. */
  readonly sent: boolean;
  /** Whether the whole request was written to the tool. */
  readonly requestComplete: boolean;
  /** The tool's status; null when it did not answer. */
  readonly status: number | null;
  readonly failure: Denial | null;
  /** True once the head went to the client: a failure then destroys the socket instead of being answered. */
  readonly responseStarted: boolean;
  readonly requestBytes: number;
  /** Bytes of the tool's body, as received. */
  readonly responseBytes: number;
  /** Hex SHA-256 of the body bytes that were sent; null when there was no body. */
  readonly requestSha256: string | null;
  /** Hex SHA-256 of the body bytes as received from the tool; null when there was no body. */
  readonly responseSha256: string | null;
  /** Milliseconds from `send` to the tool's response head; null when there was none. */
  readonly upstreamMs: number | null;
}

export interface CutOptions {
  /**
   * An unsafe request that was wholly sent and has no response yet is followed to its outcome: its response is
   * withheld, and the denial is the failure. Anything else is cut at once.
   */
  readonly follow?: boolean;
}

export interface ForwardHandle {
  /** Settles once, never rejects: when the response is complete, failed or cut. */
  readonly done: Promise<ForwardOutcome>;
  /** Ends the exchange now: before the response has started it becomes the failure, later the socket is destroyed. */
  cut(denial: Denial, options?: CutOptions): void;
}

export interface Forwarder {
  /** Throws where files of `upstream` cannot be used; called at start. `credential` is the resolved secret. */
  prepare(upstream: UpstreamConfig, credential: string | undefined): UpstreamTarget;
  send(request: ForwardRequest): ForwardHandle;
  /** Closes every target's connections; open exchanges are ended. */
  close(): Promise<void>;
}

export function createForwarder(options: ForwarderOptions = {}): Forwarder {
  const targets = createTargetFactory(options.onSocketEvent);
  const keptBytes = new KeptBytes();
  return {
    prepare: targets.prepare,
    send: (request) => {
      const exchange = new ForwardExchange(request, keptBytes);
      exchange.start();
      return exchange;
    },
    close: targets.close,
  };
}
