// In: the exchanges that a thread had open when it ended. Out: a line in the access log and an outcome for each of them.
// Only the request id is known of them: who called and what was asked stands in the intent, where there is one.
import type { AuditWriter } from "../audit/audit-writer.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logs } from "../telemetry/log-entries.ts";
import type { OpenAtEnd } from "./in-flight.ts";

export function concludeThread(
  open: readonly OpenAtEnd[],
  why: string,
  to: { readonly logs: Logs; readonly audit: AuditWriter; readonly clock: Clock; readonly epoch: number },
): void {
  const timeMs = to.clock.nowMs();
  for (const { requestId, intended } of open) {
    to.logs.access({
      requestId,
      decisionId: "",
      traceId: "",
      spanId: "",
      agent: undefined,
      policyRevision: undefined,
      containmentEpoch: to.epoch,
      containmentMode: "",
      timeMs,
      listener: "",
      route: "",
      method: "",
      host: "",
      path: "",
      status: 503,
      outcome: "failed",
      reason: "gateway.thread_ended",
      detail: why,
      mode: "",
      sourceIp: "",
      bytesIn: 0,
      bytesOut: 0,
      durationUs: 0,
      upstreamUs: 0,
      httpVersion: "",
      errorId: "",
    });
    if (!intended) continue;
    to.audit.record({
      type: "outcome",
      at: new Date(timeMs).toISOString(),
      request_id: requestId,
      outcome: "failed",
      reason: "gateway.thread_ended",
      // The tool may have got it: nobody who knew is left.
      sent: null,
      status: null,
    });
  }
}
