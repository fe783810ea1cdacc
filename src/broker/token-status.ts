// In: a token that this issuer signed. Out: whether a gateway should take it now, and what introspection says of it.
// Trusts the broker's database. Anything that is not surely good is not active (RFC 7662 section 2.2).
import type { GrantContext } from "./grants/grant-context.ts";
import { agentsClientOf } from "./grants/agent-token.ts";
import { SUPERSEDED_GRACE_MS } from "./grants/renew.ts";
import type { OwnToken } from "./own-token.ts";

export function isActive(context: GrantContext, token: OwnToken): boolean {
  const { state, issuer, nowMs } = context;
  const { jti, sub, exp, client_id: client } = token;
  if (exp * 1000 <= nowMs() || state.revocations.has("token", `${issuer.issuer} ${jti}`)) return false;
  // A client of the configuration file: its agents are not kept.
  if (!client.endsWith(agentsClientOf(""))) return true;
  const [agent, kept] = [state.agents.find(sub), state.agents.findToken(jti)];
  if (agent === undefined || agent.ended || kept?.agent !== sub) return false;
  const task = sub.slice(0, sub.lastIndexOf("/"));
  if (state.revocations.has("agent", sub) || state.revocations.has("task", task)) return false;
  if (state.revocations.has("chain", `${issuer.issuer} ${agent.authority.session.id}`)) return false;
  const successor = kept.successor === null ? undefined : state.agents.findToken(kept.successor);
  return kept.successor === null || (successor?.issuedMs ?? 0) + SUPERSEDED_GRACE_MS > nowMs();
}

/** RFC 7662 section 2.2, RFC 9449 section 6.2. What the caller needs to decide by, and nothing of the agent's own claims. */
export function introspectionOf(token: OwnToken) {
  const { iss, sub, aud, client_id, jti, iat, exp, scope, cnf, act, authorization_details: details } = token;
  const rest = { scope, cnf, act, authorization_details: details };
  const known = Object.entries(rest).filter(([, value]) => value !== undefined);
  return { active: true, token_type: "DPoP", iss, sub, aud, client_id, jti, iat, exp, ...Object.fromEntries(known) };
}
