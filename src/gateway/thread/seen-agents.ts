// In: the agent of each exchange. Out: who was seen since the last report, for the operators' list. Bounded.
import type { Agent } from "../../token/agent.ts";
import type { SeenAgentCount } from "../thread-messages.ts";

/** Agents named in one report; a thread that meets more within a second reports the rest when they come again. */
const AGENTS_MAX = 5000;

export interface SeenAgents {
  see(agent: Agent, nowMs: number): void;
  /** What was seen since the last call. */
  take(): readonly SeenAgentCount[];
}

export function createSeenAgents(): SeenAgents {
  let seen = new Map<string, { agent: Agent; lastSeenMs: number; exchanges: number }>();
  return {
    see(agent, nowMs) {
      const known = seen.get(agent.refs.agent);
      if (known !== undefined) {
        known.agent = agent;
        known.lastSeenMs = nowMs;
        known.exchanges++;
      } else if (seen.size < AGENTS_MAX) {
        seen.set(agent.refs.agent, { agent, lastSeenMs: nowMs, exchanges: 1 });
      }
    },
    take() {
      if (seen.size === 0) return [];
      const counts = [...seen.values()].map(({ agent, lastSeenMs, exchanges }) => ({
        id: agent.refs.agent,
        task: agent.refs.task,
        token: agent.refs.token,
        chain: agent.refs.chain,
        ancestors: agent.refs.ancestors,
        principal: `${agent.claims.principal.type}:${agent.claims.principal.id}`,
        keyThumbprint: agent.keyThumbprint,
        lastSeenMs,
        exchanges,
      }));
      seen = new Map();
      return counts;
    },
  };
}
