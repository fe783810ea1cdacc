// In: the wall clock, and the time that this process carries forward by itself. Out: one line when they part, one when they meet.
// A step is not followed: which of the two is right, nobody here can know, and only the carried one makes replay sound.
import type { Clock } from "../../lib/clock.ts";
import type { ServiceLog } from "../../telemetry/service-log.ts";

/** Beyond this, callers with the wall clock's time are refused: the default window of proofs that are dated ahead. */
const DRIFT_MS_MAX = 5000;

/** Called each second. */
export function createClockWatch(
  clock: Clock,
  wallMs: () => number,
  log: Pick<ServiceLog, "error" | "info">,
): () => void {
  let apart = false;
  return () => {
    const driftMs = Math.round(wallMs() - clock.nowMs());
    if (Math.abs(driftMs) > DRIFT_MS_MAX === apart) return;
    apart = !apart;
    if (apart) {
      log.error("the wall clock was set; the time of the start is carried on, and only a restart takes the new one", {
        drift_ms: driftMs,
      });
    } else log.info("the wall clock agrees again with the time that is carried on", { drift_ms: driftMs });
  };
}
