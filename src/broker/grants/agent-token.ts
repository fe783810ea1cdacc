// In: a live agent and one of its tokens. Out: the claims of that token, the same whenever they are asked for.
// Pure: a renewal whose answer was lost gets the same `jti`, times and claims again.
import type { Agent } from "../../token/agent.ts";
import type { IssuedToken, StoredAgent } from "../state/agents.ts";

export const ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token";
/** What the gateway takes by default (`limits.token_bytes_max`); a longer one could not be used. */
export const TOKEN_CHARS_MAX = 16_384;

/** The client of all agents of an application. They are not registered: a launch token and a key authorise each. */
export function agentsClientOf(application: string): string {
  return `${application}.agents`;
}

/** The `iss` and the trust domain of every token. */
export interface TokenIssuer {
  readonly issuer: string;
  readonly trustDomain: string;
}

export function agentTokenClaims(
  { issuer, trustDomain }: TokenIssuer,
  agent: Pick<StoredAgent, "id" | "application" | "authority" | "grant" | "expiresMs" | "depth">,
  token: IssuedToken,
) {
  const { authority, grant } = agent;
  const { orchestration, task, purpose, principal, provenance, session, chain, delegation, jkt } = authority;
  const { scope, details, constraints } = grant;
  return {
    iss: issuer,
    aud: authority.audience,
    sub: agent.id,
    client_id: agentsClientOf(agent.application),
    jti: token.jti,
    iat: Math.floor(token.issuedMs / 1000),
    exp: Math.floor(token.expiresMs / 1000),
    cnf: { jkt },
    scope: scope.join(" "),
    ...(details.length === 0 ? {} : { authorization_details: details }),
    act: actor(agent.id, chain),
    cordon: {
      agent: { id: agent.id, trust_domain: trustDomain, orchestration, task, instance: jkt },
      principal,
      intent: { task, purpose, scope, details, constraints, expires_at: rfc3339(agent.expiresMs) },
      provenance,
      session: { ...session, depth: agent.depth, chain },
      ...(delegation === undefined ? {} : { delegation }),
    },
  } satisfies Record<string, unknown> & { cordon: Omit<Agent["claims"], "token"> };
}

interface Actor {
  readonly sub: string;
  readonly act?: Actor;
}

/** RFC 8693 section 4.1: the outermost is the current actor, each inner one its delegator. */
function actor(id: string, chain: StoredAgent["authority"]["chain"]): Actor {
  let act: Actor | undefined;
  for (const { delegator } of chain) act = act === undefined ? { sub: delegator } : { sub: delegator, act };
  return act === undefined ? { sub: id } : { sub: id, act };
}

/** Whole seconds, as in the token's own times. */
export function rfc3339(timeMs: number): string {
  return `${new Date(Math.floor(timeMs / 1000) * 1000).toISOString().slice(0, -5)}Z`;
}
