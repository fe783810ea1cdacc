// In: a request head (and where policy needs it, its body). Out: a judged exchange, or the denial that ends it.
// Steps 1 to 5 of the pipeline, for plain requests and for upgrades alike. Nothing has been sent to any tool yet.
import type { IncomingMessage } from "node:http";
import { performance } from "node:perf_hooks";
import type { TLSSocket } from "node:tls";
import type { InputParts } from "../../action/build-input.ts";
import type { HeaderFacts } from "../../action/check-headers.ts";
import type { Target } from "../../action/parse-target.ts";
import { type Denial, deny, REASONS, type Reason } from "../../errors.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import type { Decision } from "../../policy/decision.ts";
import { requiredScope } from "../../policy/required-scope.ts";
import type { Agent } from "../../token/agent.ts";
import type { Challenge } from "./answer.ts";
import { applyObligations, type Settled } from "./apply-obligations.ts";
import type { CallFacts, Counted } from "../thread/budget-gate.ts";
import { peerCertificate } from "./peer-certificate.ts";
import { ask, askAgain, logDecision, type Question } from "./policy-question.ts";
import { bytesOf, readAction } from "./read-action.ts";
import { htuOf, readHead, traceOf } from "./read-head.ts";
import type { ChooseVisible } from "./filter-answer.ts";
import { type McpRequest, readMcpCall, readMcpHead } from "./read-mcp.ts";
import { readOperation } from "./read-operation.ts";
import { judgeWhileOpen, type WhileOpen } from "./while-open.ts";
import type { ExchangeFacts, PublicOrigin, Route, Services } from "../thread/services.ts";

export interface Refusal extends Challenge {
  readonly denial: Denial;
  readonly allow?: string;
  /** Of a caller who was proven before: see `AuthDenial`. */
  readonly known?: boolean | undefined;
  /** See `Answer`. */
  readonly retryAfterS?: number | null | undefined;
}

export interface Judged {
  readonly route: Route;
  readonly agent: Agent;
  readonly target: Target;
  readonly headers: HeaderFacts;
  /** The judged bytes; null where there is no body, "stream" where the route does not read it. */
  readonly body: Buffer | null | "stream";
  readonly decision: Decision;
  readonly quarantined: boolean;
  /** Only on a route of kind `mcp`. */
  readonly mcp: (McpRequest & { readonly visible: ChooseVisible }) | undefined;
  /** Where a budget matches; nothing is reserved yet. */
  readonly budget: { readonly counted: Counted; readonly facts: CallFacts } | undefined;
  readonly whileOpen: WhileOpen;
  /** What the decision was asked about; an answer is asked about in the same words. */
  readonly question: Question;
}

export type JudgeResult = Result<Judged, Refusal>;

/** What `observe` lets pass: the policy's verdict, and nothing else. */
const RELAXED_BY_OBSERVE: ReadonlySet<Reason> = new Set<Reason>([
  "policy.denied",
  "policy.undefined",
  "policy.malformed_decision",
  "policy.error",
  "policy.unknown_obligation",
]);

const NO_DECISION: Decision = Object.freeze({ allow: false, reasons: [], obligations: {} });

