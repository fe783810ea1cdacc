// In: the configuration and the number of data threads. Out: the memory that they share with the supervisor.
import { randomBytes } from "node:crypto";
import type { Config } from "../config/schema.ts";
import { createCounterBuffer } from "../budget/counter-table.ts";
import { createEpochBuffer } from "../containment/epoch.ts";
import { createReplayTable } from "../token/replay-table.ts";
import { createEvaluationBuffer } from "./evaluation-watch.ts";
import { createIdClaimBuffer } from "./id-claims.ts";
import { createInFlightBuffer, flightSlots } from "./in-flight.ts";
import { createPendingBuffer } from "./pending-answers.ts";
import type { SharedMemory } from "./thread-messages.ts";

export function createSharedMemory(config: Config, threads: number, nowMs: number): SharedMemory {
  return {
    replay: createReplayTable({
      slots: config.proof.replay_slots,
      maxAgeMs: config.proof.max_age_s * 1000,
      maxAheadMs: config.proof.max_ahead_s * 1000,
      nowMs,
    }),
    epoch: createEpochBuffer(threads),
    revocations: createEpochBuffer(threads),
    tools: createEpochBuffer(threads),
    evaluation: createEvaluationBuffer(threads),
    pending: createPendingBuffer(threads),
    flight: createInFlightBuffer(threads, flightSlots(config)),
    ids: createIdClaimBuffer(threads),
    budgets: config.budgets.length === 0 ? undefined : createCounterBuffer(config.limits.budget_entries, threads),
    replayKey: randomBytes(32),
    nonceKey: randomBytes(32),
    sessionKey: randomBytes(32),
  };
}
