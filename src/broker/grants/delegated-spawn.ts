// In: a delegation record and the thumbprint of a key that was proved over this request. Out: the delegate and its token.
// The record was signed offline by its delegator; it is held against what that agent has, and is, at this moment.
import { randomUUID } from "node:crypto";
import { type DelegationCode, type Delegator, verifyDelegationRecord } from "../../lib/delegation-record.ts";
import {
  CHAIN_CHARS_MAX,
  type DelegationRecord,
  type DelegationRoot,
  parseDelegationRecord,
} from "../../lib/parse-delegation-record.ts";
import type { Application } from "../../lib/application-schema.ts";
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import type { StoredAgent } from "../state/agents.ts";
import { rfc3339 } from "./agent-token.ts";
import type { AgentAuthority, Grant } from "./authority.ts";
import { checkCeiling, checkStanding, hasRoom } from "./check-ceiling.ts";
import { checkDelegator } from "./check-live.ts";
import type { GrantContext } from "./grant-context.ts";
import { type SignedToken, signToken } from "./issue-token.ts";
import { narrowGrant } from "./narrow-grant.ts";
import { readAskedGrant, textOf } from "./read-parameters.ts";
import { type Refusal, type RefusalCode, refuse } from "./refusal.ts";
import { type ExchangeRequest, wholeSecond } from "./spawn.ts";
import { readManifest } from "./verify-manifest.ts";
import type { Provenance } from "../../token/agent.ts";

/** A delegator's clock may be ahead of this one by so much. */
const LEEWAY_MS = 30_000;

/**
 * Delegation is the one way in which an agent makes rows by itself: so many of one chain are kept at a time, with those
 * that ended within the hour. A swarm that is larger is launched in several chains.
 */
const CHAIN_AGENTS_MAX = 1000;

/** What a delegator can mend is said; of what is forged or spliced only that it is not valid. */
const CODES: Partial<Readonly<Record<DelegationCode, RefusalCode>>> = {
  depth_exceeded: "depth_exceeded",
  expiry_beyond_parent: "expiry_beyond_parent",
  delegate_mismatch: "delegate_mismatch",
  scope_wider: "scope_wider",
  constraint_wider: "constraint_wider",
  details_wider: "details_wider",
};

export async function spawnDelegate(
  request: ExchangeRequest,
  context: GrantContext,
): Promise<Result<SignedToken, Refusal>> {
  return context.state.commit.run(() => spawnNow(request, context));
}

interface VerifiedDelegation {
  readonly parent: StoredAgent;
  readonly record: DelegationRecord;
  readonly recordHash: string;
}

/** Whether a live agent of this application signed it, within what it has at this moment. */
export function verifyRecord(request: ExchangeRequest, context: GrantContext): Result<VerifiedDelegation, Refusal> {
  const parsed = parseDelegationRecord(request.subjectToken);
  if (!parsed.ok) return refuse("record_invalid", parsed.error.code);
  const { iss } = parsed.value.payload;
  const parent = context.state.agents.find(iss);
  if (parent === undefined || parent.application !== request.application) return refuse("record_invalid", "delegator");
  const live = checkDelegator(iss, context);
  if (!live.ok) return live;
  const verified = verifyDelegationRecord(request.subjectToken, delegatorOf(parent));
  if (!verified.ok) {
    const { code, detail } = verified.error;
    return refuse(CODES[code] ?? "record_invalid", `${code}: ${detail}`);
  }
  return ok({ parent, record: verified.value.record, recordHash: parsed.value.hash });
}