export async function judge(
  s: Services,
  x: ExchangeFacts,
  request: IncomingMessage,
  upgrade: boolean,
  beforeBody: () => void,
): Promise<JudgeResult> {
  // 1. exchange: is it one request, for one of our origins, in a form that means the same to everyone?
  // For another reader, what stands behind a head that is refused may be its body: the answer closes the connection, and
  // nothing behind it gets its turn.
  const head = readHead(s, x, request);
  if (!head.ok) return refuse(head.error);
  const { headers, origin, target } = head.value;
  const match = s.routes.find(
    target.segments,
    (route) => isHost(route, origin),
    (route) => route.methods.has(x.method),
  );
  x.route = match?.route;

  // 2. agent: the route is not told yet, so that an unproven caller learns nothing of what is served here.
  const startedAt = performance.now();
  const pending = s.authenticate(
    {
      authorization: headers.authorization,
      dpop: headers.dpop,
      certificate: peerCertificate(request.socket as TLSSocket, x.listener),
      sourceIp: x.sourceIp,
      method: x.method,
      htu: htuOf(origin, target.path),
    },
    s.clock.nowMs(),
  );
  const authenticated = pending instanceof Promise ? await pending : pending;
  s.metrics.stepUs("authenticate", (performance.now() - startedAt) * 1000);
  if (!authenticated.ok) {
    const { wwwAuthenticate: challenge, dpopNonce, known, ...denial } = authenticated.error;
    // RFC 9728 section 5.1: where to learn who issues tokens for this resource.
    const wwwAuthenticate =
      challenge === undefined ? undefined : `${challenge}, ${origin.metadata.at(target.path).challenge}`;
    return err({ denial, wwwAuthenticate, dpopNonce, known });
  }
  const agent = authenticated.value;
  x.agent = agent;
  if (headers.traceparent === undefined) x.trace = traceOf(headers);
  s.seen.see(agent, x.timeMs);
  // A proven caller may learn that a route speaks MCP: from here on it is answered in JSON-RPC.
  if (match?.route.mcp !== undefined) x.rpc = { id: undefined, call: undefined };

  // A token that its issuer has ended or replaced since; known to the issuer alone, and said only to who holds its key.
  const ended = s.revocations.check(agent);
  if (ended !== null) {
    const challenge = tokenChallenge(ended);
    return err({
      denial: ended,
      wwwAuthenticate:
        challenge === undefined ? undefined : `${challenge}, ${origin.metadata.at(target.path).challenge}`,
    });
  }

  // 3. containment comes before policy: a blocked agent costs nothing.
  const verdict = s.containment.verdictFor(agent);
  x.containmentMode = verdict.mode;
  const contained = s.containment.check(verdict);
  if (contained !== null) return refuse(contained);
  const overloaded = s.load.enter(agent.refs.agent);
  if (overloaded !== null) return refuse(overloaded);
  x.entered = true;

  // 4. action and resource: what is asked, and of what.
  const routed = checkRoute(match?.route, x, target, upgrade, headers);
  if (routed !== null) return err(routed);
  const route = match?.route as Route;
  const mcpHead = route.mcp === undefined ? undefined : readMcpHead(s, route, route.mcp, agent, request.rawHeaders);
  if (mcpHead?.ok === false) return refuse(mcpHead.error);
  const operation =
    route.operations === undefined
      ? undefined
      : readOperation(route.operations, x, target, headers, request.rawHeaders);
  if (operation?.ok === false) return err(operation.error);
  const hold = (bytes: number): Denial | null => {
    const full = s.load.addBody(agent.refs.agent, bytes);
    if (full === null) x.bodyBytes += bytes;
    return full;
  };
  // Not before the caller is proven: what breaks off in this very turn has its name in the log. From here on what came
  // in the same turn of the event loop goes on beside it, step by step.
  await s.beginTurn();
  const body = await readAction(route, headers, request, upgrade, beforeBody, hold);
  if (!body.ok) return refuse(body.error);
  x.bytesIn = body.value.bytes?.length ?? 0;
  let mcp: McpRequest | undefined;
  if (route.mcp !== undefined && mcpHead !== undefined) {
    const value = body.value.kind === "none" ? undefined : body.value.value;
    const read = readMcpCall(x, route.mcp, mcpHead.value, value, request.rawHeaders);
    if (!read.ok) {
      const denial = read.error;
      return err(denial.reason === "route.method_not_allowed" ? { denial, allow: "POST" } : { denial });
    }
    mcp = read.value;
    // What policy is asked about is a tool that is as it was pinned, with arguments that it takes.
    const unfit = s.tools.check(route, mcp.action.call, mcpHead.value.headers.parameters);
    if (unfit !== null) return refuse(unfit);
  }
  const described = operation?.value.withBody(body.value.kind === "json" ? body.value.value : undefined);
  if (described?.ok === false) return refuse(described.error);

  // 5. decision: Rego judges the four claims, the tool and its arguments.
  const timeMs = s.clock.nowMs();
  const facts: CallFacts = {
    call: mcp?.action.call,
    operation: x.operation?.tool,
    arguments: mcp === undefined ? (described?.value ?? body.value.value) : mcp.action.call.arguments,
    bytes: bytesOf(body.value, headers),
  };
  // As it is before this call; what it asks for is reserved once the policy allows it, so that a denial costs nothing.
  const counted = s.budgets.look(route, agent, facts, timeMs);
  if (!counted.ok) return err({ denial: counted.error, retryAfterS: counted.error.retryAfterS });
  const input: InputParts = {
    claimsJson: agent.claimsJson,
    route: x.operation ?? route.input,
    method: x.method,
    bodyText: mcp === undefined && described === undefined ? body.value.text : JSON.stringify(facts.arguments),
    mcp: mcp?.action,
    target,
    params: match?.params ?? {},
    host: origin.host,
    timeMs,
    sourceIp: x.sourceIp,
    gateway: s.config.gateway,
    budgetJson: counted.value?.inputJson,
  };
  // Only now that the body is here: what an agent writes into it may come from an answer that was labelled meanwhile.
  const labelled = s.labels.see(agent);
  if (labelled === null) return refuse(deny("containment.stale", "a change of labels has not arrived"));
  const question: Question = { agent: labelled, route, input, arguments: facts.arguments };
  const visible: ChooseVisible = (listJson) => {
    const now = askAgain(s, question, `"list":${listJson}`);
    return now.ok ? s.policy.visible(now.value.gate).result : now;
  };
  const asked = ask(question);
  const judgement = s.policy.decide(asked.gate);
  s.metrics.stepUs("decide", judgement.evaluationUs);
  x.decisionId = s.nextId();
  x.revision = judgement.revision;
  const outcome = settle(judgement.result);
  const applied = applyObligations(s, x, agent, route, outcome, verdict.mode === "quarantined");
  const quarantined = applied.toMonitor;
  const denial = outcome.denial ?? applied.denial;
  logDecision(s, x, asked, judgement, {
    decisionId: x.decisionId,
    decision: outcome.denial === null || outcome.denial.reason === "policy.denied" ? outcome.decision : undefined,
    denial,
  });
  if (denial !== null && !isRelaxed(route, denial)) {
    // Of the policy's reasons the caller learns what the policy itself says to it: the scope that it lacks.
    const scope = denial.reason === "policy.denied" ? requiredScope(outcome.decision.reasons) : undefined;
    const lacks = scope === undefined ? "" : `error="insufficient_scope", scope="${scope}", `;
    return refuse(denial, `DPoP ${lacks}${origin.metadata.at(target.path).challenge}`, scope);
  }
  return ok({
    route,
    agent,
    target,
    headers,
    body: body.value.kind === "stream" ? "stream" : body.value.bytes,
    decision: outcome.decision,
    quarantined,
    mcp: mcp === undefined ? undefined : { ...mcp, visible },
    budget: counted.value === undefined ? undefined : { counted: counted.value, facts },
    whileOpen: judgeWhileOpen(s, x, counted.value, (timeMs, budgetJson) => {
      const now = askAgain(s, question, undefined, { timeMs, budgetJson });
      if (!now.ok) return now.error;
      const again = settle(s.policy.decide(now.value.gate).result);
      const full = applyObligations(s, x, agent, route, again, quarantined).denial;
      const denial = again.denial ?? full;
      // An open stream cannot be redacted or capped in its middle: where the policy asks for more now, it ends.
      if (denial === null && !sameOnResponse(again.decision, outcome.decision)) {
        return deny("policy.denied", "the policy asks for other obligations now");
      }
      return denial !== null && isRelaxed(route, denial) ? null : denial;
    }),
    question,
  });
}

