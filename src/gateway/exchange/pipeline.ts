// In: one request on a listener of this thread. Out: its answer, its records and its log lines.
//
// The walk of a request, in the only order that keeps the promises:
//
//   1 exchange      before anything else: what cannot be read in one way is not judged at all        400 408 421 431
//   2 agent         a key proves the caller; an unproven caller learns nothing, also not the routes   400 401 429
//   3 containment   before policy: a blocked agent costs nothing                                      403
//   4 action        the body is read only for a proven caller that is not contained                   400 404 405 413 415
//   5 decision      Rego judges the claims, the resource and the arguments                            403
//   6 intent        an id of MCP is taken, the budgets reserve, then it is recorded with that: a crash gives
//                   nothing back, and no byte goes upstream before                                    400 411 429 503
//   7 upstream      containment is looked at once more when the connection is ready                   403 502 504
//   8 response      judged, redacted and capped as policy obliges, streamed as it comes                403 502
//   9 outcome       recorded and logged when known; it never delays the response
//
// Steps 1 to 5 are in judge.ts. Nothing falls through: an unexpected throw is a deny with an id that stands in the log.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { Duplex } from "node:stream";
import { answerDenial, answerOnSocket } from "./answer.ts";
import { awaitTurn, standsBehind } from "./await-turn.ts";
import { type Denial, deny, REASONS } from "../../errors.ts";
import { forwardExchange } from "./forward-exchange.ts";
import { judge, type Judged, type Refusal } from "./judge.ts";
import { readHead } from "./read-head.ts";
import {
  finishExchange,
  NOTHING_KNOWN,
  NOTHING_SENT,
  outcomeOf,
  recordIntent,
  recordOutcome,
} from "./record-exchange.ts";
import {
  answerMetadata,
  describedPath,
  isMetadataPath,
  mayBeMetadata,
  refuseMetadataMethod,
} from "./resource-metadata.ts";
import type { ExchangeFacts, ListenerFacts, Services } from "../thread/services.ts";
import { openSocketFacts } from "./socket-facts.ts";
import { tunnelExchange } from "./tunnel-exchange.ts";

/** A body up to this size is read and thrown away, so that the connection of a denied request can be kept. */
const DISCARD_BYTES_MAX = 65_536;

export async function runExchange(
  s: Services,
  listener: ListenerFacts,
  request: IncomingMessage,
  response: ServerResponse,
  expectsContinue: boolean,
): Promise<void> {
  const x = openFacts(s, listener, request);
  s.pending.owed(request.socket);
  x.answerOwed = true;
  await guarded(
    s,
    x,
    request.socket,
    async () => {
      const early = standsBehind(request, response) ? await awaitTurn(request, response) : null;
      if (early !== null) {
        answer(s, x, { denial: early }, request, response, expectsContinue);
        return;
      }
      if (s.draining) response.shouldKeepAlive = false;
      if (mayBeMetadata(request.url) && describeResource(s, x, request, response)) return;
      const allowed = await admit(s, x, request, false, () => {
        if (expectsContinue) response.writeContinue();
      });
      const refusal =
        "refusal" in allowed
          ? allowed.refusal
          : await forwardExchange(s, x, allowed.judged, request, response, expectsContinue);
      if (refusal !== null) {
        answer(s, x, refusal, request, response, expectsContinue);
      } else {
        x.status = response.statusCode;
        endUnread(response, s.config.limits.idle_timeout_ms);
      }
    },
    (refusal) => answer(s, x, refusal, request, response, expectsContinue),
  );
}

/** True where the request was for the metadata and is answered; the gateway's own state does not matter to it. */
function describeResource(s: Services, x: ExchangeFacts, request: IncomingMessage, response: ServerResponse): boolean {
  const head = readHead(s, x, request);
  if (!head.ok || !isMetadataPath(head.value.target.path)) return false;
  const refusal = refuseMetadataMethod(x.method);
  if (refusal !== undefined) {
    answer(s, x, refusal, request, response, true);
    return true;
  }
  // A body has no meaning here and is not read.
  if (head.value.headers.hasBody) response.shouldKeepAlive = false;
  const { origin, target } = head.value;
  const { document } = origin.metadata.at(describedPath(target.path));
  // Whoever asks is not known, so it has the pace of a refusal: a flood of these takes as little from the proven.
  s.refusals.give(request.socket, () => answerMetadata(response, document, x.requestId));
  x.status = 200;
  x.outcome = "answered";
  return true;
}

