// In: a judged WebSocket upgrade whose intent is recorded. Out: an open tunnel until either side, or Cordon, ends it.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type Denial, deny } from "../../errors.ts";
import { openTunnel } from "../../upstream/tunnel.ts";
import { identityHeaders } from "./identity-headers.ts";
import type { Judged, Refusal } from "./judge.ts";
import { wantsJudgement } from "./judge-response.ts";
import type { OpenExchange } from "../thread/open-exchanges.ts";
import { NOTHING_SENT, recordOutcome } from "./record-exchange.ts";
import type { ExchangeFacts, Services } from "../thread/services.ts";

/** Null when the tunnel was open; a refusal when nothing was answered yet. */
export async function tunnelExchange(
  s: Services,
  x: ExchangeFacts,
  judged: Judged,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<Refusal | null> {
  const { redact, max_response_bytes: cap } = judged.decision.obligations;
  const judges = wantsJudgement(judged);
  if (redact !== undefined || cap !== undefined || judges) {
    // What a tunnel carries is not read, so an obligation on it could not be kept.
    const denial = deny(judges ? "response.not_judged" : "upstream.cannot_redact", "an obligation on a tunnel");
    recordOutcome(s, x, NOTHING_SENT);
    return { denial };
  }
  const agentId = judged.agent.refs.agent;
  const full = s.load.openStream(agentId);
  if (full !== null) {
    recordOutcome(s, x, NOTHING_SENT);
    return { denial: full };
  }
  try {
    return await runTunnel(s, x, judged, request, socket, head);
  } finally {
    s.load.closeStream(agentId);
  }
}

async function runTunnel(
  s: Services,
  x: ExchangeFacts,
  judged: Judged,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<Refusal | null> {
  const { route, agent, quarantined } = judged;
  const beforeSend = (): Denial | null => {
    const ended = s.revocations.check(agent);
    if (ended !== null) return ended;
    const verdict = s.containment.verdictFor(agent);
    const contained = s.containment.check(verdict);
    if (contained !== null) return contained;
    return verdict.mode === "quarantined" && !quarantined ? deny("containment.stale", "quarantined at send") : null;
  };
  const handle = openTunnel({
    target: quarantined && s.monitor !== undefined ? s.monitor : route.target,
    request,
    socket,
    head,
    path: judged.target.path + judged.target.search,
    identity: identityHeaders(x, agent, quarantined),
    beforeSend,
  });
  const open: OpenExchange = {
    agent,
    streaming: true,
    toMonitor: quarantined,
    uploads: false,
    labels: judged.question.agent.claims.session.labels,
    revision: s.policy.revisionKey,
    whileOpen: judged.whileOpen,
    cut: (denial) => handle.cut(denial),
    cutAtMs: undefined,
  };
  s.open.add(open);
  s.metrics.openStreams(1);
  try {
    const result = await handle.closed;
    const { opened } = result;
    x.sent = result.sent;
    x.bytesIn = result.bytesIn;
    x.bytesOut = result.bytesOut;
    x.status = result.status ?? 0;
    x.outcome = opened ? (quarantined ? "mirrored" : "forwarded") : result.sent ? "failed" : "denied";
    if (result.failure !== null) {
      x.reason = result.failure.reason;
      x.detail = result.failure.detail ?? "";
    }
    recordOutcome(s, x, {
      sent: result.sent,
      status: result.status,
      requestBytes: result.bytesIn,
      responseBytes: result.bytesOut,
      requestSha256: null,
      responseSha256: null,
    });
    return opened ? null : { denial: result.failure ?? deny("upstream.protocol", "no 101") };
  } finally {
    s.open.remove(open);
    s.metrics.openStreams(-1);
  }
}
