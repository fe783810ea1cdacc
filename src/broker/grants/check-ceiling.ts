// In: an application and what it wants to give, or gave. Out: whether that is within its ceiling as it stands now.
// Pure. The ceiling counts whenever a token is issued, so that lowering it reaches agents that live already.
import type { Application } from "../../lib/application-schema.ts";
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import type { Grant } from "./authority.ts";
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