/** One step of a transaction: what refuses stands before what writes. The record is verified again, as things are now. */
function spawnNow(request: ExchangeRequest, context: GrantContext): Result<SignedToken, Refusal> {
  const { state, keyRing, issuer, nowMs } = context;
  const verified = verifyRecord(request, context);
  if (!verified.ok) return verified;
  const { parent, record, recordHash } = verified.value;
  if (record.delegate_jkt !== request.jkt) return refuse("delegate_mismatch", "proof");
  const standing = checkStanding(state.applications.find(parent.application), parent.authority);
  if (!standing.ok) return standing;
  const { application, limits } = standing.value;
  if (record.depth > limits.depth_max) return refuse("depth_exceeded");
  if (!hasRoom(application, state.agents.live(application.name, nowMs()))) return refuse("application_full");
  if (state.agents.inChain(parent.authority.session.id) >= CHAIN_AGENTS_MAX) return refuse("chain_full");
  if (record.iat * 1000 > nowMs() + LEEWAY_MS || record.exp * 1000 <= nowMs()) return refuse("record_expired");
  const granted = grantOf({ request, record, parent, application }, context);
  if (!granted.ok) return granted;
  const authority = authorityOf({ request, record, recordHash, parent }, context);
  if (!authority.ok) return authority;

  const issuedMs = wholeSecond(nowMs());
  const expiresMs = record.exp * 1000;
  const token = {
    jti: randomUUID(),
    issuedMs,
    expiresMs: Math.min(issuedMs + limits.ttl_s * 1000, expiresMs, parent.tokenExpiresMs),
  };
  const agent = {
    id: record.sub,
    application: parent.application,
    parent: parent.id,
    depth: record.depth,
    authority: authority.value,
    grant: granted.value,
    expiresMs,
  };
  const signed = signToken(keyRing, issuer, agent, token);
  if (!signed.ok) return signed;
  if (!state.agents.useInstance(request.jkt)) return refuse("key_used_before");
  state.agents.add(agent, token);
  return ok(signed.value);
}

function delegatorOf({ id, authority, grant, expiresMs, depth }: StoredAgent): Delegator {
  const { type, id: principalId, issuer } = authority.principal;
  return {
    id,
    jkt: authority.jkt,
    session: authority.session.id,
    principal: { type, id: principalId, issuer },
    ...grant,
    expiresAtMs: expiresMs,
    issuedAt: authority.record?.issued_at ?? 0,
    depth,
    recordHash: authority.record?.hash ?? "",
  };
}

function grantOf(
  hop: {
    readonly request: ExchangeRequest;
    readonly record: DelegationRecord;
    readonly parent: StoredAgent;
    readonly application: Application;
  },
  context: GrantContext,
): Result<Grant, Refusal> {
  const { request, record, parent, application } = hop;
  const { scope, details, constraints } = record;
  const asked = readAskedGrant(request.parameters, context.detailsTypes);
  if (!asked.ok) return asked;
  const granted = narrowGrant({ scope, details, constraints }, asked.value, "granted");
  if (!granted.ok) return granted;
  const resource = textOf(request.parameters, "resource");
  if (resource !== undefined && resource !== parent.authority.audience) return refuse("target_wider");
  return checkCeiling(application, granted.value);
}

function authorityOf(
  hop: {
    readonly request: ExchangeRequest;
    readonly record: DelegationRecord;
    readonly recordHash: string;
    readonly parent: StoredAgent;
  },
  context: GrantContext,
): Result<AgentAuthority, Refusal> {
  const { request, record, recordHash, parent } = hop;
  const { authority } = parent;
  const records = [...(authority.delegation?.records ?? []), request.subjectToken];
  if (records.reduce((chars, text) => chars + text.length, 0) > CHAIN_CHARS_MAX) return refuse("request_too_large");
  const provenance = provenanceOf(request, authority.provenance, context);
  if (!provenance.ok) return provenance;
  const { iss: delegator, sub: delegate, scope, iat } = record;
  return ok({
    ...authority,
    purpose: record.purpose,
    provenance: provenance.value,
    jkt: request.jkt,
    chain: [...authority.chain, { delegator, delegate, scope, at: rfc3339(iat * 1000) }],
    delegation: { root: authority.delegation?.root ?? rootOf(parent), records },
    record: { hash: recordHash, issued_at: iat },
  });
}

/** The delegator's manifest says nothing certain of another program; the delegate may bring its own. */
function provenanceOf(
  { parameters }: ExchangeRequest,
  delegator: Provenance,
  { publishers, nowMs }: GrantContext,
): Result<Provenance, Refusal> {
  const manifest = textOf(parameters, "manifest");
  if (manifest === undefined) return ok({ ...delegator, publisher: "", verified: false });
  return readManifest(manifest, publishers, nowMs() / 1000);
}

/** As it is at this moment: a root agent that was narrowed since delegates no more than it has. */
function rootOf({ id, authority, grant, expiresMs }: StoredAgent): DelegationRoot {
  return { id, jkt: authority.jkt, ...grant, expires_at: rfc3339(expiresMs) };
}
