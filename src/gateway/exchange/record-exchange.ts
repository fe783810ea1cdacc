// In: the facts of an exchange. Out: its intent, its outcome and its access-log line.
import { performance } from "node:perf_hooks";
import { loggedName } from "../../action/mcp/action-text.ts";
import { type Denial, REASONS } from "../../errors.ts";
import { isoTime } from "../../lib/iso-time.ts";
import type { Result } from "../../lib/result.ts";
import { intentText, NAME_CHARACTERS_MAX, outcomeText } from "./audit-text.ts";
import type { Judged } from "./judge.ts";
import type { ExchangeFacts, Services } from "../thread/services.ts";

/** What the tool's side of an exchange came to. */
export interface Outcome {
  readonly sent: boolean | null;
  readonly status: number | null;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly requestSha256: string | null;
  readonly responseSha256: string | null;
}

/** A failure is the tool's or the gateway's own; a 503 refused the exchange before anything was sent. */
export function outcomeOf(denial: Denial): "denied" | "failed" {
  const { status } = REASONS[denial.reason];
  return status >= 500 && status !== 503 ? "failed" : "denied";
}

export const NOTHING_SENT: Outcome = Object.freeze({
  sent: false,
  status: null,
  requestBytes: 0,
  responseBytes: 0,
  requestSha256: null,
  responseSha256: null,
});

/** `sent` is null: the gateway failed between the intent and the tool's answer. */
export const NOTHING_KNOWN: Outcome = Object.freeze({ ...NOTHING_SENT, sent: null });

export function recordIntent(
  s: Services,
  x: ExchangeFacts,
  judged: Judged,
): Result<void, Denial> | Promise<Result<void, Denial>> {
  const text = intentText(x, judged, s.clock.nowMs(), s.containment.epoch);
  // What is counted must be on disk before it is spent: after a crash the records are all that is known of it.
  return s.recorder.recordIntent(text, x.reservation === undefined ? judged.route.config.audit : "strict");
}

/** Records how an exchange whose intent stands in the log ended. */
export function recordOutcome(s: Services, x: ExchangeFacts, outcome: Outcome): void {
  x.concluded = true;
  // The outcome says so too: whoever counts the records comes to the same.
  if (outcome.sent === false && x.reservation !== undefined) s.budgets.giveBack(x.reservation);
  s.recorder.record(outcomeText(x, outcome, s.clock.nowMs()));
}

function toolOf(x: ExchangeFacts): { tool: string; mcp?: string } {
  const call = x.rpc?.call;
  if (call === undefined) return { tool: (x.operation ?? x.route?.input)?.tool ?? "" };
  return { tool: loggedName(call).slice(0, NAME_CHARACTERS_MAX), mcp: call.method };
}

/** The last thing that happens to an exchange, whatever became of it. */
export function finishExchange(s: Services, x: ExchangeFacts): void {
  if (x.outcome === "denied" && !x.intended) {
    if (x.agent === undefined) {
      if (x.reason !== "") s.denials.count(x.reason);
    } else {
      s.recorder.record({
        type: "denied",
        at: isoTime(s.clock.nowMs()),
        request_id: x.requestId,
        decision_id: x.decisionId,
        agent: x.agent.refs.agent,
        key_thumbprint: x.agent.keyThumbprint,
        token: x.agent.claims.token.jti,
        action: { method: x.method, ...toolOf(x) },
        resource: { route: x.route?.config.name ?? "", path: x.path },
        reason: x.reason,
        status: x.status,
      });
    }
  }
  const durationUs = Math.round((performance.now() - x.startedAt) * 1000);
  s.metrics.exchange(x.route?.config.name ?? "", x.outcome, x.reason);
  s.metrics.stepUs("total", durationUs);
  if (x.upstreamUs > 0) s.metrics.stepUs("upstream", x.upstreamUs);
  s.logs.access({
    requestId: x.requestId,
    decisionId: x.decisionId,
    traceId: x.trace.traceId,
    spanId: x.trace.spanId,
    agent: x.agent,
    policyRevision: x.revision,
    containmentEpoch: s.containment.epoch,
    containmentMode: x.containmentMode,
    timeMs: x.timeMs,
    listener: x.listener.name,
    route: x.route?.config.name ?? "",
    method: x.method,
    host: x.host,
    path: x.path,
    status: x.status,
    outcome: x.outcome,
    reason: x.reason,
    detail: x.detail,
    mode: x.route?.config.mode ?? "",
    sourceIp: x.sourceIp,
    bytesIn: x.bytesIn,
    bytesOut: x.bytesOut,
    durationUs,
    upstreamUs: x.upstreamUs,
    httpVersion: x.httpVersion,
    errorId: x.errorId,
  });
  s.flight.finished(x.flightSlot, x.status, x.outcome);
}
