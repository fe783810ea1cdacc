// In: nothing; types only. Out: what a data thread counts and how it hands its counts to the supervisor.
// `createThreadMetrics(): ThreadMetrics` (thread-metrics.ts) lives on a data thread;
// `createMetricsRegistry(): MetricsRegistry` (metrics-registry.ts) on the supervisor.
import type { Outcome } from "./log-entries.ts";

export interface ThreadMetrics {
  /** Counts a finished exchange. `route` and `reason` are closed names, never a caller's text. */
  exchange(route: string, outcome: Outcome, reason: string): void;
  /** Adds the duration of one step, in microseconds. */
  stepUs(step: string, us: number): void;
  /** +1 when a stream or tunnel opens, -1 when it ends. */
  openStreams(change: 1 | -1): void;
  exchangesInFlight(change: 1 | -1): void;
  /** Counts a connection that was closed at once. `limit` is a closed name, never a caller's text. */
  connectionRefused(limit: string): void;
  /** Everything since the thread began, as plain data for `postMessage`. */
  snapshot(): ThreadMetricsSnapshot;
}

export interface ThreadMetricsSnapshot {
  readonly exchanges: readonly {
    readonly route: string;
    readonly outcome: Outcome;
    readonly reason: string;
    readonly count: number;
  }[];
  readonly steps: readonly StepSnapshot[];
  readonly openStreams: number;
  readonly exchangesInFlight: number;
  readonly connectionsRefused: readonly { readonly limit: string; readonly count: number }[];
}

export interface StepSnapshot {
  readonly step: string;
  /** Count for each upper bound of STEP_BUCKETS_US, and one more for what is above; not cumulative. */
  readonly buckets: readonly number[];
  readonly sumUs: number;
}

/** What only the supervisor knows; set before rendering. */
export interface ProcessGauges {
  readonly replayTableFillRatio: number;
  readonly policyRevision: { readonly bundle: string; readonly data: string } | undefined;
  readonly containmentEpoch: number;
  readonly auditSeq: number;
  readonly auditHealthy: boolean;
  /** Data threads that serve. */
  readonly threads: number;
  /** Data threads that ended unasked since the start. */
  readonly threadsReplaced: number;
  /** An embedded issuer is configured, and its thread is gone. */
  readonly issuerAway: boolean;
  /** Wall clock minus the time that the process carries forward. */
  readonly clockDriftMs: number;
}

export interface MetricsRegistry {
  /** The latest snapshot of one thread. A thread that replaces another has a new `threadId`. */
  update(threadId: number, snapshot: ThreadMetricsSnapshot): void;
  /** A thread ended: its counts stay, its gauges go. */
  threadEnded(threadId: number): void;
  /** Prometheus text format. */
  render(gauges: ProcessGauges): Promise<string>;
  readonly contentType: string;
}
