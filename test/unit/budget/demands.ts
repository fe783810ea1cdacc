// In: what a test wants to differ. Out: what one call asks of one budget.
import { createHash } from "node:crypto";
import type { Demand } from "../../../src/budget/budget.ts";

export const T0_MS = 1_800_000_000_000;
export const HOUR_MS = 3_600_000;

export function demand(changes: Partial<Demand> = {}): Demand {
  return { name: "refunds", key: keyOf("a"), limits: {}, bytes: 0, amount: 0, untilMs: T0_MS + HOUR_MS, ...changes };
}

export function keyOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}
