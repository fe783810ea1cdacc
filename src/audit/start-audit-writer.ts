// In: where the audit file is. Out: the running writer thread and ports to it.
// Trusts: nothing that the thread does not say; when it ends, every port closes and the log is broken.
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

/** Starts the writer thread. Rejects when the file cannot be opened, read or written. */
export async function startAuditWriter(options: AuditWriterOptions): Promise<AuditWriter> {
  const seq = new SharedArrayBuffer(8);
  const seqCell = new BigInt64Array(seq);
  const workerData: AuditThreadData = { file: options.file, commitIntervalMs: options.commitIntervalMs, seq };
  const worker = new Worker(workerUrl(import.meta.url, "./audit-thread"), { workerData, name: "cordon-audit" });

  let fault: AuditFault | undefined;
  let started = false;
  let closing = false;
  let ended = false;

  function post(message: ToThread, transfer: readonly MessagePort[] = []): void {
    worker.postMessage(message, [...transfer]);
  }

  function broke(next: AuditFault): void {
    // A tail that was cut is news, not a failure: the log works.
    if (next.kind !== "torn_tail_cut") fault = next;
    options.onFault(next);
  }

  await new Promise<void>((resolve, reject) => {
    worker.on("message", (message: FromThread) => {
      if ("started" in message) {
        started = true;
        resolve();
      }
      if ("startError" in message)
        reject(new Error(`cannot open the audit log ${options.file}: ${message.startError}`));
      else if ("fault" in message) broke(message.fault);
      else if ("recovered" in message) {
        fault = undefined;
        options.onRecovered();
      }
    });
    worker.on("error", (error) => {
      reject(error instanceof Error ? error : new Error(String(error)));
      if (!closing) fault = { kind: "thread_ended", code: "", message: String(error) };
    });
    worker.on("exit", (code) => {
      ended = true;
      reject(new Error(`the audit thread ended with code ${code}`));
      // A thread that never started is the caller's to report: this promise rejects.
      if (!closing && started)
        broke({ kind: "thread_ended", code: String(code), message: fault?.message ?? "the audit thread ended" });
    });
  });

  function connect(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    if (ended) port2.close();
    else post({ connect: port2 }, [port2]);
    return port1;
  }

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
        if (!ended) {
          const exit = once(worker, "exit");
          post({ close: true });
          // A thread that hangs on its disk does not answer; it is ended.
          const timer = setTimeout(() => void worker.terminate(), CLOSE_MS_MAX);
          await exit;
          clearTimeout(timer);
        }
      }
    },
  };
}
