// In: a judged exchange. Out: the headers by which a tool learns who calls, made by the gateway alone.
// A client's own headers of these names were stripped; the tool may trust them as far as it trusts its network.
import { childTraceparent } from "../../telemetry/trace-context.ts";
import type { Agent } from "../../token/agent.ts";
import type { ExchangeFacts } from "../thread/services.ts";

/** Printable ASCII without outer spaces and without `%`, so that a tool which decodes escapes reads every claim as it is. */
const HEADER_SAFE = /^[\x21-\x24\x26-\x7e](?:[\x20-\x24\x26-\x7e]*[\x21-\x24\x26-\x7e])?$/;

function headerValue(text: string): string {
  return HEADER_SAFE.test(text) ? text : encodeURIComponent(text);
}

/** Written once for an agent, not for each of its exchanges. */
const agentHeaders = new WeakMap<Agent, readonly [string, string][]>();

function headersOfAgent(agent: Agent): readonly [string, string][] {
  const known = agentHeaders.get(agent);
  if (known !== undefined) return known;
  const { claims } = agent;
  const headers: [string, string][] = [
    ["x-cordon-agent", headerValue(agent.refs.agent)],
    ["x-cordon-task", headerValue(claims.intent.task)],
    ["x-cordon-principal", headerValue(`${claims.principal.type}:${claims.principal.id}`)],
    ["x-cordon-session", headerValue(claims.session.id)],
  ];
  agentHeaders.set(agent, headers);
  return headers;
}

export function identityHeaders(x: ExchangeFacts, agent: Agent, quarantined: boolean): [string, string][] {
  const headers: [string, string][] = [
    ["x-cordon-request-id", x.requestId],
    ["x-cordon-decision-id", x.decisionId],
    ...headersOfAgent(agent),
    ["traceparent", childTraceparent(x.trace)],
  ];
  if (x.trace.tracestate !== "") headers.push(["tracestate", x.trace.tracestate]);
  // Only the monitor learns of the quarantine; to the agent it looks like any other answer.
  if (quarantined) headers.push(["x-cordon-containment", "quarantined"]);
  return headers;
}
