// In: a reason (why an exchange was denied or failed). Out: its HTTP status, public code and title.
// The only registry of exits: a reason goes to the logs, its `code` and `title` to the caller.
// The code never tells policy detail: many reasons may share one code. docs/reasons.md lists them all.

export interface ReasonEntry {
  /** HTTP status of the answer. */
  readonly status: number;
  /** Stable public code, the `code` member of the RFC 9457 problem document. */
  readonly code: string;
  /** One sentence for the caller: what is wrong, and where useful how to mend it. */
  readonly title: string;
}

const invalidToken = (title = "The access token is not valid here.") => ({ status: 401, code: "invalid_token", title });
const invalidProof = (title = "The proof of possession is not valid for this request.") => ({
  status: 401,
  code: "invalid_dpop_proof",
  title,
});
const badRequest = (title: string) => ({ status: 400, code: "bad_request", title });
const badBody = (title: string) => ({ status: 400, code: "bad_body", title });
const badMessage = (title: string) => ({ status: 400, code: "invalid_message", title });
const denied = (title = "Policy does not allow this action.") => ({ status: 403, code: "access_denied", title });
const badGateway = (title: string) => ({ status: 502, code: "bad_gateway", title });
const withheld = (status: 403 | 502, title: string) => ({ status, code: "response_withheld", title });
const unavailable = (title: string) => ({ status: 503, code: "unavailable", title });

