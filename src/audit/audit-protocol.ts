// In: nothing; types only. Out: the messages between the recorders of the data threads and the writer thread.
import type { MessagePort } from "node:worker_threads";
import type { AuditFault } from "./audit-writer.ts";

/** From a recorder: JSON objects, one a line without a final line break. */
export interface EventBatch {
  readonly text: string;
  readonly count: number;
  /** A caller waits for this one: commit soon. */
  readonly urgent: boolean;
}

/** To a recorder: how many of its events are on disk by now, counted from its first. */
export interface Acknowledgement {
  readonly acknowledged: number;
}

/** To every recorder: the log broke, or works again. */
export interface WriterState {
  readonly working: boolean;
  readonly message: string;
}

export type FromWriter = Acknowledgement | WriterState;

export type ToThread = { readonly connect: MessagePort } | { readonly close: true };
export type FromThread =
  | { readonly started: true }
  | { readonly startError: string }
  | { readonly fault: AuditFault }
  | { readonly recovered: true };

export interface AuditThreadData {
  readonly file: string;
  readonly commitIntervalMs: number;
  /** One 64-bit integer: the sequence number of the last record on disk. */
  readonly seq: SharedArrayBuffer;
}
