// In: nothing; types only. Out: the interface of the audit log that the data plane writes to.
// Behind it stands one writer thread with group commit; later the tamper-evident log takes its place.
import type { MessagePort } from "node:worker_threads";
import type { Denial } from "../errors.ts";
import type { Result } from "../lib/result.ts";

export type AuditMode = "strict" | "batched";

/** An event without `seq` and `written_at`: those are the writer's. All values are metadata or content hashes. */
export interface AuditEvent {
  readonly type:
    | "intent"
    | "outcome"
    | "operator"
    | "denied"
    | "containment"
    | "label"
    | "policy"
    | "tools"
    | "denials"
    | "dropped"
    | "thread_ended";
  /** RFC 3339 time of the event. */
  readonly at: string;
  readonly request_id?: string;
  readonly [field: string]: unknown;
}

/**
 * An event whose maker has serialised it: one JSON object on one line that `safeJsonText` would leave as it is, with
 * `type` and `at` as an AuditEvent has them.
 */
export type EventText = string;

export interface Recorder {
  /**
   * Records that an allowed exchange is about to be sent. `strict` resolves when the record is on disk;
   * `batched` returns at once when the record is queued. Never throws: a log that is full, late or
   * broken is `audit.unavailable` or `audit.queue_full`, in both modes.
   */
  recordIntent(event: AuditEvent | EventText, mode: AuditMode): Result<void, Denial> | Promise<Result<void, Denial>>;
  /** Queues any other event. Never delays an exchange; what the queue cannot take is counted and reported. */
  record(event: AuditEvent | EventText): void;
  /** Resolves when everything queued so far is on disk, or rejects when it cannot be. */
  flush(): Promise<void>;
  /** The writer began anew behind `port`: what waits here goes there, in its order. */
  reconnect(port: MessagePort): void;
  close(): Promise<void>;
}
