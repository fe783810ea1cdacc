import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetricsRegistry } from "../../../src/telemetry/metrics-registry.ts";
import { createThreadMetrics } from "../../../src/telemetry/thread-metrics.ts";

const GAUGES = {
  replayTableFillRatio: 0.25,
  policyRevision: { bundle: "b1", data: "" },
  containmentEpoch: 4,
  auditSeq: 9,
  auditHealthy: true,
  threads: 1,
  threadsReplaced: 2,
  issuerAway: false,
  clockDriftMs: -1500,
};

test("counts of all threads are summed, and those of a thread that ended stay", async () => {
  const registry = createMetricsRegistry();
  const [first, second] = [createThreadMetrics(), createThreadMetrics()];
  first.exchange("ats", "denied", "policy.denied");
  first.openStreams(1);
  second.exchange("ats", "denied", "policy.denied");
  registry.update(1, first.snapshot());
  registry.update(2, second.snapshot());
  assert.match(
    await registry.render(GAUGES),
    /cordon_exchanges_total\{route="ats",outcome="denied",reason="policy.denied"\} 2/,
  );
  registry.threadEnded(1);
  const text = await registry.render(GAUGES);
  assert.match(text, /cordon_exchanges_total\{route="ats",outcome="denied",reason="policy.denied"\} 2/);
  assert.match(text, /cordon_open_streams 0/);
});

test("step durations are a cumulative histogram in seconds, and the gauges are told as given", async () => {
  const registry = createMetricsRegistry();
  const thread = createThreadMetrics();
  for (const us of [5, 6, 20_000_000]) thread.stepUs("decision", us);
  registry.update(1, thread.snapshot());
  const text = await registry.render(GAUGES);
  for (const line of [
    'cordon_step_seconds_bucket{le="0.000005",step="decision"} 1',
    'cordon_step_seconds_bucket{le="0.00001",step="decision"} 2',
    'cordon_step_seconds_bucket{le="10",step="decision"} 2',
    'cordon_step_seconds_bucket{le="+Inf",step="decision"} 3',
    'cordon_step_seconds_count{step="decision"} 3',
    'cordon_policy_revision_info{bundle="b1",data=""} 1',
    "cordon_replay_table_fill_ratio 0.25",
    "cordon_audit_healthy 1",
    "cordon_threads_replaced_total 2",
    "cordon_issuer_away 0",
    "cordon_clock_drift_seconds -1.5",
    "# TYPE cordon_step_seconds histogram",
  ]) {
    assert.ok(text.includes(line), line);
  }
});