export const REASONS = {
  // exchange: what the socket delivered is not a request that can be judged
  "exchange.malformed": badRequest("The request is not well-formed HTTP/1.1."),
  "exchange.headers_too_large": { status: 431, code: "headers_too_large", title: "The request headers are too large." },
  "exchange.timeout": { status: 408, code: "request_timeout", title: "The request was not sent in time." },
  "exchange.bad_target": badRequest("The request target is not in canonical form; send a plain absolute path."),
  "exchange.bad_query": badRequest("The query is malformed or names a parameter twice."),
  "exchange.bad_host": { status: 421, code: "misdirected_request", title: "This host is not served here." },
  "exchange.duplicate_header": badRequest("A header that may be sent once was sent more than once."),
  "exchange.forbidden_header": badRequest("The request carries a header that is not allowed here."),
  "exchange.upgrade_refused": badRequest("This route does not accept a protocol upgrade."),
  "exchange.connect_refused": { status: 405, code: "method_not_allowed", title: "CONNECT is not served here." },
  "exchange.client_closed": { status: 499, code: "client_closed", title: "The client closed the connection." },

  // route: no declared resource
  "route.unknown": { status: 404, code: "not_found", title: "No route matches this path." },
  "route.method_not_allowed": {
    status: 405,
    code: "method_not_allowed",
    title: "This route does not accept the method.",
  },

  // credentials: how the token was presented
  "credentials.missing": {
    status: 401,
    code: "credentials_missing",
    title: "Send a key-bound access token: `Authorization: DPoP <token>` with a `DPoP` proof, or a client certificate.",
  },
  "credentials.malformed": {
    status: 401,
    code: "credentials_missing",
    title: "The Authorization header is malformed; send `Authorization: DPoP <token>`.",
  },
  "credentials.two_schemes": { status: 400, code: "invalid_request", title: "Use one authentication scheme." },
  "credentials.bound_token_as_bearer": invalidToken("This token is bound to a key; send it with the DPoP scheme."),

  // token: RFC 9068, RFC 8725
  "token.malformed": invalidToken(),
  "token.too_large": invalidToken(),
  "token.type": invalidToken(),
  "token.algorithm": invalidToken(),
  "token.critical_header": invalidToken(),
  "token.issuer": invalidToken(),
  "token.key_unknown": invalidToken(),
  "token.keys_unavailable": unavailable("The issuer's keys cannot be read at the moment."),
  "token.signature": invalidToken(),
  "token.audience": invalidToken(),
  "token.expired": invalidToken("The access token has expired."),
  "token.not_yet_valid": invalidToken(),
  "token.lifetime": invalidToken(),
  "token.unbound": invalidToken("The access token is not bound to a key (`cnf`)."),
  "token.claims": invalidToken(),
  "token.revoked": invalidToken("The access token was revoked."),
  "token.superseded": invalidToken("The access token was renewed; use the new one."),
  "token.revocations_full": unavailable("The gateway cannot tell at the moment which tokens were revoked."),
  "token.delegation": invalidToken("The delegation that the access token claims is not proven by its records."),

  // proof: RFC 9449 section 4.3
  "proof.missing": invalidProof("Send exactly one DPoP header."),
  "proof.duplicate": invalidProof("Send exactly one DPoP header."),
  "proof.malformed": invalidProof(),
  "proof.too_large": invalidProof(),
  "proof.type": invalidProof(),
  "proof.algorithm": invalidProof(),
  "proof.critical_header": invalidProof(),
  "proof.key": invalidProof(),
  "proof.private_key": invalidProof(),
  "proof.signature": invalidProof(),
  "proof.method": invalidProof(),
  "proof.uri": invalidProof(),
  "proof.claims": invalidProof(),
  "proof.too_old": invalidProof("The proof is too old; make a new one for each request."),
  "proof.from_the_future": invalidProof("The proof is from the future; check the clock of the client."),
  "proof.before_start": invalidProof("The proof was made before the gateway started; make a new one."),
  "proof.token_hash": invalidProof(),
  "proof.key_mismatch": invalidProof("The proof is signed by another key than the token is bound to."),
  "proof.replayed": invalidProof("The proof was used before; make a new one for each request."),
  "proof.nonce_required": { status: 401, code: "use_dpop_nonce", title: "Repeat the proof with the nonce given here." },
  "proof.nonce_mismatch": { status: 401, code: "use_dpop_nonce", title: "Repeat the proof with the nonce given here." },
  "proof.key_quota": {
    status: 429,
    code: "too_many_proofs",
    title: "This key has used its share of proofs; slow down.",
  },
  "proof.peer_failures": {
    status: 429,
    code: "too_many_failures",
    title: "Too many proofs from this address have failed; slow down.",
  },
  "proof.table_full": unavailable("The gateway cannot accept more proofs at the moment."),

  // certificate: RFC 8705
  "certificate.missing": invalidToken("The token is bound to a client certificate; present it on this connection."),
  "certificate.mismatch": invalidToken("The token is bound to another client certificate."),
  "certificate.expired": invalidToken("The client certificate is outside its validity."),
  "certificate.untrusted": invalidToken("The client certificate is not trusted here."),

  // containment
  "containment.blocked": { status: 403, code: "blocked", title: "This agent is blocked." },
  "containment.drained": { status: 403, code: "blocked", title: "This agent has been drained and is blocked." },
  "containment.full": unavailable("The gateway holds as many containment entries as it may."),
  "containment.no_monitor": unavailable("This agent is quarantined and no monitor is configured."),
  "containment.stale": unavailable("The gateway cannot read the containment state."),

  // action: what the body says
  "body.too_large": { status: 413, code: "body_too_large", title: "The body is larger than this route inspects." },
  "body.no_room": unavailable("The gateway holds as many bytes of request bodies as it may."),
  "body.agent_quota": {
    status: 429,
    code: "too_many_body_bytes",
    title: "This agent has as many bytes of request bodies in flight as it may; wait for answers.",
  },
  "body.media_type": { status: 415, code: "unsupported_media_type", title: "Send `Content-Type: application/json`." },
  "body.encoding": { status: 415, code: "unsupported_media_type", title: "Send the body without Content-Encoding." },
  "body.malformed": badBody("The body is not well-formed JSON in UTF-8."),
  "body.duplicate_key": badBody("The body names an object member twice."),
  "body.forbidden_key": badBody("The body has an object member name that is not allowed."),
  "body.too_deep": badBody("The body is nested too deeply."),
  "body.number": badBody("The body has a number that does not survive parsing unchanged."),

  // mcp: a message that is not one, or that its headers tell otherwise
  "mcp.bad_origin": { status: 403, code: "bad_origin", title: "Requests from this origin are not served here." },
  "mcp.version": {
    status: 400,
    code: "unsupported_protocol_version",
    title: "This version of MCP is not spoken here.",
  },
  "mcp.header_mismatch": {
    status: 400,
    code: "header_mismatch",
    title: "A header of MCP is missing, malformed or says something else than the body.",
  },
  "mcp.batch": badMessage("Send one JSON-RPC message; batches are not accepted."),
  "mcp.message": badMessage("The body is not one JSON-RPC 2.0 message as MCP wants it."),
  "mcp.params": {
    status: 400,
    code: "invalid_params",
    title: "The message's params are not those of its method.",
  },
  "mcp.arguments_invalid": {
    status: 400,
    code: "invalid_params",
    title: "The arguments do not fit the tool's input schema.",
  },
  "mcp.tool_unknown": denied("This tool is not among those that are accepted here."),
  "mcp.tool_drifted": denied("This tool is not as it was accepted here."),
  "mcp.unknown_method": { status: 404, code: "method_not_found", title: "This method is not known here." },
  "mcp.unknown_method_in_session": { status: 400, code: "method_not_found", title: "This method is not known here." },
  "mcp.id_in_use": {
    status: 400,
    code: "id_in_use",
    title:
      "A request with this id has no answer yet in this session, or its answer was not seen. Use another id or a new session.",
  },
  "mcp.id_quota": {
    status: 429,
    code: "too_many_requests",
    title: "This agent has as many requests without an answer in its sessions as it may.",
  },
  "mcp.session": { status: 404, code: "session_not_found", title: "There is no such session; initialize a new one." },

  // operation: a request that the OpenAPI document of its route does not describe
  "operation.unknown": { status: 404, code: "not_found", title: "No operation is described for this path." },
  "operation.method": {
    status: 405,
    code: "method_not_allowed",
    title: "No operation is described for this method.",
  },
  "operation.arguments": {
    status: 400,
    code: "invalid_arguments",
    title: "The parameters or the body do not fit the operation's description.",
  },

  // decision
  "policy.denied": denied(),
  "policy.undefined": denied(),
  "policy.malformed_decision": denied(),
  "policy.error": denied(),
  "policy.late": denied(),
  "policy.input_too_large": denied(),
  "policy.suspended": denied("This action is suspended after it made the policy run too long."),
  "policy.not_loaded": unavailable("No policy is loaded."),
  "policy.unknown_obligation": denied(),

  // budget: what the agent, its task or the tool may still use
  "budget.exhausted": {
    status: 429,
    code: "budget_exhausted",
    title: "A budget for this call is used up; where `Retry-After` is given, wait so long.",
  },
  "budget.argument": {
    status: 400,
    code: "invalid_amount",
    title: "An argument that is counted must be there, as a non-negative whole number in minor units.",
  },
  "budget.length_required": {
    status: 411,
    code: "length_required",
    title: "The bytes of this body are counted; send it with Content-Length.",
  },
  "budget.table_full": unavailable("The gateway cannot count for more agents, tasks or tools at the moment."),
  "budget.unavailable": unavailable("The gateway cannot read its budgets at the moment."),

  // recording
  "audit.unavailable": unavailable("The audit log cannot be written; nothing was sent to the tool."),
  "audit.queue_full": unavailable("The audit log is behind; nothing was sent to the tool."),

  // upstream
  "upstream.address_refused": badGateway("The tool's address is not allowed."),
  "upstream.unreachable": badGateway("The tool cannot be reached."),
  "upstream.untrusted": badGateway("The tool's certificate is not trusted."),
  "upstream.protocol": badGateway("The tool sent an invalid response."),
  "upstream.closed": badGateway("The tool closed the connection before its response was complete."),
  "upstream.response_too_large": badGateway("The tool's response is larger than allowed."),
  "upstream.cannot_redact": badGateway("The tool's response cannot be redacted as policy asks."),
  "upstream.cannot_filter": badGateway("The tool's list cannot be filtered as policy asks."),
  "upstream.timeout": { status: 504, code: "gateway_timeout", title: "The tool did not answer in time." },

  // response: what policy says of the tool's answer; where a request was sent, the tool has acted
  "response.denied": withheld(403, "The tool has answered, and policy withholds its answer."),
  "response.labels_full": withheld(502, "The tool has answered, and what its answer is called cannot be remembered."),
  "response.not_labelled": withheld(502, "The tool has answered, and what its answer is called could not be written."),
  "response.not_judged": withheld(502, "The tool's answer cannot be judged as policy asks."),

  // stream: an event stream or tunnel that is not opened, or was cut
  "stream.too_many": unavailable("The gateway has reached its limit of open streams."),
  "stream.agent_quota": {
    status: 429,
    code: "too_many_streams",
    title: "This agent has as many streams open as it may; close one first.",
  },
  "stream.cut_containment": {
    status: 403,
    code: "blocked",
    title: "This agent was contained while the stream was open.",
  },
  "stream.cut_revoked": {
    status: 401,
    code: "invalid_token",
    title: "The access token was revoked while the stream was open.",
  },
  "stream.cut_expired": {
    status: 401,
    code: "invalid_token",
    title: "The access token expired while the stream was open.",
  },
  "stream.cut_budget": {
    status: 429,
    code: "budget_exhausted",
    title: "A budget was used up while the stream was open.",
  },
  "stream.cut_policy": denied("Policy no longer allows this stream."),

  // gateway
  "gateway.overloaded": unavailable("The gateway has reached its limit of concurrent work."),
  "gateway.agent_overloaded": {
    status: 429,
    code: "too_many_requests",
    title: "This agent has as many requests in flight as it may; wait for answers.",
  },
  "gateway.draining": unavailable("The gateway is shutting down."),
  "gateway.thread_ended": unavailable("The thread that carried this request was replaced."),
  "gateway.internal_error": {
    status: 500,
    code: "internal_error",
    title: "The gateway failed; the id of this request stands in its log.",
  },
} as const satisfies Record<string, ReasonEntry>;

export type Reason = keyof typeof REASONS;

/** Why a step refused: the reason, and a detail that is for the log only. */
export interface Denial {
  readonly reason: Reason;
  readonly detail?: string;
}

export function deny(reason: Reason, detail?: string): Denial {
  return detail === undefined ? { reason } : { reason, detail };
}