/** Whether the route only watches what this denial would forbid. */
export function isRelaxed({ config }: Route, { reason }: Denial): boolean {
  return config.mode === "observe" && RELAXED_BY_OBSERVE.has(reason);
}

function isHost(route: Route, origin: PublicOrigin): boolean {
  return route.host === undefined || route.host === origin.host;
}

function checkRoute(
  route: Route | undefined,
  x: ExchangeFacts,
  target: Target,
  upgrade: boolean,
  headers: HeaderFacts,
): Refusal | null {
  if (route === undefined) return { denial: deny("route.unknown") };
  if (!route.methods.has(x.method)) {
    return { denial: deny("route.method_not_allowed"), allow: [...route.methods].join(", ") };
  }
  if (target.encodedSlash && route.config.encoded_slash !== "segment") {
    return { denial: deny("exchange.bad_target", "an encoded slash on a route that refuses it") };
  }
  const wanted = headers.upgrade?.toLowerCase();
  // A WebSocket is opened by GET (RFC 6455 section 4.1): the tool would see another method than policy judged.
  if (wanted !== undefined && x.method !== "GET") return { denial: deny("exchange.upgrade_refused", x.method) };
  if (wanted !== undefined && !(upgrade && wanted === "websocket" && route.config.upgrade.includes("websocket"))) {
    return { denial: deny("exchange.upgrade_refused", `Upgrade: ${wanted}`) };
  }
  return null;
}

function settle(result: Result<Decision, Denial>): Settled {
  if (!result.ok) return { decision: NO_DECISION, denial: result.error };
  if (result.value.allow) return { decision: result.value, denial: null };
  const codes = result.value.reasons.map((reason) => reason.code).join(" ");
  return { decision: result.value, denial: deny("policy.denied", codes) };
}

function sameOnResponse({ obligations: a }: Decision, { obligations: b }: Decision): boolean {
  return (
    a.max_response_bytes === b.max_response_bytes &&
    a.judge_response === b.judge_response &&
    (a.redact ?? []).join("\n") === (b.redact ?? []).join("\n")
  );
}

/** RFC 9449 section 7.1, for a token that was good when it was verified. */
export function tokenChallenge(denial: Denial): string | undefined {
  return REASONS[denial.reason].status === 401 ? 'DPoP error="invalid_token"' : undefined;
}

/** `challenge`: for a 403, which says by it where another token can be had (RFC 9110 section 15.5.4). */
function refuse(denial: Denial, challenge?: string, scope?: string): JudgeResult {
  return err(REASONS[denial.reason].status === 403 ? { denial, wwwAuthenticate: challenge, scope } : { denial });
}
