// In: the ids of an exchange. Out: the JSON members that both logs share, as text.
// Trusts: the ids that this gateway made, and nothing else: every other text passes `safeJsonText`, what belongs to an
// agent or a policy once, not once a line.
import { cutJsonText } from "../lib/json-text.ts";
import { safeJsonText } from "../lib/safe-json-text.ts";
import type { PolicyRevision } from "../policy/decision.ts";
import type { Agent } from "../token/agent.ts";
import type { EntryIds } from "./log-entries.ts";

/** Longer values are cut: a line must stay readable, and a URI or name of this length is an attack or a mistake. */
export const TEXT_CHARACTERS_MAX = 2_048;
const DETAIL_CHARACTERS_MAX = 200;

export function cutText(value: string): string {
  return cutJsonText(value, TEXT_CHARACTERS_MAX);
}

/** For the log only. Nearly always there is none. */
export function detailText(detail: string): string {
  return detail === "" ? '""' : safeJsonText(cutJsonText(detail, DETAIL_CHARACTERS_MAX));
}

/** NaN and infinities have no JSON form; a broken measure must not break the line. */
export function jsonNumber(value: number): string {
  return Number.isFinite(value) ? String(Math.round(value)) : "0";
}

const NO_AGENT = '"agent":"","task":"","chain":"","jti":"","issuer":"","binding":"","key_thumbprint":"","principal":""';
const NO_REVISION = '"policy_revision":"","data_revision":""';
const agentMembers = new WeakMap<Agent, string>();

interface RevisionText {
  readonly bundle: string;
  readonly members: string;
}

const revisions = new WeakMap<PolicyRevision, RevisionText>();

function membersOfAgent(agent: Agent): string {
  const known = agentMembers.get(agent);
  if (known !== undefined) return known;
  const { claims } = agent;
  const members = safeJsonText(
    `"agent":${cutText(claims.agent.id)},"task":${cutText(agent.refs.task)},` +
      `"chain":${cutText(claims.session.id)},"jti":${cutText(claims.token.jti)},` +
      `"issuer":${cutText(claims.token.issuer)},"binding":${cutText(claims.token.binding)},` +
      `"key_thumbprint":${cutText(agent.keyThumbprint)},"principal":${cutText(claims.principal.id)}`,
  );
  agentMembers.set(agent, members);
  return members;
}

export function revisionText(revision: PolicyRevision): RevisionText {
  const known = revisions.get(revision);
  if (known !== undefined) return known;
  const bundle = safeJsonText(cutText(revision.bundle));
  const data = safeJsonText(cutText(revision.data));
  const text = { bundle, members: `"policy_revision":${bundle},"data_revision":${data}` };
  revisions.set(revision, text);
  return text;
}

/** The members that stand in every line of both logs, without braces. The ids are the gateway's own, and safe. */
export function idMembers(ids: EntryIds): string {
  return (
    `"request_id":"${ids.requestId}","decision_id":"${ids.decisionId}",` +
    `"trace_id":"${ids.traceId}","span_id":"${ids.spanId}",` +
    `${ids.agent === undefined ? NO_AGENT : membersOfAgent(ids.agent)},` +
    `${ids.policyRevision === undefined ? NO_REVISION : revisionText(ids.policyRevision).members},` +
    `"containment_epoch":${jsonNumber(ids.containmentEpoch)},"containment_mode":"${ids.containmentMode}"`
  );
}
