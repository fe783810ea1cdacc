// In: nothing; types only. Out: the contract with Rego, entry point `cordon/decision` (design section 4).
import type { Action, Environment, Resource } from "../action/action.ts";
import type { AgentClaims } from "../token/agent.ts";

/** The whole `input` document. */
export interface PolicyInput extends AgentClaims {
  readonly action: Action;
  readonly resource: Resource;
  readonly environment: Environment;
}

export interface DecisionReason {
  /** Stable, lower case, dotted: `hiring.salary_is_out_of_scope`. */
  readonly code: string;
  /** For the log only, never for the caller. */
  readonly detail?: string;
  /** Meant for the caller: with this scope (RFC 6749 section 3.3) the policy might have said otherwise. */
  readonly scope?: string;
}

/** What the gateway must also do. An obligation that it does not know is a deny. */
export interface Obligations {
  /** JSON pointers (RFC 6901) removed from a JSON response. */
  readonly redact?: readonly string[];
  readonly containment?: "quarantined" | "blocked";
  readonly max_response_bytes?: number;
  readonly alert?: "low" | "medium" | "high" | "critical";
  /** The answer is judged by `cordon/response` before the agent sees it. */
  readonly judge_response?: boolean;
}

export interface Decision {
  readonly allow: boolean;
  readonly reasons: readonly DecisionReason[];
  readonly obligations: Obligations;
}

/** What `cordon/response` says of one answer, or of one message of a stream. */
export interface ResponseVerdict {
  readonly allow: boolean;
  readonly reasons: readonly DecisionReason[];
  /** JSON pointers into what was judged. */
  readonly redact: readonly string[];
  /** For the session, before the answer is given. */
  readonly labels: readonly string[];
}

/** What identifies the policy that decided; it stands in every decision-log line. */
export interface PolicyRevision {
  /** `revision` of the bundle's manifest, or the SHA-256 of the bundle where it has none. */
  readonly bundle: string;
  /** Revision of the data that was updated on its own; "" where it was not. */
  readonly data: string;
}

/** What the supervisor sends to every data thread. `module` is shared, compiled once. */
export interface LoadedPolicyMessage {
  readonly revision: PolicyRevision;
  readonly module: WebAssembly.Module;
  /** The whole `data` document as JSON text. */
  readonly dataJson: string;
}
