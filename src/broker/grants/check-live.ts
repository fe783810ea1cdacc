// In: an agent of the database. Out: whether it may still get a token, or why not.
// One step of a transaction. An agent's end takes its delegates along, so the delegator that is looked at is the nearest one.
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import type { StoredAgent } from "../state/agents.ts";
import type { GrantContext } from "./grant-context.ts";
import { type Refusal, refuse } from "./refusal.ts";

/** Ids as in the feed to the gateway. */
export function tokenRef({ issuer }: Pick<GrantContext["issuer"], "issuer">, jti: string): string {
  return `${issuer} ${jti}`;
}

export function chainRef({ issuer }: Pick<GrantContext["issuer"], "issuer">, session: string): string {
  return `${issuer} ${session}`;
}

export function taskRef(agentId: string): string {
  return agentId.slice(0, agentId.lastIndexOf("/"));
}

/** Not ended, and not revoked by agent, task or chain. */
export function checkLive(agent: StoredAgent, { state, issuer }: GrantContext): Result<StoredAgent, Refusal> {
  const { revocations } = state;
  if (agent.ended || revocations.has("agent", agent.id)) return refuse("agent_ended");
  if (revocations.has("task", taskRef(agent.id))) return refuse("task_revoked");
  if (revocations.has("chain", chainRef(issuer, agent.authority.session.id)))
    return refuse("ancestor_revoked", "chain");
  return ok(agent);
}

/** A delegator has to live, with a token that was not revoked and has not run out. */
export function checkDelegator(id: string, context: GrantContext): Result<StoredAgent, Refusal> {
  const agent = context.state.agents.find(id);
  if (agent === undefined) return refuse("ancestor_revoked", "gone");
  const live = checkLive(agent, context);
  if (!live.ok) return refuse("ancestor_revoked", live.error.code);
  if (context.state.revocations.has("token", tokenRef(context.issuer, agent.token))) {
    return refuse("ancestor_revoked", "token_revoked");
  }
  return agent.tokenExpiresMs > context.nowMs() ? live : refuse("ancestor_revoked", "token_expired");
}
