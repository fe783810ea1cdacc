// In: events of one data thread. Out: batches for the writer thread, and answers for those who wait.
// Trusts: the writer's acknowledgements; silence, a closed port and a full queue all mean "not recorded".
// When the writer's thread ends, events wait here for its successor, as many as the queue takes.
import type { MessagePort } from "node:worker_threads";
import { type Denial, deny } from "../errors.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { safeJsonText } from "../lib/safe-json-text.ts";
import type { EventBatch, FromWriter } from "./audit-protocol.ts";
import type { RecorderOptions } from "./audit-writer.ts";
import type { AuditEvent, EventText, Recorder } from "./recorder.ts";

/** C2SP tlog-tiles allows 65,535 bytes an entry; `seq` and `written_at` come on top. */
const EVENT_BYTES_MAX = 65_000;
/** Batched events wait this long for company, in milliseconds: one message for many. */
const GATHER_MS = 10;
const GATHER_EVENTS_MAX = 256;
/** A disk that hangs is as good as none: a strict caller waits between one and two of these, in milliseconds. */
const STRICT_WAIT_MS = 2_500;

const BROKEN = err(deny("audit.unavailable"));
const FULL = err(deny("audit.queue_full"));
const OK = ok(undefined);

interface Waiter {
  /** The waiter's event is the `position`-th of this recorder. */
  readonly position: number;
  readonly settle: (failure: Denial | undefined) => void;
  readonly mayTimeOut: boolean;
}

