// In: our data folder and the time. Out: a sign of life each second, and the moment before which no proof may be accepted.
// Trusts: what the gateway before this one wrote of its end; where it wrote nothing, it may have lived until now.
import { ASSERTIONS_AHEAD_S } from "../../broker/assertion-window.ts";
import type { Config } from "../../config/schema.ts";
import type { Clock } from "../../lib/clock.ts";
import type { ServiceLog } from "../../telemetry/service-log.ts";
import type { DataFolder } from "./data-folder.ts";

export interface SignOfLife {
  /** Ends the signs; the folder's own `end` is the last one. */
  close(): void;
}

const INTERVAL_MS = 1000;

/** A gateway that ran here a moment ago may have accepted proofs up to `max_ahead_s` after its end, its issuer assertions. */
export function proofsFrom(config: Config, folder: DataFolder, startedAtMs: number): number {
  if (folder.lastAliveMs === 0) return startedAtMs;
  const aheadS = Math.max(config.proof.max_ahead_s, config.broker === undefined ? 0 : ASSERTIONS_AHEAD_S);
  return Math.max(startedAtMs, folder.lastAliveMs + INTERVAL_MS + aheadS * 1000);
}

export function startSignOfLife(options: {
  readonly folder: DataFolder;
  readonly clock: Clock;
  readonly log: ServiceLog;
  /** Called with each sign but the first. */
  readonly onSign: () => void;
}): SignOfLife {
  const { folder, clock, log, onSign } = options;
  let written = true;
  const sign = (): void => {
    try {
      folder.keepAlive(clock.nowMs());
      written = true;
    } catch (error) {
      // A full or read-only disk must not end the process. The next start knows nothing of its end, and waits for that.
      if (written) log.error("the sign of life in the data folder cannot be written", { error });
      written = false;
    }
  };
  const timer = setInterval(() => {
    sign();
    onSign();
  }, INTERVAL_MS);
  sign();
  return { close: () => clearInterval(timer) };
}

/** Resolves when a proof that is made now lies after `floorMs`. `tell` hears of a wait that is longer than a usual one. */
export async function waitForProofs(nowMs: () => number, floorMs: number, tell: (ms: number) => void): Promise<void> {
  // Proofs carry whole seconds.
  const ms = Math.ceil((Math.floor(floorMs / 1000) + 1) * 1000 - nowMs());
  if (ms <= 0) return;
  if (ms > INTERVAL_MS) tell(ms);
  await new Promise((resolve) => setTimeout(resolve, ms));
}
