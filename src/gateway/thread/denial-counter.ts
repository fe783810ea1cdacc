// In: denials of callers that were not proven. Out: one audit event an interval, so that a flood cannot fill the disk.
import type { AuditEvent } from "../../audit/recorder.ts";
import type { Reason } from "../../errors.ts";

export interface DenialCounter {
  count(reason: Reason): void;
  /** The event for the interval that ends now, or null where nothing was denied. Starts the next interval. */
  take(atMs: number): AuditEvent | null;
}

export function createDenialCounter(startMs: number): DenialCounter {
  let counts: Partial<Record<Reason, number>> = {};
  let total = 0;
  let sinceMs = startMs;
  return {
    count(reason) {
      counts[reason] = (counts[reason] ?? 0) + 1;
      total++;
    },
    take(atMs) {
      const event: AuditEvent | null =
        total === 0
          ? null
          : {
              type: "denials",
              at: new Date(atMs).toISOString(),
              since: new Date(sinceMs).toISOString(),
              total,
              reasons: counts,
            };
      counts = {};
      total = 0;
      sinceMs = atMs;
      return event;
    },
  };
}
