// In: what has to be closed, in order. Out: all of it was tried; what failed or hung is logged and left behind.
// One part that cannot be closed, such as a log on a full disk, must not keep the others open and the process alive.
import type { ServiceLog } from "../../telemetry/service-log.ts";

export interface CloseStep {
  readonly name: string;
  /** Most are done at once; a drain knows its own limit. */
  readonly limitMs?: number;
  readonly close: () => unknown;
}

const LIMIT_MS = 5000;

export async function closeSteps(steps: readonly CloseStep[], log: ServiceLog): Promise<void> {
  for (const { name, close, limitMs = LIMIT_MS } of steps) {
    try {
      await within(limitMs, close);
    } catch (error) {
      log.error("a part of the gateway could not be closed", { part: name, error });
    }
  }
}

async function within(limitMs: number, close: () => unknown): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`not closed within ${limitMs} ms`)), limitMs);
  try {
    await Promise.race([close(), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
