// In: the reports of all threads on whom they saw. Out: the operators' list of agents, bounded, with the mode of now.
import { LRUCache } from "lru-cache";
import type { SeenAgent } from "../../admin/control-plane.ts";
import type { ContainmentRefs } from "../../token/agent.ts";
import type { SeenAgentCount } from "../thread-messages.ts";

/** Agents that the list remembers; the ones not seen for longest go first. */
const AGENTS_MAX = 10_000;

export interface SeenAgentsTable {
  add(seen: readonly SeenAgentCount[]): void;
  list(modeFor: (refs: ContainmentRefs) => SeenAgent["mode"]): readonly SeenAgent[];
}

export function createSeenAgentsTable(): SeenAgentsTable {
  const table = new LRUCache<string, SeenAgentCount>({ max: AGENTS_MAX });
  return {
    add(seen) {
      for (const one of seen) {
        const exchanges = (table.get(one.id)?.exchanges ?? 0) + one.exchanges;
        table.set(one.id, { ...one, exchanges });
      }
    },
    list: (modeFor) =>
      [...table.values()].map((one) => ({
        id: one.id,
        task: one.task,
        chain: one.chain,
        principal: one.principal,
        key_thumbprint: one.keyThumbprint,
        last_seen: new Date(one.lastSeenMs).toISOString(),
        exchanges: one.exchanges,
        mode: modeFor({
          token: one.token,
          agent: one.id,
          task: one.task,
          chain: one.chain,
          ancestors: one.ancestors,
        }),
      })),
  };
}
