// In: nothing; types only. Out: the verified caller, as the rest of the gateway sees it.
// Only `token/` makes an Agent, and only from a verified token and a verified key.

/** `input.agent`: who calls. SPIFFE id `spiffe://<trust-domain>/agent/<orchestration>/<task>/<instance>`. */
export interface AgentIdentity {
  readonly id: string;
  readonly trust_domain: string;
  readonly orchestration: string;
  readonly task: string;
  readonly instance: string;
}

/** `input.principal`: on whose authority. */
export interface Principal {
  readonly type: string;
  readonly id: string;
  readonly issuer: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** `input.intent`: for which task. `expires_at` is RFC 3339. */
export interface Intent {
  readonly task: string;
  readonly purpose: string;
  /** Scopes, each `action:resource:identifier`. */
  readonly scope: readonly string[];
  readonly details: readonly unknown[];
  readonly constraints: Readonly<Record<string, unknown>>;
  readonly expires_at: string;
}

/** `input.provenance`: by which model and deployment. `verified` is false unless a configured publisher signed it. */
export interface Provenance {
  readonly model: string;
  readonly model_version: string;
  readonly deployment: string;
  readonly environment: string;
  readonly config_digest: string;
  readonly image_digest: string;
  readonly prompt_digest: string;
  /** Who signed the agent's manifest; "" where nobody did. */
  readonly publisher: string;
  readonly verified: boolean;
}

export interface DelegationHop {
  readonly delegator: string;
  readonly delegate: string;
  readonly scope: readonly string[];
  readonly at: string;
}

/** `input.session`: in which chain of requests. */
export interface Session {
  readonly id: string;
  readonly root_request: string;
  readonly initiator: { readonly type: string; readonly id: string };
  readonly depth: number;
  readonly chain: readonly DelegationHop[];
  /**
   * What the policy has called answers that agents of this session or task were given; sorted. The gateway's word: no token
   * can name any, and in a policy's input it is always there.
   */
  readonly labels?: readonly string[];
}

export type Binding = "dpop" | "mtls";

/** `input.token`. */
export interface TokenFacts {
  readonly issuer: string;
  readonly jti: string;
  readonly binding: Binding;
  readonly expires_at: string;
}

/** The part of the policy input that belongs to the token: the first six members, in this order. */
export interface AgentClaims {
  readonly agent: AgentIdentity;
  readonly principal: Principal;
  readonly intent: Intent;
  readonly provenance: Provenance;
  readonly session: Session;
  readonly token: TokenFacts;
}

export interface Agent {
  readonly claims: AgentClaims;
  /** `claims` as JSON members without the outer braces, serialised once per token: `"agent":{..},..,"token":{..}`. */
  readonly claimsJson: string;
  readonly binding: Binding;
  /** RFC 7638 thumbprint of the DPoP key, or RFC 8705 `x5t#S256` of the certificate. */
  readonly keyThumbprint: string;
  /** `exp` of the token in Unix milliseconds, without leeway. */
  readonly expiresAtMs: number;
  /**
   * What containment may name: `token` is `issuer` + " " + `jti`, `agent` the SPIFFE id, `task` the id without its
   * instance, `chain` is `issuer` + " " + `session.id`.
   */
  readonly refs: ContainmentRefs;
}

export interface ContainmentRefs {
  readonly token: string;
  readonly agent: string;
  readonly task: string;
  readonly chain: string;
  /** SPIFFE ids of the agents it was delegated by: what is said of one of them reaches this one. */
  readonly ancestors: readonly string[];
}
