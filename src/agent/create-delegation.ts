// In: an agent's key and current token, and what a sub-agent shall be allowed. Out: a signed delegation record.
// Offline: nothing is sent. What is wider than the delegator's own authority is said here, before anybody refuses it.
import {
  type DelegationProblem,
  type Delegator,
  rootDelegator,
  verifyDelegationChain,
} from "../lib/delegation-record.ts";
import { verifyDelegationRecord } from "../lib/delegation-record.ts";
import { RECORD_TYPE } from "../lib/parse-delegation-record.ts";
import type { JsonObject } from "../lib/strict-json.ts";
import { CordonError, type CordonErrorCode } from "./cordon-error.ts";
import type { AgentKey } from "./create-key.ts";
import { readClaims } from "./read-claims.ts";
import { signJwt } from "./sign-jwt.ts";

export interface DelegationRequest {
  /** RFC 7638 thumbprint of the sub-agent's own key: nobody else can use the record. */
  readonly delegateThumbprint: string;
  readonly purpose: string;
  /** Each covered by one of the delegator's. */
  readonly scope: readonly string[];
  /** RFC 9396; all of the delegator's where absent. */
  readonly details?: readonly JsonObject[];
  /** Narrower values, or further ones; the delegator's own stay in force where they are not named. */
  readonly constraints?: JsonObject;
  /** Unix milliseconds or a date; the delegator's own end where absent. */
  readonly expiresAt?: number | Date;
}

/** What the sub-agent is given: plain JSON, no secret. Without the sub-agent's key it is of no use. */
export interface Delegation {
  readonly issuer: string;
  readonly clientId: string;
  readonly record: string;
}

export interface DelegatorCredentials {
  readonly key: AgentKey;
  /** The delegator's current access token: it says what the delegator has, and is not passed on. */
  readonly accessToken: string;
}

/** An agent of this library, which keeps its key to itself. */
export interface CanDelegate {
  delegate(request: DelegationRequest): Promise<Delegation>;
}

/**
 * Throws CordonError `delegation_too_wide`, `depth_exceeded`, `expiry_beyond_parent` or `delegate_mismatch`, which name
 * the part; `usage` where the request is malformed.
 */
export async function createDelegation(
  delegator: CanDelegate | DelegatorCredentials,
  request: DelegationRequest,
): Promise<Delegation> {
  return "delegate" in delegator ? delegator.delegate(request) : signDelegation(delegator, request);
}

export function signDelegation({ key, accessToken }: DelegatorCredentials, request: DelegationRequest): Delegation {
  const { issuer, clientId, id, root, records, session, principal } = readClaims(accessToken);
  const parent = delegatorOf(rootDelegator(root, { session, principal }), records);
  if (parent.jkt !== key.thumbprint || parent.id !== id) {
    throw new CordonError("usage", "The key is not that of the token: an agent delegates what is its own.");
  }
  const task = id.slice(0, id.lastIndexOf("/"));
  const { delegateThumbprint: jkt, purpose, scope, details = parent.details } = request;
  const payload = {
    v: 1,
    iss: id,
    sub: `${task}/${jkt}`,
    delegate_jkt: jkt,
    task,
    session,
    principal: { type: principal.type, id: principal.id, issuer: principal.issuer },
    purpose,
    scope,
    details,
    constraints: { ...parent.constraints, ...request.constraints },
    // The clock of the delegator may be behind that of whoever signed for it.
    iat: Math.max(Math.floor(Date.now() / 1000), parent.issuedAt),
    exp: Math.floor(Number(request.expiresAt ?? parent.expiresAtMs) / 1000),
    depth: parent.depth + 1,
    prev: parent.recordHash,
  };
  const record = signJwt({ typ: RECORD_TYPE, jwk: key.publicJwk }, payload, key);
  const checked = verifyDelegationRecord(record, parent);
  if (!checked.ok) throw problemOf(checked.error);
  return { issuer, clientId, record };
}

/** The last of the chain, by the same rule by which everyone else reads it. */
function delegatorOf(root: Delegator, records: readonly string[]): Delegator {
  if (records.length === 0) return root;
  const verified = verifyDelegationChain(records, root);
  if (!verified.ok)
    throw new CordonError("record_invalid", `The token's own chain is not valid: ${describe(verified.error)}.`);
  const last = verified.value.at(-1);
  return last === undefined ? root : last.delegate;
}

const CODES: Partial<Record<DelegationProblem["code"], readonly [CordonErrorCode, string]>> = {
  scope_wider: ["delegation_too_wide", "A delegate's scope must be covered by the delegator's own; too wide is"],
  constraint_wider: ["delegation_too_wide", "A constraint of the delegator must stay or become narrower; too wide is"],
  details_wider: ["delegation_too_wide", "authorization_details must be covered by the delegator's own; too wide is"],
  expiry_beyond_parent: ["expiry_beyond_parent", "A delegate ends with its delegator or before; too late is"],
  depth_exceeded: ["depth_exceeded", "A chain has at most five hops; this one would be"],
  delegate_mismatch: ["delegate_mismatch", "The record must be for another agent's key; wrong is"],
};

function problemOf(problem: DelegationProblem): CordonError {
  const [code, sentence] = CODES[problem.code] ?? ["usage", "The delegation cannot be signed; wrong is"];
  return new CordonError(code, `${sentence} ${problem.detail}.`);
}

function describe({ code, detail, hop }: DelegationProblem): string {
  return `${code} at hop ${hop} (${detail})`;
}
