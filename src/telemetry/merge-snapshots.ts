// In: snapshots of data threads, those that ended too. Out: their sums.
// Trusts: that a thread's counts only grow.
import type { StepSnapshot, ThreadMetricsSnapshot } from "./metric-snapshot.ts";

const EMPTY: ThreadMetricsSnapshot = {
  exchanges: [],
  steps: [],
  openStreams: 0,
  exchangesInFlight: 0,
  connectionsRefused: [],
};

export function mergeSnapshots(snapshots: Iterable<ThreadMetricsSnapshot>): ThreadMetricsSnapshot {
  let merged = EMPTY;
  for (const snapshot of snapshots) merged = add(merged, snapshot);
  return merged;
}

function add(a: ThreadMetricsSnapshot, b: ThreadMetricsSnapshot): ThreadMetricsSnapshot {
  const exchanges = new Map<string, ThreadMetricsSnapshot["exchanges"][number]>();
  for (const one of [...a.exchanges, ...b.exchanges]) {
    const key = JSON.stringify([one.route, one.outcome, one.reason]);
    exchanges.set(key, { ...one, count: one.count + (exchanges.get(key)?.count ?? 0) });
  }
  const steps = new Map<string, StepSnapshot>();
  for (const one of [...a.steps, ...b.steps]) {
    const known = steps.get(one.step);
    steps.set(
      one.step,
      known === undefined
        ? one
        : {
            step: one.step,
            buckets: one.buckets.map((count, index) => count + (known.buckets[index] ?? 0)),
            sumUs: one.sumUs + known.sumUs,
          },
    );
  }
  const refused = new Map<string, number>();
  for (const { limit, count } of [...a.connectionsRefused, ...b.connectionsRefused]) {
    refused.set(limit, count + (refused.get(limit) ?? 0));
  }
  return {
    exchanges: [...exchanges.values()],
    steps: [...steps.values()],
    openStreams: a.openStreams + b.openStreams,
    exchangesInFlight: a.exchangesInFlight + b.exchangesInFlight,
    connectionsRefused: [...refused].map(([limit, count]) => ({ limit, count })),
  };
}
