// In: a judged exchange whose intent is recorded. Out: the tool's response on the client's connection, or a refusal.
// Containment is looked at again when the connection to the tool is ready: a request that waited for a body, a disk
// or a connection must not slip out after the block. Only then is the exchange in flight.
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Denial, deny, type Reason } from "../../errors.ts";
import type { ForwardOutcome } from "../../upstream/forwarder.ts";
import { cannotRedact, filterAnswer } from "./filter-answer.ts";
import { answerFilter, cannotJudge, wantsJudgement } from "./judge-response.ts";
import { identityHeaders } from "./identity-headers.ts";
import { type Judged, type Refusal, tokenChallenge } from "./judge.ts";
import type { OpenExchange } from "../thread/open-exchanges.ts";
import { NOTHING_SENT, outcomeOf, recordOutcome } from "./record-exchange.ts";
import type { ExchangeFacts, Services } from "../thread/services.ts";

/** A write that the tool has in full is followed to its outcome and recorded; only its response is withheld (H20). */
const FOLLOWED: ReadonlySet<Reason> = new Set<Reason>([
  "stream.cut_containment",
  "stream.cut_revoked",
  "stream.cut_policy",
]);

/** Null when the response went out (also when it was cut); a refusal when nothing was answered yet. */
export async function forwardExchange(
  s: Services,
  x: ExchangeFacts,
  judged: Judged,
  request: IncomingMessage,
  response: ServerResponse,
  expectsContinue: boolean,
): Promise<Refusal | null> {
  // Before the tool is asked: an answer that may not be streamed would leave what the tool did without one.
  const full = mayStream(request) ? s.load.streamDenial(judged.agent.refs.agent) : null;
  const refused = full ?? cannotRedact(judged) ?? cannotJudge(s, judged);
  if (refused !== null) {
    recordOutcome(s, x, NOTHING_SENT);
    return { denial: refused };
  }
  if (judged.body === "stream" && expectsContinue) response.writeContinue();
  let toMonitor = judged.quarantined;
  let outcome = await sendOnce(s, x, judged, request, response, toMonitor);
  // The agent was quarantined while its request waited: nothing was sent, so it can still go to the monitor.
  const rerouted = outcome.rerouted && !outcome.result.sent && judged.body !== "stream" && s.monitor !== undefined;
  if (rerouted) {
    toMonitor = true;
    outcome = await sendOnce(s, x, judged, request, response, toMonitor);
  }
  const { result } = outcome;
  x.sent = result.sent;
  x.bytesIn = result.requestBytes;
  x.bytesOut = result.responseBytes;
  x.upstreamUs = result.upstreamMs === null ? 0 : Math.round(result.upstreamMs * 1000);
  if (toMonitor) x.containmentMode = "quarantined";
  if (result.failure === null) {
    x.outcome = toMonitor ? "mirrored" : "forwarded";
  } else {
    x.reason = result.failure.reason;
    x.detail = result.failure.detail ?? "";
    x.outcome = result.sent ? "failed" : outcomeOf(result.failure);
  }
  recordOutcome(s, x, result);
  if (result.failure === null || result.responseStarted) {
    return null;
  }
  return { denial: result.failure, wwwAuthenticate: tokenChallenge(result.failure) };
}

async function sendOnce(
  s: Services,
  x: ExchangeFacts,
  judged: Judged,
  request: IncomingMessage,
  response: ServerResponse,
  toMonitor: boolean,
): Promise<{ result: ForwardOutcome; rerouted: boolean }> {
  const { route, agent, decision, target, mcp } = judged;
  let rerouted = false;
  let eventStream = false;
  const beforeSend = (): Denial | null => {
    const ended = s.revocations.check(agent);
    if (ended !== null) return ended;
    const verdict = s.containment.verdictFor(agent);
    x.containmentMode = verdict.mode;
    const contained = s.containment.check(verdict);
    if (contained !== null) return contained;
    if (verdict.mode === "quarantined" && !toMonitor) {
      rerouted = true;
      return s.monitor === undefined
        ? deny("containment.no_monitor")
        : deny("containment.stale", "quarantined at send");
    }
    return null;
  };
  const { redact, max_response_bytes: cap } = decision.obligations;
  const handle = s.forwarder.send({
    target: toMonitor && s.monitor !== undefined ? s.monitor : route.target,
    method: x.method,
    path: target.path + target.search,
    rawHeaders: mcp === undefined ? request.rawHeaders : mcp.rawHeaders,
    body: judged.body === "stream" ? request : judged.body,
    ...(judged.headers.contentLength === undefined ? {} : { bodyLength: Number(judged.headers.contentLength) }),
    identity: withSession(identityHeaders(x, agent, toMonitor), mcp?.session),
    ...(mcp === undefined ? answerFilter(s, x, judged) : filterAnswer(s, x, judged, mcp)),
    ...(x.openId === undefined ? {} : { watch: x.openId, mayRedact: true }),
    response,
    beforeSend,
    // On a route of kind `mcp` the pointers lead into the result of a message: see `filterAnswer`. What is judged is judged
    // before anything is removed from it.
    ...(redact === undefined || mcp !== undefined || wantsJudgement(judged) ? {} : { redact }),
    responseBytesMax: Math.min(cap ?? Number.POSITIVE_INFINITY, route.config.limits.response_bytes_max),
    redactBytesMax: route.config.limits.redact_bytes_max,
    responseHeaders: [["x-cordon-request-id", x.requestId]],
    beforeEventStream: () => {
      const denial = s.load.openStream(agent.refs.agent);
      eventStream = denial === null;
      return denial;
    },
    onResponseStart: (_status, streaming) => {
      // From here on an answer of the supervisor would fall into the middle of this one.
      if (x.answerOwed) s.pending.settled(request.socket);
      x.answerOwed = false;
      if (s.draining) response.shouldKeepAlive = false;
      if (streaming) {
        open.streaming = true;
        s.metrics.openStreams(1);
      }
    },
  });
  const open: OpenExchange = {
    agent,
    streaming: false,
    toMonitor,
    uploads: judged.body === "stream",
    labels: judged.question.agent.claims.session.labels,
    revision: s.policy.revisionKey,
    whileOpen: judged.whileOpen,
    cut: (denial) => handle.cut(denial, { follow: FOLLOWED.has(denial.reason) }),
    cutAtMs: undefined,
  };
  s.open.add(open);
  try {
    const result = await handle.done;
    // It has answered; its outcome and its line are made beside those of the others that ended in this turn.
    await s.endTurn();
    return { result, rerouted };
  } finally {
    s.open.remove(open);
    if (open.streaming) s.metrics.openStreams(-1);
    if (eventStream) s.load.closeStream(agent.refs.agent);
  }
}

/** The server gets its own id instead of the agent's. */
function withSession(identity: [string, string][], session: string | undefined): [string, string][] {
  if (session !== undefined) identity.push(["mcp-session-id", session]);
  return identity;
}

/** Whether the caller says that it reads event streams, as every client of one does. */
function mayStream(request: IncomingMessage): boolean {
  return request.headers.accept?.includes("text/event-stream") === true;
}
