// In: the ids of an exchange. Out: the JSON members that both logs share, as text.
// Trusts: nothing about the values; every text is encoded here, and the finished line passes `safeJsonText`.
import type { Agent } from "../token/agent.ts";
import type { EntryIds } from "./log-entries.ts";

/** Text that JSON.stringify would leave as it is; ids and names nearly always are. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;
/** Longer values are cut: a line must stay readable, and a URI or name of this length is an attack or a mistake. */
export const TEXT_CHARACTERS_MAX = 2_048;
export const DETAIL_CHARACTERS_MAX = 200;

export function jsonText(value: string, charactersMax: number = TEXT_CHARACTERS_MAX): string {
  const text = value.length > charactersMax ? `${value.slice(0, charactersMax)}...` : value;
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** NaN and infinities have no JSON form; a broken measure must not break the line. */
export function jsonNumber(value: number): string {
  return Number.isFinite(value) ? String(Math.round(value)) : "0";
}

const NO_AGENT = '"agent":"","task":"","chain":"","jti":"","issuer":"","binding":"","key_thumbprint":"","principal":""';
const agentMembers = new WeakMap<Agent, string>();

function membersOfAgent(agent: Agent): string {
  const known = agentMembers.get(agent);
  if (known !== undefined) return known;
  const { claims } = agent;
  const members =
    `"agent":${jsonText(claims.agent.id)},"task":${jsonText(agent.refs.task)},` +
    `"chain":${jsonText(claims.session.root_request)},"jti":${jsonText(claims.token.jti)},` +
    `"issuer":${jsonText(claims.token.issuer)},"binding":${jsonText(claims.token.binding)},` +
    `"key_thumbprint":${jsonText(agent.keyThumbprint)},"principal":${jsonText(claims.principal.id)}`;
  agentMembers.set(agent, members);
  return members;
}

/** The members that stand in every line of both logs, without braces. */
export function idMembers(ids: EntryIds): string {
  return (
    `"request_id":${jsonText(ids.requestId)},"decision_id":${jsonText(ids.decisionId)},` +
    `"trace_id":${jsonText(ids.traceId)},"span_id":${jsonText(ids.spanId)},` +
    `${ids.agent === undefined ? NO_AGENT : membersOfAgent(ids.agent)},` +
    `"policy_revision":${jsonText(ids.policyRevision?.bundle ?? "")},"data_revision":${jsonText(ids.policyRevision?.data ?? "")},` +
    `"containment_epoch":${jsonNumber(ids.containmentEpoch)},"containment_mode":"${ids.containmentMode}"`
  );
}
