// In: nothing; types only. Out: what a launch gives to an agent: what never changes, and what can only become narrower.
import type { DelegationClaim } from "../../lib/parse-delegation-record.ts";
import type { JsonObject } from "../../lib/strict-json.ts";
import type { DelegationHop, Principal, Provenance, Session } from "../../token/agent.ts";

/** What may be narrowed at every step. */
export interface Grant {
  readonly scope: readonly string[];
  readonly details: readonly JsonObject[];
  readonly constraints: JsonObject;
}

/** `id` names the chain: delegates inherit it. */
export type SessionOrigin = Pick<Session, "id" | "root_request" | "initiator">;

/** As long as the agent lives. */
export interface Authority {
  readonly orchestration: string;
  readonly task: string;
  readonly purpose: string;
  readonly principal: Principal;
  readonly provenance: Provenance;
  readonly session: SessionOrigin;
  readonly ttl_s: number;
  readonly renewals_max: number;
  readonly depth_max: number;
}

/** What a launch token stands for. */
export interface Launch extends Authority {
  readonly grant: Grant;
  readonly lifetime_s: number;
  /** The one resource that a token may be for; any of the gateway's origins where absent. */
  readonly audience?: string;
}

/** What the issuer remembers of a live agent. */
export interface AgentAuthority extends Authority {
  readonly audience: string;
  /** RFC 7638 thumbprint of its key, which is its instance too. */
  readonly jkt: string;
  readonly chain: readonly DelegationHop[];
  /** Exactly for a delegate. */
  readonly delegation?: DelegationClaim;
  /** Hash and time (Unix seconds) of the record that made it a delegate. */
  readonly record?: { readonly hash: string; readonly issued_at: number };
}
