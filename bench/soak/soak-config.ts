// In: ports. Out: the sections in which the gateway of the soak differs from the default, and why.
// An hour in ten minutes: what an hour brings is turnover, of tokens, cache entries and windows. Every lifetime that has a
// setting is a sixth of its default, and so is the cache whose entries come with new tokens; all else is as it ships.
import { ISSUER, TRUST_DOMAIN } from "../load/agents.ts";

const SHORTER = 6;
/** Cordon's own issuer gives 300 s. */
export const TOKEN_LIFETIME_S = 300 / SHORTER;
export const LEEWAY_S = 30 / SHORTER;

/**
 * As in the image, whose Dockerfile says the same. Without it glibc keeps up to twice the largest block that was ever freed
 * at the end of each thread's arena: docs/limits.md, "Memory of the process".
 */
export const GATEWAY_ENVIRONMENT = { MALLOC_TRIM_THRESHOLD_: "1048576" };

export const CANDIDATE_PATH = "/ats/jobs/J42/candidates/C7";
export const STRICT_PATH = "/strict/jobs/J42/candidates/C7";
export const SCORE_PATH = "/ats/jobs/J42/candidates/C7/score";
export const SALARY_PATH = "/ats/jobs/J42/candidates/C7/salary";
export const OTHER_JOB_PATH = "/ats/jobs/J43/candidates/C7";
export const EVENTS_PATH = "/events/1";
export const TUNNEL_PATH = "/tunnel/1";

export function soakSections(ports: {
  readonly traffic: number;
  readonly admin: number;
  readonly tool: number;
}): Record<string, unknown> {
  const url = `http://127.0.0.1:${ports.tool}`;
  const upstream = { url, allow_private_addresses: true };
  const ats = { ...upstream, strip_prefix: "/ats" };
  const profile = { type: "candidate_profiles", classification: "interview_safe", owner: "people" };
  const anyTool = { type: "mcp_tools", classification: "interview_safe" };
  const candidate = "jobs/{job_id}/candidates/{candidate_id}";
  return {
    issuers: [
      {
        issuer: ISSUER,
        audience: [`http://127.0.0.1:${ports.traffic}`],
        trust_domain: TRUST_DOMAIN,
        leeway_s: LEEWAY_S,
        jwks: { url: `${url}/jwks`, max_age_s: 300 / SHORTER, cooldown_s: 30 / SHORTER, allow_private_addresses: true },
      },
    ],
    proof: { max_age_s: 60 / SHORTER },
    // All callers of the soak share one address, the forgers too: their limit would refuse each agent that is new.
    limits: { token_cache_entries: Math.ceil(20_000 / SHORTER), failed_proofs_per_peer_max: 10_000_000 },
    routes: [
      { name: "candidate", path: `/ats/${candidate}`, methods: ["GET"], resource: profile, upstream: ats },
      {
        name: "candidate-strict",
        path: `/strict/${candidate}`,
        methods: ["GET"],
        audit: "strict",
        resource: profile,
        upstream: { ...upstream, strip_prefix: "/strict" },
      },
      {
        name: "score",
        path: `/ats/${candidate}/score`,
        methods: ["POST"],
        resource: { ...profile, type: "candidate_scores" },
        upstream: ats,
      },
      {
        name: "salary",
        path: `/ats/${candidate}/salary`,
        methods: ["GET"],
        resource: { ...profile, type: "candidate_salaries", classification: "restricted" },
        upstream: ats,
      },
      { name: "events", path: "/events/{id}", methods: ["GET"], resource: anyTool, upstream },
      { name: "tunnel", path: "/tunnel/{id}", methods: ["GET"], upgrade: ["websocket"], resource: anyTool, upstream },
    ],
    quarantine: { monitor: upstream },
    admin: { port: ports.admin },
  };
}
