// In: snapshots of the data threads and the supervisor's gauges. Out: Prometheus text of the whole process.
// Trusts: nothing from callers; every label is a closed name.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { mergeSnapshots } from "./merge-snapshots.ts";
import type { MetricsRegistry, ProcessGauges, StepSnapshot, ThreadMetricsSnapshot } from "./metric-snapshot.ts";
import { STEP_BUCKETS_US } from "./thread-metrics.ts";

const US_PER_SECOND = 1_000_000;
const MS_PER_SECOND = 1000;

const STEP_METRIC = "cordon_step_seconds";
const STEP_HELP = "Time that each step of an exchange took.";

/** A histogram whose values are counted elsewhere: prom-client can only observe one at a time. */
class MergedHistogram extends Histogram<"step"> {
  steps: readonly StepSnapshot[] = [];

  /** What the registry of prom-client renders (lib/registry.js, getMetricsAsString). */
  getForPromString() {
    const values: { metricName: string; labels: Record<string, string | number>; value: number }[] = [];
    for (const { step, buckets, sumUs } of this.steps) {
      let cumulative = 0;
      for (const [index, bound] of STEP_BUCKETS_US.entries()) {
        cumulative += buckets[index] ?? 0;
        values.push({
          metricName: `${STEP_METRIC}_bucket`,
          labels: { le: bound / US_PER_SECOND, step },
          value: cumulative,
        });
      }
      cumulative += buckets[STEP_BUCKETS_US.length] ?? 0;
      values.push({ metricName: `${STEP_METRIC}_bucket`, labels: { le: "+Inf", step }, value: cumulative });
      values.push({ metricName: `${STEP_METRIC}_sum`, labels: { step }, value: sumUs / US_PER_SECOND });
      values.push({ metricName: `${STEP_METRIC}_count`, labels: { step }, value: cumulative });
    }
    return { name: STEP_METRIC, help: STEP_HELP, type: "histogram", values };
  }
}

export function createMetricsRegistry(): MetricsRegistry {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const exchanges = new Counter({
    name: "cordon_exchanges_total",
    help: "Exchanges that ended, by route, outcome and reason.",
    labelNames: ["route", "outcome", "reason"] as const,
    registers,
  });
  const refused = new Counter({
    name: "cordon_connections_refused_total",
    help: "Connections that were closed at once, by the limit that was reached.",
    labelNames: ["limit"] as const,
    registers,
  });
  const steps = new MergedHistogram({
    name: STEP_METRIC,
    help: STEP_HELP,
    labelNames: ["step"] as const,
    registers,
  });
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
  const openStreams = gauge("cordon_open_streams", "Streams and tunnels that are open.");
  const inFlight = gauge("cordon_exchanges_in_flight", "Exchanges that have begun and not ended.");
  const replayFill = gauge("cordon_replay_table_fill_ratio", "Share of the proof replay table in use, 0 to 1.");
  const epoch = gauge("cordon_containment_epoch", "Number of the last containment change in force.");
  const auditSeq = gauge("cordon_audit_seq", "Sequence number of the last audit record on disk.");
  const auditHealthy = gauge("cordon_audit_healthy", "1 while the audit log can be written, otherwise 0.");
  const threads = gauge("cordon_threads", "Data threads that serve.");
  const replaced = new Counter({
    name: "cordon_threads_replaced_total",
    help: "Data threads that died or hung, and were replaced.",
    registers,
  });
  const issuerAway = gauge("cordon_issuer_away", "1 while the thread of the embedded issuer is gone, otherwise 0.");
  const clockDrift = gauge(
    "cordon_clock_drift_seconds",
    "Wall clock minus the time that is carried on from the start; beyond the leeway only a restart takes it over.",
  );
  const revision = new Gauge({
    name: "cordon_policy_revision_info",
    help: "Always 1; the labels name the policy and data revision in force.",
    labelNames: ["bundle", "data"] as const,
    registers,
  });

  const live = new Map<number, ThreadMetricsSnapshot>();
  /** Sum of the threads that ended: a counter never goes back. */
  let ended = mergeSnapshots([]);

  function load(gauges: ProcessGauges): void {
    const merged = mergeSnapshots([ended, ...live.values()]);
    exchanges.reset();
    for (const { route, outcome, reason, count } of merged.exchanges) exchanges.inc({ route, outcome, reason }, count);
    refused.reset();
    for (const { limit, count } of merged.connectionsRefused) refused.inc({ limit }, count);
    steps.steps = merged.steps;
    openStreams.set(merged.openStreams);
    inFlight.set(merged.exchangesInFlight);
    replayFill.set(gauges.replayTableFillRatio);
    epoch.set(gauges.containmentEpoch);
    auditSeq.set(gauges.auditSeq);
    auditHealthy.set(gauges.auditHealthy ? 1 : 0);
    threads.set(gauges.threads);
    replaced.reset();
    replaced.inc(gauges.threadsReplaced);
    issuerAway.set(gauges.issuerAway ? 1 : 0);
    clockDrift.set(gauges.clockDriftMs / MS_PER_SECOND);
    revision.reset();
    if (gauges.policyRevision !== undefined) revision.set({ ...gauges.policyRevision }, 1);
  }

  return {
    update(threadId, snapshot) {
      live.set(threadId, snapshot);
    },
    threadEnded(threadId) {
      const last = live.get(threadId);
      live.delete(threadId);
      if (last !== undefined) ended = mergeSnapshots([ended, { ...last, openStreams: 0, exchangesInFlight: 0 }]);
    },
    async render(gauges) {
      load(gauges);
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}
