// In: batches of events from many ports. Out: one append and one fdatasync for many of them, then acknowledgements.
// Trusts: the append log to reject unless the records are on disk. Nothing is acknowledged before that.
import { AppendError, type AppendLog } from "./append-log.ts";
import type { EventBatch, FromWriter } from "./audit-protocol.ts";
import type { AuditFault } from "./audit-writer.ts";
import { COMMIT_BYTES_MAX } from "./read-tail.ts";

/** First and longest pause between attempts on a broken disk, in milliseconds: soon back, never a busy loop. */
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 2_000;
/** A caller that waits is worth an earlier sync than the configured interval, in milliseconds. */
const URGENT_GATHER_MS_MAX = 1;
/** `seq` and `written_at` in front of an event, in characters. */
const PREFIX_CHARACTERS = 64;

export interface PortHandle {
  postMessage(message: FromWriter): void;
}

export interface CommitLoopOptions {
  readonly log: AppendLog;
  readonly commitIntervalMs: number;
  readonly onCommitted: (seq: number) => void;
  readonly onFault: (fault: AuditFault) => void;
  readonly onRecovered: () => void;
}

export interface CommitLoop {
  connect(port: PortHandle): void;
  disconnect(port: PortHandle): void;
  receive(port: PortHandle, batch: EventBatch): void;
  /** Commits what has arrived, tries once where the disk is broken, then closes the file. */
  close(): Promise<void>;
}

interface Pending extends EventBatch {
  readonly port: PortHandle;
}

export function createCommitLoop(options: CommitLoopOptions): CommitLoop {
  const { log } = options;
  const acknowledged = new Map<PortHandle, number>();
  let queue: Pending[] = [];
  let fault: AuditFault | undefined;
  let closing = false;
  let running: Promise<void> | undefined;
  let endPause: (() => void) | undefined;
  let pauseIsGather = false;

  function pause(ms: number, gathering: boolean): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        endPause = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms);
      endPause = end;
      pauseIsGather = gathering;
    });
  }

  function takeBatch(): Pending[] {
    let characters = 0;
    let taken = 0;
    for (const pending of queue) {
      characters += pending.text.length + pending.count * PREFIX_CHARACTERS;
      if (taken > 0 && characters > COMMIT_BYTES_MAX) break;
      taken += 1;
    }
    return queue.splice(0, taken);
  }

  async function commitOnce(): Promise<void> {
    if (fault !== undefined) await log.recover();
    const batch = takeBatch();
    let count = 0;
    for (const pending of batch) count += pending.count;
    try {
      await log.commit(batch.map((pending) => pending.text).join("\n"), count);
    } catch (error) {
      queue = batch.concat(queue); // nothing of it counts as written; it keeps its place
      throw error;
    }
    options.onCommitted(log.seq);
    if (fault !== undefined) {
      fault = undefined;
      options.onRecovered();
      for (const port of acknowledged.keys()) port.postMessage({ working: true, message: "" });
    }
    const ports = new Set<PortHandle>();
    for (const { port, count: events } of batch) {
      const before = acknowledged.get(port);
      if (before === undefined) continue; // its thread has ended
      acknowledged.set(port, before + events);
      ports.add(port);
    }
    for (const port of ports) port.postMessage({ acknowledged: acknowledged.get(port) ?? 0 });
  }

  function broke(error: unknown): void {
    const appendError = error instanceof AppendError ? error : new AppendError("write_failed", error);
    const next = { kind: appendError.kind, code: appendError.code, message: appendError.message };
    const isNews = fault === undefined || fault.kind !== next.kind || fault.code !== next.code;
    fault = next;
    if (isNews) options.onFault(next);
    for (const port of acknowledged.keys()) port.postMessage({ working: false, message: next.message });
  }

  async function run(): Promise<void> {
    let retryMs = RETRY_MS_MIN;
    while (queue.length > 0) {
      try {
        if (fault === undefined && !closing) {
          const urgent = queue.some((pending) => pending.urgent);
          const gatherMs = urgent ? Math.min(options.commitIntervalMs, URGENT_GATHER_MS_MAX) : options.commitIntervalMs;
          if (gatherMs > 0) await pause(gatherMs, true);
        }
        await commitOnce();
        retryMs = RETRY_MS_MIN;
      } catch (error) {
        broke(error);
        if (closing) return;
        await pause(retryMs, false);
        retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
      }
    }
  }

  function wake(): void {
    running ??= run().finally(() => {
      running = undefined;
      if (queue.length > 0 && !closing) wake();
    });
  }

  return {
    connect(port) {
      acknowledged.set(port, 0);
      if (fault !== undefined) port.postMessage({ working: false, message: fault.message });
    },
    disconnect(port) {
      acknowledged.delete(port);
    },
    receive(port, batch) {
      queue.push({ port, text: batch.text, count: batch.count, urgent: batch.urgent });
      if (batch.urgent && pauseIsGather && options.commitIntervalMs > URGENT_GATHER_MS_MAX) endPause?.();
      wake();
    },
    async close() {
      closing = true;
      endPause?.();
      await running;
      await log.close();
    },
  };
}
