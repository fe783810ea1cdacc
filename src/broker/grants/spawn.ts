// In: a launch token and the thumbprint of a key that was proved over this request. Out: a new agent and its first token.
// The launch token is spent, the instance used, the agent and its token kept in one transaction: a crash leaves all or none.
import { randomUUID } from "node:crypto";
import type { Application } from "../../lib/application-schema.ts";
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import { hashOfLaunchToken, type StoredLaunch } from "../state/launches.ts";
import type { IssuedToken } from "../state/agents.ts";
import type { AgentAuthority, Grant } from "./authority.ts";
import { checkCeiling, checkStanding, hasRoom } from "./check-ceiling.ts";
import type { GrantContext } from "./grant-context.ts";
import { type SignedToken, signToken } from "./issue-token.ts";
import { taskOf } from "./launch-grant.ts";
import { narrowGrant } from "./narrow-grant.ts";
import { audienceOf } from "./read-audience.ts";
import { type Parameters, readAskedGrant, textOf } from "./read-parameters.ts";
import { type Refusal, refuse } from "./refusal.ts";

export interface ExchangeRequest {
  readonly parameters: Parameters;
  readonly application: string;
  readonly subjectToken: string;
  /** RFC 7638 thumbprint of the key of the DPoP proof. */
  readonly jkt: string;
}

export async function spawn(request: ExchangeRequest, context: GrantContext): Promise<Result<SignedToken, Refusal>> {
  const hash = hashOfLaunchToken(request.subjectToken);
  const spawned = await context.state.commit.run(() => spawnNow(request, hash, context));
  if (!spawned.ok && spawned.error.code === "launch_token_spent") {
    // Somebody else has, or had, this token: the orchestrator's secret got around.
    context.tell({
      level: "warn",
      event: "launch_token_reused",
      alert: "high",
      client_id: request.application,
      key_thumbprint: request.jkt,
      ...(spawned.error.detail === undefined ? {} : { detail: spawned.error.detail }),
    });
  }
  return spawned;
}

/** Spent or not: whether this application's agents were ever given such a token. */
export function findLaunch(request: ExchangeRequest, { state }: GrantContext): Result<StoredLaunch, Refusal> {
  const stored = state.launches.find(hashOfLaunchToken(request.subjectToken));
  return stored === undefined || stored.application !== request.application
    ? refuse("launch_token_unknown")
    : ok(stored);
}

/** One step of a transaction: what refuses stands before what writes. */
function spawnNow(request: ExchangeRequest, hash: Buffer, context: GrantContext): Result<SignedToken, Refusal> {
  const { state, keyRing, issuer, nowMs } = context;
  const { jkt } = request;
  const found = findLaunch(request, context);
  if (!found.ok) return found;
  const stored = found.value;
  if (stored.spent) return refuse("launch_token_spent", `task ${taskOf(stored.launch, context)}`);
  if (stored.expiresMs <= nowMs()) return refuse("launch_token_expired");
  const taskId = taskOf(stored.launch, context);
  if (state.revocations.has("task", taskId)) return refuse("task_revoked");
  const standing = checkStanding(state.applications.find(request.application), stored.launch);
  if (!standing.ok) return standing;
  const { application, limits } = standing.value;
  if (!hasRoom(application, state.agents.live(application.name, nowMs()))) return refuse("application_full");
  const granted = grantOf(request, stored, application, context);
  if (!granted.ok) return granted;
  const audience = audienceFor(request, stored, context);
  if (!audience.ok) return audience;

  const issuedMs = wholeSecond(nowMs());
  const lifetime = Math.min(stored.launch.lifetime_s, application.lifetime_s_max);
  const expiresMs = issuedMs + lifetime * 1000;
  const token: IssuedToken = {
    jti: randomUUID(),
    issuedMs,
    expiresMs: Math.min(issuedMs + limits.ttl_s * 1000, expiresMs),
  };
  const agent = {
    id: `${taskId}/${jkt}`,
    application: request.application,
    parent: null,
    depth: 0,
    authority: authorityOf(stored, audience.value, jkt),
    grant: granted.value,
    expiresMs,
  };
  const signed = signToken(keyRing, issuer, agent, token);
  if (!signed.ok) return signed;
  if (!state.agents.useInstance(jkt)) return refuse("key_used_before");
  if (!state.launches.spend(hash, agent.id, nowMs()))
    throw new Error("a launch token was spent beside its transaction");
  state.agents.add(agent, token);
  return ok(signed.value);
}

/** The ceiling may have been lowered since the launch. */
function grantOf(
  request: ExchangeRequest,
  { launch }: StoredLaunch,
  application: Application,
  context: GrantContext,
): Result<Grant, Refusal> {
  const asked = readAskedGrant(request.parameters, context.detailsTypes);
  if (!asked.ok) return asked;
  const granted = narrowGrant(launch.grant, asked.value, "granted");
  return granted.ok ? checkCeiling(application, granted.value) : granted;
}

function audienceFor(
  { parameters }: ExchangeRequest,
  { launch }: StoredLaunch,
  { publicOrigins }: GrantContext,
): Result<string, Refusal> {
  const asked = audienceOf(textOf(parameters, "resource"), publicOrigins);
  if (!asked.ok) return asked;
  if (launch.audience !== undefined && asked.value !== undefined && asked.value !== launch.audience) {
    return refuse("target_wider");
  }
  return ok(launch.audience ?? asked.value ?? publicOrigins[0] ?? "");
}

function authorityOf({ launch }: StoredLaunch, audience: string, jkt: string): AgentAuthority {
  const { orchestration, task, purpose, principal, provenance, session, ttl_s, renewals_max, depth_max } = launch;
  const fixed = { orchestration, task, purpose, principal, provenance, session, ttl_s, renewals_max, depth_max };
  return { ...fixed, audience, jkt, chain: [] };
}

/** Times in a token are whole seconds; what is remembered of it is exactly what it says. */
export function wholeSecond(timeMs: number): number {
  return Math.floor(timeMs / 1000) * 1000;
}
