// In: a connection whose request could not be read. Out: the facts for its log line.
import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { TraceContext } from "../../telemetry/trace-context.ts";
import type { ExchangeFacts, ListenerFacts, Services } from "../thread/services.ts";

/** Before the headers are read; an exchange that never gets so far belongs to no trace. */
const NO_TRACE: TraceContext = Object.freeze({
  traceId: "",
  spanId: "",
  parentSpanId: "",
  sampled: false,
  tracestate: "",
});

/** Facts of an exchange of which nothing is known yet but where it came in. */
export function openSocketFacts(
  s: Services,
  listener: ListenerFacts,
  requestId: string,
  socket: Pick<Socket, "remoteAddress">,
): ExchangeFacts {
  return {
    requestId,
    timeMs: s.clock.nowMs(),
    startedAt: performance.now(),
    listener,
    method: "",
    sourceIp: socket.remoteAddress ?? "",
    httpVersion: "",
    trace: NO_TRACE,
    decisionId: "",
    route: undefined,
    host: "",
    path: "",
    agent: undefined,
    containmentMode: "",
    revision: undefined,
    status: 0,
    outcome: "denied",
    reason: "",
    detail: "",
    bytesIn: 0,
    bytesOut: 0,
    upstreamUs: 0,
    errorId: "",
    flightSlot: -1,
    intended: false,
    entered: false,
    bodyBytes: 0,
    concluded: false,
    answerOwed: false,
    broken: undefined,
    rpc: undefined,
    operation: undefined,
    reservation: undefined,
    openId: undefined,
    sent: false,
  };
}
