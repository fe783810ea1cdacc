// In: an exchange that the policy judged, or how it ended. Out: its record as one line of JSON text, safe to show.
// Trusts: the ids that this gateway made. What belongs to an agent is serialised and made safe once, not twice an exchange.
// Metadata and content hashes only (standards, section 1): never a body, a query or a credential.
import { loggedName } from "../../action/mcp/action-text.ts";
import { budgetRecord } from "../../budget/budget-text.ts";
import { cutJsonText, jsonText } from "../../lib/json-text.ts";
import { isoTime } from "../../lib/iso-time.ts";
import { safeJsonText } from "../../lib/safe-json-text.ts";
import { revisionText } from "../../telemetry/entry-members.ts";
import type { Agent } from "../../token/agent.ts";
import type { Judged } from "./judge.ts";
import type { Outcome } from "./record-exchange.ts";
import type { ExchangeFacts, Route } from "../thread/services.ts";

/** What an intent tells of the exchange and of its judgement. */
export type IntentFacts = Pick<ExchangeFacts, "method" | "path" | "requestId" | "decisionId" | "trace" | "revision"> &
  Partial<Pick<ExchangeFacts, "reservation" | "operation">>;
export interface IntentJudgement extends Pick<Judged, "agent" | "decision" | "quarantined"> {
  readonly mcp?: Judged["mcp"];
  readonly route: Pick<Route, "input" | "config">;
}
export type OutcomeFacts = Pick<ExchangeFacts, "requestId" | "agent" | "outcome" | "reason">;

interface AgentText {
  /** The SPIFFE id as a JSON string. */
  readonly id: string;
  /** All members of an intent that tell who asks. */
  readonly members: string;
}

/** Of what a message of MCP names; a record is not a copy of it. */
export const NAME_CHARACTERS_MAX = 256;

const agents = new WeakMap<Agent, AgentText>();

function agentText(agent: Agent): AgentText {
  const known = agents.get(agent);
  if (known !== undefined) return known;
  const { claims } = agent;
  const members = JSON.stringify({
    agent: agent.refs.agent,
    task: claims.intent.task,
    orchestration: claims.agent.orchestration,
    principal: `${claims.principal.type}:${claims.principal.id}`,
    chain: claims.session.id,
    delegation_depth: claims.session.depth,
    token: claims.token.jti,
    issuer: claims.token.issuer,
    key_thumbprint: agent.keyThumbprint,
  });
  const text = { id: safeJsonText(jsonText(agent.refs.agent)), members: safeJsonText(members.slice(1, -1)) };
  agents.set(agent, text);
  return text;
}

export function intentText(x: IntentFacts, judged: IntentJudgement, timeMs: number, containmentEpoch: number): string {
  const { route, agent, decision, quarantined } = judged;
  const call = judged.mcp?.action.call;
  const what =
    call === undefined
      ? `"tool":${(x.operation ?? route.input).toolJson}`
      : `"tool":${cutJsonText(loggedName(call), NAME_CHARACTERS_MAX)},"mcp":${jsonText(call.method)}`;
  const asked = safeJsonText(
    `"action":{"method":${jsonText(x.method)},${what}},` +
      `"resource":{"route":${jsonText(route.config.name)},"type":${jsonText(route.config.resource.type)},` +
      `"path":${jsonText(x.path)}}`,
  );
  const budget = x.reservation === undefined ? "" : `,"budget":${budgetRecord(x.reservation.demands)}`;
  const revision = x.revision === undefined ? NO_REVISION : revisionText(x.revision).members;
  return (
    `{"type":"intent","at":"${isoTime(timeMs)}","request_id":"${x.requestId}","decision_id":"${x.decisionId}",` +
    `"trace_id":"${x.trace.traceId}",${agentText(agent).members},${asked},${revision},` +
    `"containment_epoch":${containmentEpoch},"verdict":"${decision.allow ? "allow" : "observed_deny"}",` +
    `"destination":"${quarantined ? "monitor" : "tool"}"${budget}}`
  );
}

const NO_REVISION = '"policy_revision":"","data_revision":""';

export function outcomeText(x: OutcomeFacts, outcome: Outcome, timeMs: number): string {
  return (
    `{"type":"outcome","at":"${isoTime(timeMs)}","request_id":"${x.requestId}",` +
    `"agent":${x.agent === undefined ? '""' : agentText(x.agent).id},"outcome":"${x.outcome}","reason":"${x.reason}",` +
    `"sent":${outcome.sent},"status":${outcome.status},"request_bytes":${outcome.requestBytes},` +
    `"response_bytes":${outcome.responseBytes},"request_sha256":${hashText(outcome.requestSha256)},` +
    `"response_sha256":${hashText(outcome.responseSha256)}}`
  );
}

function hashText(hex: string | null): string {
  return hex === null ? "null" : `"${hex}"`;
}