export async function runUpgrade(
  s: Services,
  listener: ListenerFacts,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const x = openFacts(s, listener, request);
  const reply = (refusal: Refusal): void => {
    note(x, refusal);
    const give = (): void => answerOnSocket(socket, { ...refusal, requestId: x.requestId });
    if (isKnown(x, refusal)) give();
    else s.refusals.give(request.socket, give);
  };
  await guarded(
    s,
    x,
    request.socket,
    async () => {
      const allowed = await admit(s, x, request, true, () => undefined);
      const refusal =
        "refusal" in allowed ? allowed.refusal : await tunnelExchange(s, x, allowed.judged, request, socket, head);
      if (refusal !== null) reply(refusal);
    },
    reply,
  );
}

/** An answer that is complete here but that its client never reads holds its bytes until this is over (H18). */
function endUnread(response: ServerResponse, limitMs: number): void {
  const { socket } = response;
  // Nearly every answer is with the system already; only then is there nothing to watch.
  if (socket === null || socket.writableLength === 0 || response.writableFinished) return;
  const timer = setTimeout(() => response.destroy(), limitMs);
  response.once("close", () => clearTimeout(timer));
}

/** Steps 1 to 6. */
async function admit(
  s: Services,
  x: ExchangeFacts,
  request: IncomingMessage,
  upgrade: boolean,
  beforeBody: () => void,
): Promise<{ judged: Judged } | { refusal: Refusal }> {
  if (s.draining) return { refusal: { denial: deny("gateway.draining") } };
  if (s.inFlight > s.config.limits.exchanges_max) return { refusal: { denial: deny("gateway.overloaded") } };
  const judged = await judge(s, x, request, upgrade, beforeBody);
  if (!judged.ok) return { refusal: judged.error };
  if (judged.value.quarantined && s.monitor === undefined) {
    return { refusal: { denial: deny("containment.no_monitor") } };
  }
  const refusal = claimId(s, x, judged.value) ?? reserveBudget(s, x, judged.value);
  if (refusal !== null) return { refusal };
  const startedAt = performance.now();
  s.flight.intended(x.flightSlot);
  const recorded = recordIntent(s, x, judged.value);
  const intent = recorded instanceof Promise ? await recorded : recorded;
  s.metrics.stepUs("intent", (performance.now() - startedAt) * 1000);
  x.intended = true;
  if (intent.ok) return { judged: judged.value };
  // A record that was refused may still be written when the disk comes back: its outcome says that nothing was sent.
  x.reason = intent.error.reason;
  recordOutcome(s, x, NOTHING_SENT);
  return { refusal: { denial: intent.error } };
}

/** A server finds the stream of an answer by the request's id: while one is open, no other request of its session may have it. */
function claimId(s: Services, x: ExchangeFacts, { agent, route, mcp }: Judged): Refusal | null {
  const id = mcp?.action.call.id;
  if (mcp?.session === undefined || id === undefined) return null;
  const taken = s.ids.take({ agent: agent.refs.agent, route: route.config.name, session: mcp.session, id });
  if ("reason" in taken) return { denial: taken };
  x.openId = taken;
  return null;
}

function reserveBudget(s: Services, x: ExchangeFacts, { budget }: Judged): Refusal | null {
  if (budget === undefined) return null;
  const reserved = s.budgets.reserve(budget.counted, budget.facts, s.clock.nowMs());
  if (!reserved.ok) return { denial: reserved.error, retryAfterS: reserved.error.retryAfterS };
  x.reservation = reserved.value;
  return null;
}

