// In: nothing; types only. Out: the supervisor's handle on the thread that writes the audit file.
// `startAuditWriter(options)` (start-audit-writer.ts) gives an AuditWriter; `createRecorder(port, options)`
// (create-recorder.ts) gives a data thread its Recorder.
import type { MessagePort } from "node:worker_threads";
import type { AuditEvent } from "./recorder.ts";

/** What went wrong with the audit file, or what was found and mended. For the service log and an alert. */
export interface AuditFault {
  readonly kind: "write_failed" | "sync_failed" | "tail_changed" | "torn_tail_cut" | "sequence_gap" | "thread_ended";
  /** Error code (`ENOSPC`, `EIO`, ..) or "". */
  readonly code: string;
  readonly message: string;
}

export interface AuditWriterOptions {
  /** Absolute path of the JSONL file. Its folder is created 0700, the file 0600. */
  readonly file: string;
  /** How long the writer gathers events before one fdatasync, in milliseconds. */
  readonly commitIntervalMs: number;
  /** Called once for each change from working to broken, and for what was found at start. */
  readonly onFault: (fault: AuditFault) => void;
  /** Called when records reach the disk again after a fault. */
  readonly onRecovered: () => void;
  /** The writer's thread was started again after its end: every recorder needs a new port. */
  readonly onRestarted?: () => void;
}

export interface AuditHealth {
  readonly ok: boolean;
  readonly lastError?: string;
  /** Sequence number of the last record on disk; 0 where there is none. */
  readonly seq: number;
}

export interface AuditWriter {
  /** A new port to the writer. Transfer it to one data thread: `worker.postMessage({ port }, [port])`. */
  connect(): MessagePort;
  /** Records an event of the supervisor itself. Never throws. */
  record(event: AuditEvent): void;
  health(): AuditHealth;
  /** Resolves when all that the supervisor recorded is on disk; rejects when it cannot be. */
  flush(): Promise<void>;
  /** Writes what has arrived, then ends the thread. Data threads close their recorders first. */
  close(): Promise<void>;
}

/** Options of `createRecorder(port: MessagePort, options: RecorderOptions): Recorder`. */
export interface RecorderOptions {
  /** How many events may wait for their fdatasync; what comes after is `audit.queue_full`. */
  readonly queueEventsMax: number;
}
