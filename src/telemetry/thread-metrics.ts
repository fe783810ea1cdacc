// In: what happens on a data thread. Out: plain counts, cheap enough for every exchange.
// Trusts: callers to pass closed names (routes, reasons, steps), so that the number of series stays bounded.
import type { Outcome } from "./log-entries.ts";
import type { StepSnapshot, ThreadMetrics, ThreadMetricsSnapshot } from "./metric-snapshot.ts";

/** Upper bounds in microseconds: fine around the cost of a step (10 to 500 us), coarse up to a slow tool. */
export const STEP_BUCKETS_US = [
  5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 250_000, 1_000_000, 10_000_000,
] as const;

interface Step {
  readonly buckets: Float64Array;
  sumUs: number;
}

interface ExchangeCount {
  readonly route: string;
  readonly outcome: Outcome;
  readonly reason: string;
  count: number;
}

export function createThreadMetrics(): ThreadMetrics {
  const routes = new Map<string, ExchangeCount[]>();
  const steps = new Map<string, Step>();
  const refused = new Map<string, number>();
  let streams = 0;
  let inFlight = 0;

  return {
    exchange(route, outcome, reason) {
      let counts = routes.get(route);
      if (counts === undefined) {
        counts = [];
        routes.set(route, counts);
      }
      // A route has few different ends; the loop is cheaper than a joined key.
      for (const known of counts) {
        if (known.outcome === outcome && known.reason === reason) {
          known.count += 1;
          return;
        }
      }
      counts.push({ route, outcome, reason, count: 1 });
    },
    stepUs(name, us) {
      let step = steps.get(name);
      if (step === undefined) {
        step = { buckets: new Float64Array(STEP_BUCKETS_US.length + 1), sumUs: 0 };
        steps.set(name, step);
      }
      let index = 0;
      while (index < STEP_BUCKETS_US.length && us > (STEP_BUCKETS_US[index] as number)) index += 1;
      step.buckets[index] = (step.buckets[index] as number) + 1;
      step.sumUs += us;
    },
    openStreams(change) {
      streams += change;
    },
    exchangesInFlight(change) {
      inFlight += change;
    },
    connectionRefused(limit) {
      refused.set(limit, (refused.get(limit) ?? 0) + 1);
    },
    snapshot(): ThreadMetricsSnapshot {
      return {
        exchanges: [...routes.values()].flat().map((count) => ({ ...count })),
        steps: [...steps].map(
          ([step, { buckets, sumUs }]): StepSnapshot => ({ step, buckets: Array.from(buckets), sumUs }),
        ),
        openStreams: streams,
        exchangesInFlight: inFlight,
        connectionsRefused: [...refused].map(([limit, count]) => ({ limit, count })),
      };
    },
  };
}
