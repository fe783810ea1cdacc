// In: what every data thread needs. Out: N threads that serve, and a successor for each one that dies or hangs.
// A thread that ends is replaced; the other threads notice nothing.
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { EpochWords } from "../../containment/epoch.ts";
import { readMonotonicMs } from "../../lib/clock.ts";
import { workerUrl } from "../../lib/worker-url.ts";
import type { DataThreadStart, FromThread, ToThread } from "../thread-messages.ts";

export type ThreadState = "starting" | "serving" | "draining" | "replaced";

export interface DataThread {
  /** Position: 0 to N-1; a successor has the same one. */
  readonly index: number;
  /** Number of this thread among all that ever ran; names it in the metrics. */
  readonly serial: number;
  state: ThreadState;
  exchanges: number;
  streams: number;
  send(message: ToThread): void;
  /** Ends the thread at once; resolves when it is gone. A successor is started. */
  end(why: string): Promise<void>;
}

export interface ThreadPoolOptions {
  readonly threads: number;
  /** The numbers that a thread acknowledges: nothing of its forerunner counts as its own. */
  readonly epochs: readonly EpochWords[];
  /** What a thread starts with at this moment: the state of now, not of the first start. */
  readonly startData: () => Omit<DataThreadStart, "thread" | "control" | "audit">;
  readonly connectAudit: () => MessagePort;
  readonly onMessage: (thread: DataThread, message: FromThread) => void;
  /** Called right before a thread is ended: how many waiting clients were answered for it. */
  readonly onEnding: (thread: DataThread) => number;
  readonly onEnd: (thread: DataThread, why: string) => void;
}

export interface ThreadPool {
  readonly all: readonly DataThread[];
  /** How many ended unasked so far. */
  readonly replaced: number;
  /** Resolves when every thread listens. Rejects when one cannot. */
  start(): Promise<void>;
  broadcast(message: ToThread): void;
  /** Asks every thread to finish what is in flight; resolves when all have ended. */
  drain(timeoutMs: number): Promise<void>;
}

/** A thread that cannot start is tried again, at most this often. */
const RESTART_MS_MIN = 100;
const RESTART_MS_MAX = 5000;
/** How much longer than the drain itself a thread may take before it is ended. */
const DRAIN_GRACE_MS = 2000;

export function createThreadPool(options: ThreadPoolOptions): ThreadPool {
  const slots: DataThread[] = [];
  let serials = 0;
  let replaced = 0;
  let draining = false;
  let restartMs = RESTART_MS_MIN;

  function spawn(index: number): { thread: DataThread; listening: Promise<void>; exited: Promise<void> } {
    const { port1, port2 } = new MessageChannel();
    const audit = options.connectAudit();
    for (const epoch of options.epochs) epoch.reset(index, readMonotonicMs());
    const data: DataThreadStart = { ...options.startData(), thread: index, control: port2, audit };
    const worker = new Worker(workerUrl(import.meta.url, "../thread/data-thread"), {
      workerData: data,
      transferList: [port2, audit],
      name: `data-${index}`,
    });
    let why = "the thread ended";
    let ending = false;
    const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    const thread: DataThread = {
      index,
      serial: ++serials,
      state: "starting",
      exchanges: 0,
      streams: 0,
      send: (message) => port1.postMessage(message, message.type === "audit" ? [message.port] : []),
      end: async (reason) => {
        if (ending) return;
        ending = true;
        why = `${reason}; ${options.onEnding(thread)} waiting clients were answered 503`;
        await worker.terminate();
      },
    };
    const listening = new Promise<void>((resolve, reject) => {
      worker.on("message", (message: FromThread) => {
        if (message.type === "listening") {
          thread.state = "serving";
          restartMs = RESTART_MS_MIN;
          resolve();
        } else if (message.type === "failed") {
          why = message.message;
          reject(new Error(message.message));
          void worker.terminate();
        } else {
          options.onMessage(thread, message);
        }
      });
      worker.once("error", (error: Error) => {
        why = error.stack ?? error.message;
        reject(error);
      });
      worker.once("exit", () => reject(new Error(why)));
    });
    listening.catch(() => undefined);
    worker.once("exit", () => {
      port1.close();
      const served = thread.state === "serving";
      thread.state = "replaced";
      options.onEnd(thread, draining ? "drained" : why);
      if (draining || slots[index] !== thread) return;
      replaced += 1;
      if (served) slots[index] = spawn(index).thread;
      else {
        setTimeout(() => {
          if (!draining && slots[index] === thread) slots[index] = spawn(index).thread;
        }, restartMs).unref();
        restartMs = Math.min(restartMs * 2, RESTART_MS_MAX);
      }
    });
    exits.set(thread, exited);
    return { thread, listening, exited };
  }

  const exits = new WeakMap<DataThread, Promise<void>>();

  return {
    all: slots,
    get replaced() {
      return replaced;
    },
    async start() {
      // One after the other: the first one shows whether the port can be had at all.
      for (let index = 0; index < options.threads; index++) {
        const { thread, listening } = spawn(index);
        slots[index] = thread;
        await listening;
      }
    },
    broadcast(message) {
      for (const thread of slots) if (thread.state !== "replaced") thread.send(message);
    },
    async drain(timeoutMs) {
      draining = true;
      await Promise.all(
        slots.map(async (thread) => {
          if (thread.state === "replaced") return;
          thread.state = "draining";
          thread.send({ type: "drain", timeoutMs });
          const timer = setTimeout(() => void thread.end("did not drain in time"), timeoutMs + DRAIN_GRACE_MS);
          await exits.get(thread);
          clearTimeout(timer);
        }),
      );
    },
  };
}
