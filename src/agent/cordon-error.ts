// In: what went wrong for an agent. Out: one typed error that says what is wrong and how to mend it.

export type CordonErrorCode =
  | "key_invalid"
  | "issuer_unreachable"
  | "issuer_answer_invalid"
  | "token_refused"
  | "target_refused"
  | "body_not_repeatable"
  | "gateway_unreachable"
  | "usage"
  // What an issuer says finer than OAuth does (its member `code`); refusals.ts says what to do.
  | "launch_token_unknown"
  | "launch_token_spent"
  | "launch_token_expired"
  | "key_used_before"
  | "scope_beyond_ceiling"
  | "principal_not_allowed"
  | "depth_exceeded"
  | "expiry_beyond_parent"
  | "record_invalid"
  | "delegate_mismatch"
  | "renewals_exhausted"
  | "renewal_too_early"
  | "parent_not_renewed"
  | "token_superseded"
  | "revoked"
  | "authority_ended"
  // What the library finds by itself.
  | "delegation_too_wide"
  | "token_expired"
  | "agent_closed";

/** `code` is stable; `status` and `error` are those of the server's answer where there was one (RFC 6749 section 5.2). */
export class CordonError extends Error {
  readonly code: CordonErrorCode;
  readonly status: number | undefined;
  readonly error: string | undefined;

  constructor(
    code: CordonErrorCode,
    message: string,
    options: { readonly status?: number; readonly error?: string; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CordonError";
    this.code = code;
    this.status = options.status;
    this.error = options.error;
  }
}