/** The data thread's end of the audit log. The port belongs to the recorder from now on. */
export function createRecorder(first: MessagePort, options: RecorderOptions): Recorder {
  let port = first;
  let connected = true;
  /** What was ready to be sent while there was no writer. */
  let held: EventBatch[] = [];
  let gathered = "";
  let gatheredCount = 0;
  let gatheredUrgent = false;
  let queued = 0;
  let acknowledged = 0;
  let dropped = 0;
  let working = true;
  let closed = false;
  let waiters: Waiter[] = [];
  let immediate: NodeJS.Immediate | undefined;
  let timer: NodeJS.Timeout | undefined;
  let watch: NodeJS.Timeout | undefined;

  function send(): void {
    clearTimeout(timer);
    clearImmediate(immediate);
    timer = undefined;
    immediate = undefined;
    if (gatheredCount === 0) return;
    const batch: EventBatch = { text: gathered, count: gatheredCount, urgent: gatheredUrgent };
    gathered = "";
    gatheredCount = 0;
    gatheredUrgent = false;
    if (connected) port.postMessage(batch);
    else held.push(batch);
  }

  function queue(json: string, urgent: boolean): void {
    gathered = gatheredCount === 0 ? json : `${gathered}\n${json}`;
    gatheredCount += 1;
    queued += 1;
    if (urgent) {
      gatheredUrgent = true;
      immediate ??= setImmediate(send);
    } else if (gatheredCount >= GATHER_EVENTS_MAX) {
      send();
    } else if (immediate === undefined) {
      timer ??= setTimeout(send, GATHER_MS);
    }
  }

  function settle(upTo: number, failure: Denial | undefined): void {
    if (waiters.length === 0) return;
    const due = waiters.filter((waiter) => waiter.position <= upTo);
    waiters = waiters.filter((waiter) => waiter.position > upTo);
    for (const waiter of due) waiter.settle(failure);
    if (waiters.length === 0) port.unref();
  }

  function wait(mayTimeOut: boolean, onSettled: (failure: Denial | undefined) => void): void {
    if (waiters.length === 0) port.ref();
    waiters.push({ position: queued, settle: onSettled, mayTimeOut });
    if (mayTimeOut) watch ??= setTimeout(timeOut, STRICT_WAIT_MS, queued);
  }

  /** Ends the wait of those who waited when the watch was set, and watches the ones that came since. */
  function timeOut(position: number): void {
    watch = undefined;
    const late = waiters.filter((waiter) => waiter.mayTimeOut && waiter.position <= position);
    waiters = waiters.filter((waiter) => !late.includes(waiter));
    for (const waiter of late) waiter.settle(deny("audit.unavailable", `no fdatasync within ${STRICT_WAIT_MS} ms`));
    if (waiters.length === 0) port.unref();
    else if (waiters.some((waiter) => waiter.mayTimeOut)) watch = setTimeout(timeOut, STRICT_WAIT_MS, queued);
  }

  function broke(message: string): void {
    working = false;
    settle(queued, deny("audit.unavailable", message));
  }

  /** Whether what the writer had not acknowledged is on disk, nobody can say any more: it counts as dropped. */
  function disconnected(): void {
    broke("the audit thread ended");
    clearTimeout(watch);
    watch = undefined;
    connected = false;
    const waiting = held.reduce((sum, batch) => sum + batch.count, gatheredCount);
    dropped += queued - acknowledged - waiting;
    queued = waiting;
    acknowledged = 0;
  }

  /** What the queue could not take is itself recorded, once it can be. */
  function reportDropped(): void {
    if (dropped === 0 || !working || queued - acknowledged >= options.queueEventsMax) return;
    const events = dropped;
    dropped = 0;
    queue(JSON.stringify({ type: "dropped", at: new Date().toISOString(), events }), false);
  }

  function onMessage(message: FromWriter): void {
    if ("acknowledged" in message) {
      acknowledged = message.acknowledged;
      settle(acknowledged, undefined);
    } else if (message.working) {
      working = true;
    } else {
      broke(message.message);
    }
    reportDropped();
  }

  function attach(next: MessagePort): void {
    port = next;
    connected = true;
    next.on("message", onMessage);
    next.on("close", () => {
      if (port === next && connected) disconnected();
    });
    next.unref();
  }

  attach(first);
  return {
    recordIntent(event, mode): Result<void, Denial> | Promise<Result<void, Denial>> {
      if (!working || closed) return BROKEN;
      if (queued - acknowledged >= options.queueEventsMax) return FULL;
      const json = serialise(event);
      if (json === undefined) return err(deny("audit.unavailable", "the event cannot be serialised or is too large"));
      queue(json, mode === "strict");
      if (mode !== "strict") return OK;
      return new Promise((resolve) => {
        wait(true, (failure) => resolve(failure === undefined ? OK : err(failure)));
      });
    },
    record(event) {
      const json = closed || queued - acknowledged >= options.queueEventsMax ? undefined : serialise(event);
      if (json === undefined) dropped += 1;
      else queue(json, false);
    },
    flush() {
      if (queued === acknowledged && connected && !closed) return Promise.resolve();
      if (!working || closed) return Promise.reject(new Error("the audit log cannot be written"));
      gatheredUrgent = gatheredCount > 0;
      send();
      return new Promise((resolve, reject) => {
        wait(false, (failure) => (failure === undefined ? resolve() : reject(new Error(failure.detail))));
      });
    },
    reconnect(next) {
      if (closed) {
        next.close();
        return;
      }
      if (connected) {
        const before = port;
        disconnected();
        before.close();
      }
      attach(next);
      working = true;
      for (const batch of held) next.postMessage(batch);
      held = [];
      send();
      reportDropped();
    },
    async close() {
      try {
        await this.flush();
      } finally {
        clearTimeout(watch);
        send();
        closed = true;
        port.close();
      }
    },
  };
}

function serialise(event: AuditEvent | EventText): string | undefined {
  try {
    const json = typeof event === "string" ? event : safeJsonText(JSON.stringify(event));
    const fits = json.length * 3 <= EVENT_BYTES_MAX || Buffer.byteLength(json) <= EVENT_BYTES_MAX;
    return fits ? json : undefined;
  } catch {
    return undefined; // a cycle or a BigInt: the caller answers or counts it
  }
}
