// In: an issuer's refusal (RFC 6749 section 5.2, with the finer member `code`). Out: a typed error that says what to do.
// Trusts nothing of the answer: it is text of another machine, so it is bounded and cannot write on a terminal.
import { CordonError, type CordonErrorCode } from "./cordon-error.ts";

/** A description is a sentence; what is longer is not one. */
const TEXT_CHARS_MAX = 300;

interface Refusal {
  readonly code: CordonErrorCode;
  readonly message: string;
}

const RELAUNCH = "Ask the orchestrator for a new launch token.";
const REVOKED: Refusal = {
  code: "revoked",
  message: "This agent, its task or one that it was delegated by has ended or was revoked; an operator can say why.",
};
const BEYOND_CEILING: Refusal = {
  code: "scope_beyond_ceiling",
  message: "More was asked for than the application may give: ask for less, or have its ceiling raised.",
};
const WIDER: Refusal = {
  code: "delegation_too_wide",
  message: "More was asked for than this agent was given: it can only become less.",
};
const RECORD_INVALID: Refusal = {
  code: "record_invalid",
  message: "The issuer refused the delegation record: have the delegator sign a new one from its current token.",
};

/** By the answer's `code`. What is not listed is `token_refused`, with the issuer's own words. */
const REFUSALS: Readonly<Record<string, Refusal>> = {
  launch_token_unknown: {
    code: "launch_token_unknown",
    message: `The issuer does not know this launch token. ${RELAUNCH}`,
  },
  launch_token_spent: {
    code: "launch_token_spent",
    message: `The launch token was used before. If this agent did not use it, somebody else did: tell security. ${RELAUNCH}`,
  },
  launch_token_expired: {
    code: "launch_token_expired",
    message: `The launch token was not redeemed within its 30 seconds. ${RELAUNCH}`,
  },
  key_used_before: {
    code: "key_used_before",
    message: "One key is one agent, once: make a new key for every start, and never load one from a file.",
  },
  scope_beyond_ceiling: BEYOND_CEILING,
  details_beyond_ceiling: BEYOND_CEILING,
  constraint_beyond_ceiling: BEYOND_CEILING,
  scope_wider: WIDER,
  details_wider: WIDER,
  constraint_wider: WIDER,
  principal_not_allowed: {
    code: "principal_not_allowed",
    message: "The application may not act for this principal: it is not in its ceiling.",
  },
  depth_exceeded: {
    code: "depth_exceeded",
    message: "The chain of delegation is as deep as it may be: let an agent above delegate.",
  },
  expiry_beyond_parent: {
    code: "expiry_beyond_parent",
    message: "The delegation lives longer than the delegator: sign one that ends with it or before.",
  },
  record_invalid: RECORD_INVALID,
  record_expired: RECORD_INVALID,
  delegate_mismatch: {
    code: "delegate_mismatch",
    message: "The delegation record was made for another key: give the delegator this agent's own thumbprint.",
  },
  renewals_exhausted: {
    code: "renewals_exhausted",
    message: `This agent was renewed as often as it may be; its token serves to its end. ${RELAUNCH}`,
  },
  renewal_too_early: {
    code: "renewal_too_early",
    message: "The token is not old enough to be renewed: 75% of its life must have passed.",
  },
  parent_not_renewed: {
    code: "parent_not_renewed",
    message: "A delegate's token ends with its delegator's: it can be renewed once the delegator has renewed its own.",
  },
  token_superseded: {
    code: "token_superseded",
    message: `The token was renewed before, and the answer was lost for longer than the old one serves. ${RELAUNCH}`,
  },
  token_expired: { code: "token_expired", message: `The token expired before it was renewed. ${RELAUNCH}` },
  authority_expired: {
    code: "authority_ended",
    message: `The time that this agent was given ends with its token. ${RELAUNCH}`,
  },
  agent_ended: REVOKED,
  ancestor_revoked: REVOKED,
  task_revoked: REVOKED,
  token_revoked: REVOKED,
};

/** `answer` is the parsed body, where it was JSON. */
export function readRefusal(status: number, answer: Readonly<Record<string, unknown>> | undefined): CordonError {
  const error = textOf(answer?.["error"]) ?? "unknown";
  const code = answer?.["code"];
  const known = typeof code === "string" && Object.hasOwn(REFUSALS, code) ? REFUSALS[code] : undefined;
  const description = textOf(answer?.["error_description"]);
  const why = [error, textOf(code), description].filter((part) => part !== undefined).join(", ");
  return known === undefined
    ? new CordonError("token_refused", `The issuer refused a token: ${why} (status ${status}).`, { status, error })
    : new CordonError(known.code, `${known.message} (${why}, status ${status})`, { status, error });
}

function textOf(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  return value.replaceAll(/[\p{Cc}\u2028\u2029]/gu, "\uFFFD").slice(0, TEXT_CHARS_MAX);
}
