// In: an agent's token and a proof of the same key. Out: its successor, never wider and never beyond the agent's authority.
// Asked again with the same token, key and request it is the same successor: an answer that was lost strands nobody.
import { createHash, randomUUID } from "node:crypto";
import type { Application } from "../../lib/application-schema.ts";
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import { type OwnToken, readOwnToken } from "../own-token.ts";
import type { IssuedToken, StoredAgent, StoredToken } from "../state/agents.ts";
import type { Grant } from "./authority.ts";
import { checkCeiling, checkStanding } from "./check-ceiling.ts";
import { checkDelegator, checkLive, tokenRef } from "./check-live.ts";
import type { GrantContext } from "./grant-context.ts";
import { type SignedToken, signToken } from "./issue-token.ts";
import { narrowGrant } from "./narrow-grant.ts";
import { audienceOf } from "./read-audience.ts";
import { type Parameters, readAskedGrant, textOf } from "./read-parameters.ts";
import { type Refusal, refuse } from "./refusal.ts";
import { type ExchangeRequest, wholeSecond } from "./spawn.ts";

/** So long the old token is taken beside the new one, for requests that are on their way. */
export const SUPERSEDED_GRACE_MS = 10_000;
/** Standards: from three quarters of a token's life on. */
const RENEWAL_FROM = 0.75;

export async function renew(request: ExchangeRequest, context: GrantContext): Promise<Result<SignedToken, Refusal>> {
  const own = readToken(request, context);
  if (!own.ok) return own;
  const renewed = await context.state.commit.run(() => renewNow(request, own.value.jti, context));
  if (!renewed.ok) return renewed;
  const { signed, old } = renewed.value;
  if (old !== undefined) tellSuperseded(signed, old, context);
  return ok(signed);
}

/** Whether this issuer signed it; nothing else is looked at. */
export function readToken({ subjectToken }: ExchangeRequest, context: GrantContext): Result<OwnToken, Refusal> {
  const own = readOwnToken(subjectToken, context.keyRing, context.issuer.issuer);
  return own === undefined ? refuse("token_invalid") : ok(own);
}

interface Renewed {
  readonly signed: SignedToken;
  /** Absent where the successor was there already. */
  readonly old?: StoredToken;
}

/** One step of a transaction: what refuses stands before what writes. */
function renewNow(request: ExchangeRequest, jti: string, context: GrantContext): Result<Renewed, Refusal> {
  const { state, issuer, nowMs } = context;
  const old = state.agents.findToken(jti);
  const agent = old === undefined ? undefined : state.agents.find(old.agent);
  if (old === undefined || agent === undefined || agent.application !== request.application) {
    return refuse("token_invalid");
  }
  if (agent.authority.jkt !== request.jkt) return refuse("key_mismatch");
  const live = checkLive(agent, context);
  if (!live.ok) return live;
  if (state.revocations.has("token", tokenRef(issuer, jti))) return refuse("token_revoked");
  if (old.expiresMs <= nowMs()) return refuse("token_expired");
  const delegator = agent.parent === null ? undefined : checkDelegator(agent.parent, context);
  if (delegator?.ok === false) return delegator;
  const asked = hashOfRequest(request.parameters);
  if (old.successor !== null) return sameAgain(agent, old, asked, context);
  return renewFirst({ request, agent, old, asked, delegator: delegator?.value }, context);
}

function sameAgain(
  agent: StoredAgent,
  old: StoredToken,
  asked: Buffer,
  context: GrantContext,
): Result<Renewed, Refusal> {
  const successor = context.state.agents.findToken(old.successor ?? "");
  const same = successor?.jti === agent.token && old.request?.equals(asked) === true;
  if (successor === undefined || !same) return refuse("token_superseded");
  const signed = signToken(context.keyRing, context.issuer, agent, successor);
  return signed.ok ? ok({ signed: signed.value }) : signed;
}

interface FirstRenewal {
  readonly request: ExchangeRequest;
  readonly agent: StoredAgent;
  readonly old: StoredToken;
  readonly asked: Buffer;
  readonly delegator: StoredAgent | undefined;
}

function renewFirst(
  { request, agent, old, asked, delegator }: FirstRenewal,
  context: GrantContext,
): Result<Renewed, Refusal> {
  const { state, keyRing, issuer, nowMs } = context;
  const { audience } = agent.authority;
  const standing = checkStanding(state.applications.find(agent.application), agent.authority);
  if (!standing.ok) return standing;
  const { application, limits } = standing.value;
  if (nowMs() < old.issuedMs + RENEWAL_FROM * (old.expiresMs - old.issuedMs)) return refuse("renewal_too_early");
  if (agent.renewals >= limits.renewals_max) return refuse("renewals_exhausted");
  const resource = audienceOf(textOf(request.parameters, "resource"), context.publicOrigins);
  if (!resource.ok) return resource;
  if (resource.value !== undefined && resource.value !== audience) return refuse("target_wider");
  const granted = grantOf({ request, agent, delegator, application }, context);
  if (!granted.ok) return granted;

  const issuedMs = wholeSecond(nowMs());
  const delegatorEndsMs = delegator?.tokenExpiresMs ?? Number.POSITIVE_INFINITY;
  const expiresMs = Math.min(issuedMs + limits.ttl_s * 1000, agent.expiresMs, delegatorEndsMs);
  // A successor that ends no later would only use a renewal up.
  if (expiresMs <= old.expiresMs) {
    return refuse(agent.expiresMs <= old.expiresMs ? "authority_expired" : "parent_not_renewed");
  }
  const token: IssuedToken = { jti: randomUUID(), issuedMs, expiresMs };
  const signed = signToken(keyRing, issuer, { ...agent, grant: granted.value }, token);
  if (!signed.ok) return signed;
  state.agents.renew(agent, old.jti, asked, granted.value, token);
  return ok({ signed: signed.value, old });
}

/** Within what the agent has, its delegator has, and the application may grant: each may have become narrower. */
function grantOf(
  {
    request,
    agent,
    delegator,
    application,
  }: Pick<FirstRenewal, "request" | "agent" | "delegator"> & { readonly application: Application },
  context: GrantContext,
): Result<Grant, Refusal> {
  const asked = readAskedGrant(request.parameters, context.detailsTypes);
  if (!asked.ok) return asked;
  const own = narrowGrant(agent.grant, asked.value, "granted");
  if (!own.ok) return own;
  const within = delegator === undefined ? own : narrowGrant(delegator.grant, own.value, "granted");
  return within.ok ? checkCeiling(application, within.value) : within;
}

/** The same text asks for the same. */
function hashOfRequest(parameters: Parameters): Buffer {
  const asked = ["scope", "authorization_details", "constraints", "resource"].map((name) => textOf(parameters, name));
  return createHash("sha256").update(JSON.stringify(asked)).digest();
}

function tellSuperseded({ agent, token }: SignedToken, old: StoredToken, context: GrantContext): void {
  // Not waited for: the old token is good for a while anyway.
  void context.feed.send([
    {
      kind: "superseded",
      token: tokenRef(context.issuer, old.jti),
      agent: agent.id,
      fromMs: token.issuedMs + SUPERSEDED_GRACE_MS,
      untilMs: old.expiresMs,
      agentExpiresMs: token.expiresMs,
    },
  ]);
}
