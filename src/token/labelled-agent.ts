// In: an agent and the labels of its session. Out: the same agent with them in its claims, as policy sees it.
// The claims are kept parsed by their text wherever they are kept, so other labels are other claims and none goes stale.
import type { Agent } from "./agent.ts";

interface Labelled {
  readonly key: string;
  readonly agent: Agent;
}

/** The last one of each agent: labels change rarely. Empty while nothing is labelled. */
const labelled = new WeakMap<Agent, Labelled>();

/** `labels` are sorted. Without any it is the agent itself. */
export function withLabels(agent: Agent, labels: readonly string[]): Agent {
  const before = agent.claims.session.labels ?? [];
  if (labels.length === 0 && before.length === 0) return agent;
  const key = labels.join(" ");
  if (key === before.join(" ")) return agent;
  const known = labelled.get(agent);
  if (known?.key === key) return known.agent;
  const claims = { ...agent.claims, session: { ...agent.claims.session, labels } };
  const made = { ...agent, claims, claimsJson: JSON.stringify(claims).slice(1, -1) };
  labelled.set(agent, { key, agent: made });
  return made;
}
