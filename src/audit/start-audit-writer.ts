// In: where the audit file is. Out: the running writer thread, a successor for one that ended, and ports to it.
// Trusts: nothing that the thread does not say; while there is none, every port is closed and the log is broken.
import { once } from "node:events";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { workerUrl } from "../lib/worker-url.ts";
import type { AuditThreadData, FromThread, ToThread } from "./audit-protocol.ts";
import type { AuditFault, AuditWriter, AuditWriterOptions } from "./audit-writer.ts";
import { createRecorder } from "./create-recorder.ts";

/** The supervisor records containment and policy changes: few, and none may be lost in a burst. */
const OWN_QUEUE_EVENTS_MAX = 10_000;
/** How long the thread may take to write what has arrived before it is ended. */
const CLOSE_MS_MAX = 3000;
/** First and longest pause before a thread that ended, or could not start, is started again. */
const RESTART_MS_MIN = 100;
const RESTART_MS_MAX = 5000;

/** Starts the writer thread. Rejects when the file cannot be opened, read or written. */
export async function startAuditWriter(options: AuditWriterOptions): Promise<AuditWriter> {
  const seq = new SharedArrayBuffer(8);
  const seqCell = new BigInt64Array(seq);
  const workerData: AuditThreadData = { file: options.file, commitIntervalMs: options.commitIntervalMs, seq };

  let running: Worker | undefined;
  let fault: AuditFault | undefined;
  let closing = false;
  let timer: NodeJS.Timeout | undefined;

  function broke(next: AuditFault): void {
    // A tail that was cut is news, not a failure: the log works.
    if (next.kind !== "torn_tail_cut") fault = next;
    options.onFault(next);
  }

  function spawn(): Promise<void> {
    const worker = new Worker(workerUrl(import.meta.url, "./audit-thread"), { workerData, name: "cordon-audit" });
    let failure: Error | undefined;
    return new Promise<void>((resolve, reject) => {
      worker.on("message", (message: FromThread) => {
        if ("started" in message) {
          running = worker;
          resolve();
        } else if ("startError" in message)
          reject(new Error(`cannot open the audit log ${options.file}: ${message.startError}`));
        else if ("fault" in message) broke(message.fault);
        else if ("recovered" in message) {
          fault = undefined;
          options.onRecovered();
        }
      });
      worker.on("error", (error) => {
        failure = error instanceof Error ? error : new Error(String(error));
        reject(failure);
      });
      worker.on("exit", (code) => {
        const why = failure ?? new Error(`the audit thread ended with code ${code}`);
        // One that never started is told by this promise.
        reject(why);
        if (running !== worker) return;
        running = undefined;
        if (closing) return;
        broke({ kind: "thread_ended", code: String(code), message: why.message });
        restartLater(RESTART_MS_MIN);
      });
    });
  }

  function restartLater(ms: number): void {
    timer = setTimeout(() => {
      spawn().then(
        () => {
          if (closing) {
            void running?.terminate();
            return;
          }
          fault = undefined;
          own.reconnect(connect());
          options.onRestarted?.();
          options.onRecovered();
        },
        (error: Error) => {
          if (closing) return;
          if (fault?.message !== error.message) broke({ kind: "thread_ended", code: "", message: error.message });
          restartLater(Math.min(ms * 2, RESTART_MS_MAX));
        },
      );
    }, ms);
  }

  function connect(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    const message: ToThread = { connect: port2 };
    if (running === undefined) port2.close();
    else running.postMessage(message, [port2]);
    return port1;
  }

  await spawn();
  const own = createRecorder(connect(), { queueEventsMax: OWN_QUEUE_EVENTS_MAX });

  return {
    connect,
    record: (event) => own.record(event),
    health() {
      const last = Number(Atomics.load(seqCell, 0));
      return fault === undefined
        ? { ok: true, seq: last }
        : { ok: false, lastError: `${fault.kind}: ${fault.message}`, seq: last };
    },
    flush: () => own.flush(),
    async close() {
      try {
        await own.close();
      } finally {
        closing = true;
        clearTimeout(timer);
        const worker = running;
        if (worker !== undefined) {
          const exit = once(worker, "exit");
          const message: ToThread = { close: true };
          worker.postMessage(message);
          // A thread that hangs on its disk does not answer; it is ended.
          const late = setTimeout(() => void worker.terminate(), CLOSE_MS_MAX);
          await exit;
          clearTimeout(late);
        }
      }
    },
  };
}
