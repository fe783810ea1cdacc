// In: one exchange of the bench. Out: its two log lines and its two records, written as the gateway writes them.
import path from "node:path";
import { type InputParts, inputText } from "../../src/action/build-input.ts";
import type { EventText } from "../../src/audit/recorder.ts";
import type { Config, RouteConfig } from "../../src/config/schema.ts";
import { intentText, outcomeText } from "../../src/gateway/exchange/audit-text.ts";
import { createLogs } from "../../src/telemetry/create-logs.ts";
import type { Decision } from "../../src/policy/decision.ts";
import type { AccessEntry, DecisionEntry } from "../../src/telemetry/log-entries.ts";
import type { Agent } from "../../src/token/agent.ts";
import type { Measured } from "./cpu-per-call.ts";

/** More lines would not fit into the buffer of a log before it is written. */
const LINES_MAX = 5000;

const DECISION: Decision = { allow: true, reasons: [], obligations: { redact: ["/salary"] } };

export interface LogChecks {
  readonly decision: Measured;
  readonly access: Measured;
  readonly identityHeaders: readonly (readonly [string, string])[];
  intent(): EventText;
  outcome(): EventText;
  close(): Promise<void>;
}

export function createLogChecks(
  folder: string,
  exchange: {
    readonly agent: Agent;
    readonly config: Config;
    readonly route: RouteConfig;
    readonly input: InputParts;
    readonly nowMs: number;
  },
): LogChecks {
  const { agent, config, route, input, nowMs } = exchange;
  const { target, host } = input;
  const logs = createLogs({
    gateway: config.gateway,
    access: { file: path.join(folder, "access.jsonl") },
    decision: { file: path.join(folder, "decision.jsonl") },
    safeFields: [],
    relay: () => undefined,
    onFault: (message) => {
      throw new Error(message);
    },
  });
  const ids = {
    requestId: "0197f0a2b3c4d5e6f708192a3b4c5d6e",
    decisionId: "0197f0a2b3c4d5e6f708192a3b4c5d6f",
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    spanId: "00f067aa0ba902b7",
    agent,
    policyRevision: { bundle: "0123456789abcdef", data: "0123456789abcdef" },
    containmentEpoch: 0,
    containmentMode: "active",
  } as const;
  const trace = { traceId: ids.traceId, spanId: ids.spanId, parentSpanId: "", sampled: false, tracestate: "" };
  const decision = (): DecisionEntry => ({
    ...ids,
    timeMs: nowMs,
    mode: "enforce",
    inputText: inputText(input),
    arguments: null,
    query: input.target.query,
    sourceIp: input.sourceIp,
    decision: DECISION,
    reason: "",
    detail: "",
    evaluationUs: 60,
  });
  const access = (): AccessEntry => ({
    ...ids,
    timeMs: nowMs,
    listener: "traffic",
    route: route.name,
    method: "GET",
    host,
    path: target.path,
    status: 200,
    outcome: "forwarded",
    reason: "",
    detail: "",
    mode: "enforce",
    sourceIp: "127.0.0.1",
    bytesIn: 0,
    bytesOut: 220,
    durationUs: 900,
    upstreamUs: 400,
    httpVersion: "1.1",
    errorId: "",
  });
  const settle = (): Promise<void> => logs.flush();
  return {
    decision: { call: () => logs.decision(decision()), settle, callsMax: LINES_MAX },
    access: { call: () => logs.access(access()), settle, callsMax: LINES_MAX },
    identityHeaders: [
      ["x-cordon-request-id", ids.requestId],
      ["x-cordon-decision-id", ids.decisionId],
      ["x-cordon-agent", agent.refs.agent],
      ["x-cordon-task", agent.claims.intent.task],
      ["x-cordon-principal", `${agent.claims.principal.type}:${agent.claims.principal.id}`],
      ["x-cordon-session", agent.claims.session.id],
      ["traceparent", `00-${ids.traceId}-${ids.spanId}-01`],
    ],
    intent: () =>
      intentText(
        { ...ids, method: "GET", path: target.path, trace, revision: ids.policyRevision },
        { agent, decision: DECISION, quarantined: false, route: { input: input.route, config: route } },
        nowMs,
        0,
      ),
    outcome: () =>
      outcomeText(
        { ...ids, outcome: "forwarded", reason: "" },
        {
          sent: true,
          status: 200,
          requestBytes: 0,
          responseBytes: 220,
          requestSha256: null,
          responseSha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        },
        nowMs,
      ),
    close: () => logs.close(),
  };
}
