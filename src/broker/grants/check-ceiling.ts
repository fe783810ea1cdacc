// In: an application and what it wants to give, or gave. Out: whether that is within its ceiling as it stands now.
// Pure. The ceiling counts whenever a token is issued, so that lowering it reaches agents that live already.
import type { Application } from "../../lib/application-schema.ts";
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import type { Authority, Grant } from "./authority.ts";
import { narrowGrant } from "./narrow-grant.ts";
import type { AskedGrant } from "./read-parameters.ts";
import { type Refusal, refuse } from "./refusal.ts";

/** Standards: 60 s to 60 min. A launch may ask for less, since a shorter token is only safer. */
const TTL_S_DEFAULT = 300;
const TTL_S_MIN = 2;
const LIFETIME_S_MIN = 2;

export interface AskedLimits {
  readonly ttl_s: number | undefined;
  readonly lifetime_s: number | undefined;
  readonly renewals_max: number | undefined;
  readonly depth_max: number | undefined;
}

export type Limits = { readonly [K in keyof AskedLimits]: number };

export function ceilingOf(application: Application): Grant {
  const { scope, authorization_details: details, constraints } = application;
  return { scope, details, constraints };
}

export function checkCeiling(application: Application, asked: AskedGrant): Result<Grant, Refusal> {
  return narrowGrant(ceilingOf(application), asked, "ceiling");
}

export function checkLimits(application: Application, asked: AskedLimits): Result<Limits, Refusal> {
  const {
    token_ttl_s_max: ttlMax,
    lifetime_s_max: lifetimeMax,
    renewals_max: renewals,
    depth_max: depth,
  } = application;
  const { ttl_s = Math.min(TTL_S_DEFAULT, ttlMax), lifetime_s = lifetimeMax } = asked;
  const { renewals_max = renewals, depth_max = depth } = asked;
  if (ttl_s < TTL_S_MIN || ttl_s > ttlMax) return refuse("ttl_beyond_ceiling");
  if (lifetime_s < LIFETIME_S_MIN || lifetime_s > lifetimeMax) return refuse("lifetime_beyond_ceiling");
  if (renewals_max > renewals) return refuse("renewals_beyond_ceiling");
  if (depth_max > depth) return refuse("depth_beyond_ceiling");
  return ok({ ttl_s, lifetime_s, renewals_max, depth_max });
}

/** What an application's agent was given, within what the application may give now. */
export interface Standing {
  readonly application: Application;
  readonly limits: Omit<Limits, "lifetime_s">;
}

/** Whoever asks for a token is held against the ceiling of this moment; an application that is gone gives nothing. */
export function checkStanding(application: Application | undefined, given: Authority): Result<Standing, Refusal> {
  if (application === undefined) return refuse("client_not_allowed");
  if (!mayLaunchIn(application, given.orchestration)) return refuse("orchestration_not_allowed");
  if (!mayActFor(application, given.principal)) return refuse("principal_not_allowed");
  const limits = {
    ttl_s: Math.min(given.ttl_s, application.token_ttl_s_max),
    renewals_max: Math.min(given.renewals_max, application.renewals_max),
    depth_max: Math.min(given.depth_max, application.depth_max),
  };
  return ok({ application, limits });
}

/** `live` is counted with those that ended but whose token would still be good: a gateway has to remember each. */
export function hasRoom(application: Application, live: number): boolean {
  // Written so that a ceiling without the member, from an older file, gives nothing.
  return live < application.agents_max;
}

export function mayActFor(
  application: Application,
  principal: { readonly type: string; readonly id: string },
): boolean {
  const { type, id } = principal;
  return application.principals.some((entry) => entry === `${type}:*` || entry === `${type}:${id}`);
}

export function mayLaunchIn(application: Application, orchestration: string): boolean {
  return application.orchestrations.some((entry) => entry === "*" || entry === orchestration);
}