/** Runs one exchange; whatever it throws becomes a deny with an id. Its log line is written exactly once. */
async function guarded(
  s: Services,
  x: ExchangeFacts,
  socket: Socket,
  run: () => Promise<void>,
  reply: (refusal: Refusal) => void,
): Promise<void> {
  s.inFlight++;
  x.flightSlot = s.flight.open(x.requestId);
  s.metrics.exchangesInFlight(1);
  try {
    await run();
  } catch (error) {
    x.errorId = s.nextId();
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    s.tell({
      type: "service",
      level: "error",
      message: "an exchange failed unexpectedly and was denied",
      fields: { error_id: x.errorId, request_id: x.requestId, error: text },
    });
    reply({ denial: deny("gateway.internal_error", x.errorId) });
    // Whether the tool saw it is not known here; the record says at least that it ended, and how.
    if (x.intended && !x.concluded) recordOutcome(s, x, NOTHING_KNOWN);
  } finally {
    s.metrics.exchangesInFlight(-1);
    if (x.answerOwed) s.pending.settled(socket);
    if (x.openId !== undefined) s.ids.end(x.openId);
    if (x.reservation !== undefined) s.budgets.release(x.reservation);
    finishExchange(s, x);
    s.flight.close(x.flightSlot);
    if (x.entered && x.agent !== undefined) s.load.leave(x.agent.refs.agent, x.bodyBytes);
    s.ended();
  }
}

function answer(
  s: Services,
  x: ExchangeFacts,
  refusal: Refusal,
  request: IncomingMessage,
  response: ServerResponse,
  expectsContinue: boolean,
): void {
  note(x, refusal);
  const unread = !request.complete && !request.readableEnded;
  const declared = Number(request.headers["content-length"] ?? (request.headers["transfer-encoding"] ? Infinity : 0));
  // A head that means different things to different readers: what follows it on this connection is not trusted either.
  const odd = refusal.denial.reason.startsWith("exchange.");
  const close = odd || (unread && (expectsContinue || declared > DISCARD_BYTES_MAX));
  const rpc = x.rpc === undefined ? undefined : { id: x.rpc.id, versions: x.route?.mcp?.versions ?? [] };
  const give = (): void => {
    answerDenial(response, { ...refusal, requestId: x.requestId, close, rpc });
    endUnread(response, s.config.limits.idle_timeout_ms);
  };
  if (isKnown(x, refusal)) give();
  else s.refusals.give(request.socket, give);
}

/** Only who was never proven here waits for a refusal: not an agent, nor one that is told to prove itself once more. */
function isKnown(x: ExchangeFacts, refusal: Refusal): boolean {
  return x.agent !== undefined || refusal.known === true;
}

function note(x: ExchangeFacts, refusal: Refusal): void {
  const denial = x.broken ?? refusal.denial;
  x.status = REASONS[denial.reason].status;
  x.reason = denial.reason;
  x.detail = denial.detail ?? "";
  x.outcome = x.sent ? "failed" : outcomeOf(denial);
}

/**
 * The exchange of a request, so that what happens to its body is its own. A property and not a WeakMap: V8's minor
 * collections take every value of an old WeakMap for alive, so each exchange was copied twice, and died only in a major one.
 */
const exchange = Symbol("exchange");
type ReadRequest = IncomingMessage & { [exchange]?: ExchangeFacts };

/** The parser gave up on the body of `request`, or its time is over: answers it and ends its connection. */
export function breakExchange(request: ReadRequest, denial: Denial, socket: Socket): void {
  const x = request[exchange];
  // Refused already, and the answer waits: another one in its place would not be what the log says.
  if (x === undefined || x.status !== 0) {
    socket.destroy();
    return;
  }
  x.broken = denial;
  answerOnSocket(socket, { denial, requestId: x.requestId });
}

function openFacts(s: Services, listener: ListenerFacts, request: ReadRequest): ExchangeFacts {
  const x = openSocketFacts(s, listener, s.nextId(), request.socket);
  x.method = request.method ?? "";
  x.httpVersion = request.httpVersion;
  request[exchange] = x;
  return x;
}
