// In: why a request of an orchestrator or an agent is refused. Out: the one OAuth error of it, with its stable code.
// The code and the sentence are all that a caller reads; a detail goes to the log, and holds no secret either.
import { CustomOIDCProviderError } from "oidc-provider/lib/helpers/errors.js";
import { err } from "../../lib/result.ts";
import type { Err } from "../../lib/result.ts";

/** Code: OAuth error (RFC 6749 section 5.2, RFC 8693, RFC 9396, RFC 9449), and what is said of it. */
export const REFUSALS = {
  request_malformed: ["invalid_request", "a parameter is missing or malformed"],
  request_too_large: ["invalid_request", "what is asked for is too large to stand in a token"],
  client_not_allowed: ["unauthorized_client", "this client may not use this grant"],
  orchestration_not_allowed: ["invalid_request", "the orchestration is not one of this application"],
  scope_malformed: ["invalid_scope", "write each scope as action:resource:identifier"],
  scope_beyond_ceiling: ["invalid_scope", "the scope is beyond what this application may grant"],
  details_unknown_type: ["invalid_authorization_details", "authorization_details of an unknown type"],
  details_beyond_ceiling: [
    "invalid_authorization_details",
    "authorization_details beyond what this application may grant",
  ],
  constraint_beyond_ceiling: ["invalid_scope", "a constraint is wider than this application may grant"],
  ttl_beyond_ceiling: ["invalid_request", "ttl_s is out of bounds"],
  lifetime_beyond_ceiling: ["invalid_request", "lifetime_s is out of bounds"],
  renewals_beyond_ceiling: ["invalid_request", "renewals_max is out of bounds"],
  depth_beyond_ceiling: ["invalid_request", "depth_max is out of bounds"],
  principal_required: ["invalid_request", "say for which principal the agent acts"],
  principal_not_allowed: ["invalid_request", "this application may not act for this principal"],
  subject_token_type_unknown: ["invalid_request", "this subject_token_type is not accepted here"],
  subject_token_invalid: ["invalid_grant", "the subject_token is not one of a configured identity provider"],
  manifest_invalid: ["invalid_request", "the manifest's signature is not one of its publisher"],
  target_unknown: ["invalid_target", "resource is not one of this gateway's origins"],
  target_wider: ["invalid_target", "resource is not the one that was granted"],
  proof_required: ["invalid_dpop_proof", "a DPoP proof of the agent's key is required"],
  svid_unavailable: ["invalid_request", "this issuer gives no certificates"],
  launch_token_unknown: ["invalid_grant", "there is no such launch token"],
  launch_token_expired: ["invalid_grant", "the launch token has expired"],
  launch_token_spent: ["invalid_grant", "the launch token was used before"],
  key_used_before: ["invalid_grant", "the key was an agent's before; an agent makes a new one at every start"],
  scope_wider: ["invalid_scope", "the scope is wider than what was granted"],
  details_wider: ["invalid_authorization_details", "authorization_details wider than what was granted"],
  constraint_wider: ["invalid_scope", "a constraint is wider than what was granted"],
  task_revoked: ["invalid_grant", "the task was revoked"],
  token_invalid: ["invalid_grant", "the token is not a live one of this issuer"],
  token_expired: ["invalid_grant", "the token has expired"],
  token_revoked: ["invalid_grant", "the token was revoked"],
  token_superseded: ["invalid_grant", "the token was renewed before"],
  key_mismatch: ["invalid_grant", "the proof is by another key than the agent's"],
  agent_ended: ["invalid_grant", "the agent has ended"],
  authority_expired: ["invalid_grant", "the agent's authority ends with its token"],
  renewals_exhausted: ["invalid_grant", "the agent has renewed as often as it may"],
  renewal_too_early: ["invalid_request", "a token can be renewed from three quarters of its life on"],
  parent_not_renewed: ["invalid_grant", "the delegator's token ends no later; renew after it did"],
  record_invalid: ["invalid_grant", "the delegation record is not valid"],
  record_expired: ["invalid_grant", "the delegation record is not valid at this time"],
  delegate_mismatch: ["invalid_grant", "the delegation record is for another delegate"],
  depth_exceeded: ["invalid_grant", "no further delegation is allowed"],
  chain_full: ["invalid_grant", "the chain has as many agents as one may have"],
  application_full: ["temporarily_unavailable", "the application has as many agents as it may; release some, or wait"],
  expiry_beyond_parent: ["invalid_grant", "the delegation record outlives its delegator"],
  ancestor_revoked: ["invalid_grant", "a delegator of this agent has ended or was revoked"],
} as const satisfies Readonly<Record<string, readonly [error: string, description: string]>>;

export type RefusalCode = keyof typeof REFUSALS;

export interface Refusal {
  readonly code: RefusalCode;
  /** For the log. */
  readonly detail?: string;
}

export function refuse(code: RefusalCode, detail?: string): Err<Refusal> {
  return err(detail === undefined ? { code } : { code, detail });
}

/** The refusal as oidc-provider answers it: status 400, `error`, `error_description`; the server adds `code`. */
export class GrantRefusal extends CustomOIDCProviderError {
  readonly code: RefusalCode;

  constructor({ code, detail }: Refusal) {
    const [error, description] = REFUSALS[code];
    super(error, description, detail === undefined ? undefined : { detail: `${code}: ${detail}` });
    this.code = code;
  }
}

/** 503: nothing was granted and nothing kept; the same request may succeed in a moment. */
export class Unavailable extends CustomOIDCProviderError {
  constructor() {
    super("temporarily_unavailable", "the issuer cannot keep anything at the moment");
    this.status = 503;
    this.statusCode = 503;
  }
}
