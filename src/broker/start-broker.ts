// In: the broker's configuration. Out: a running issuer in a thread of its own, with a listener of its own.
// Its disk and its crypto never delay the supervisor, and it is known to the data plane only by its public documents.
import { Worker } from "node:worker_threads";
import type { BrokerConfig } from "../config/schema.ts";
import type { FeedEvent } from "../containment/revocation.ts";
import type { ClockBase } from "../lib/clock.ts";
import { workerUrl } from "../lib/worker-url.ts";
import { type BrokerCall, createBrokerCalls } from "./broker-calls.ts";
import type { BrokerLog, BrokerThreadData, FromBroker, ToBroker } from "./broker-message.ts";

export interface BrokerOptions {
  readonly broker: BrokerConfig;
  /** The gateway's origins: the resources that tokens may be issued for; the first one is the default. */
  readonly publicOrigins: readonly string[];
  readonly dataFolder: string;
  /** The process's own time: the issuer and the gateway beside it must agree on it, whatever the wall clock does. */
  readonly clock: ClockBase;
  /** Unix milliseconds; at least the start of the issuer, later where another one ran here a moment ago. */
  readonly assertionsFromMs: number;
  readonly onLog: (entry: BrokerLog) => void;
  /** Resolves once every data thread enforces the events. Where it rejects, the issuer's caller gets no answer. */
  readonly onFeed: (events: readonly FeedEvent[]) => Promise<void>;
  /** The thread ended although nobody closed it. */
  readonly onExit: (error: Error) => void;
}

export interface Broker {
  /** Where it listens; the issuer's own URL is in its configuration. */
  readonly url: string;
  /** Asks the thread; always resolves, within seconds. */
  readonly call: BrokerCall;
  close(): Promise<void>;
}

/** The thread did not start: `code` is the system's (`EADDRINUSE`) or `broker_failed`; the message is one line. */
export class BrokerStartError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = "BrokerStartError";
    this.code = code;
  }
}

/** Starts the embedded issuer. Rejects with a BrokerStartError. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { broker, publicOrigins, dataFolder, clock, assertionsFromMs } = options;
  const data: BrokerThreadData = { broker, publicOrigins, dataFolder, clock, assertionsFromMs };
  // An empty environment: no variable such as DEBUG makes a library of this thread print what it handles.
  const worker = new Worker(workerUrl(import.meta.url, "./broker-thread"), {
    workerData: data,
    env: {},
    name: "broker",
  });
  const calls = createBrokerCalls((message) => worker.postMessage(message));
  let closing = false;
  let started = false;
  let failure: Error | undefined;
  const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));

  function feed(id: number, events: readonly FeedEvent[]): void {
    const fed: ToBroker = { type: "fed", id };
    options.onFeed(events).then(
      () => worker.postMessage(fed),
      (error: unknown) =>
        options.onLog({
          level: "error",
          event: "feed_failed",
          detail: error instanceof Error ? error.message : String(error),
        }),
    );
  }

  const url = await new Promise<string>((resolve, reject) => {
    worker.on("message", (message: FromBroker) => {
      if (message.type === "log") options.onLog(message.entry);
      else if (message.type === "answer") calls.answered(message);
      else if (message.type === "ready") resolve(message.url);
      else if (message.type === "feed") feed(message.id, message.events);
      else reject(startError(message.code, message.message, broker));
    });
    worker.once("error", (error: Error) => {
      failure = error;
      reject(new BrokerStartError("broker_failed", `The issuer failed: ${error.message}`));
    });
    worker.once("exit", (code) => {
      calls.end();
      reject(new BrokerStartError("broker_failed", `The issuer's thread ended with code ${code}.`));
      if (started && !closing) options.onExit(failure ?? new Error(`the issuer's thread ended with code ${code}`));
    });
  });
  started = true;

  return {
    url,
    call: calls.call,
    async close() {
      closing = true;
      const message: ToBroker = { type: "close" };
      worker.postMessage(message);
      await exited;
    },
  };
}

function startError(code: string, message: string, broker: BrokerConfig): BrokerStartError {
  if (code === "EADDRINUSE") {
    const where = `${broker.address}:${broker.port}`;
    return new BrokerStartError(
      code,
      `The issuer cannot listen on ${where}: the port is in use. Free it or set broker.port.`,
    );
  }
  return new BrokerStartError(code, `The issuer cannot start: ${message}`);
}
