// In: the checked claims of a token. Out: the value that is kept for it, with the Agent for each binding made once.
import type { Agent, AgentClaims, Binding } from "./agent.ts";
import type { TokenClaims } from "./read-claims.ts";
import type { SvidBinding } from "./svid-binding.ts";

/**
 * `cnf` (RFC 7800): what the caller must prove. At least one is present; where both are, both must be proven.
 * A JWT-SVID without `cnf` has `svid` alone.
 */
export interface Confirmation {
  readonly jkt?: string;
  readonly x5tS256?: string;
  readonly svid?: SvidBinding;
}

export interface VerifiedToken {
  readonly claims: TokenClaims;
  readonly issuer: string;
  readonly jti: string;
  readonly confirmation: Confirmation;
  /** `exp` in Unix milliseconds, without leeway. */
  readonly expiresAtMs: number;
  /** Base64url SHA-256 of the token text: `ath` of RFC 9449 section 4.2. */
  readonly tokenHash: string;
  /**
   * The caller as the rest of the gateway sees it; the same object on every call with the same key. `thumbprint` is that
   * of the certificate where `cnf` does not name it.
   */
  agentFor(binding: Binding, thumbprint?: string): Agent;
}

const NO_LABELS: readonly string[] = Object.freeze([]);

export function createVerifiedToken(facts: Omit<VerifiedToken, "agentFor">): VerifiedToken {
  const agents: { dpop?: Agent; mtls?: Agent } = {};
  return {
    ...facts,
    agentFor: (binding, thumbprint) => {
      const made = agents[binding];
      if (made !== undefined && (thumbprint === undefined || made.keyThumbprint === thumbprint)) return made;
      return (agents[binding] = createAgent(facts, binding, thumbprint));
    },
  };
}

function createAgent(facts: Omit<VerifiedToken, "agentFor">, binding: Binding, thumbprint?: string): Agent {
  const { agent, principal, intent, provenance, session } = facts.claims;
  const token = {
    issuer: facts.issuer,
    jti: facts.jti,
    binding,
    expires_at: new Date(facts.expiresAtMs).toISOString(),
  };
  const claims: AgentClaims = {
    agent,
    principal,
    intent,
    provenance,
    session: { ...session, labels: NO_LABELS },
    token,
  };
  const { jkt, x5tS256 } = facts.confirmation;
  const keyThumbprint = binding === "dpop" ? jkt : (x5tS256 ?? thumbprint);
  if (keyThumbprint === undefined) throw new Error(`the token is not bound by ${binding}`);
  return {
    claims,
    claimsJson: JSON.stringify(claims).slice(1, -1),
    binding,
    keyThumbprint,
    expiresAtMs: facts.expiresAtMs,
    refs: {
      token: `${facts.issuer} ${facts.jti}`,
      agent: agent.id,
      task: agent.id.slice(0, agent.id.lastIndexOf("/")),
      chain: `${facts.issuer} ${session.id}`,
      ancestors: session.chain.map(({ delegator }) => delegator),
    },
  };
}
