// In: a proven agent's request, as its decision was asked about it. Out: the input of any entry point, and the decision's log
// line. What is asked beside the decision (a list, an answer) is one more member of the same input, at the time of now.
import { cutInputText, type InputParts, type InputText, inputText, requestMembers } from "../../action/build-input.ts";
import { type Denial, deny } from "../../errors.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import type { Decision } from "../../policy/decision.ts";
import { TEXT_CHARACTERS_MAX } from "../../telemetry/entry-members.ts";
import type { JudgedResponse } from "../../telemetry/log-entries.ts";
import type { Agent } from "../../token/agent.ts";
import type { Evaluation, GateInput } from "../thread/policy-gate.ts";
import type { ExchangeFacts, Route, Services } from "../thread/services.ts";

export interface Question {
  readonly agent: Agent;
  readonly route: Route;
  readonly input: InputParts;
  /** For the log. */
  readonly arguments: unknown;
}

export interface Asked extends Question {
  readonly text: InputText;
  readonly gate: GateInput;
}

/** `member`: JSON text of one more member of the input. */
export function ask(question: Question, member?: string): Asked {
  const { agent, route, input } = question;
  const text = inputText(input);
  const members = requestMembers(input, text);
  const rest = member === undefined ? members : `${members},${member}`;
  const gate = {
    split: { claims: agent.claimsJson, rest },
    timeMs: input.timeMs,
    route: route.index,
    agentId: agent.refs.agent,
  };
  return { ...question, text, gate };
}

/** The same question once more: at the time of now, and by the labels that the session has now. A denial: they are not known. */
export function askAgain(
  s: Services,
  question: Question,
  member?: string,
  changes: Partial<InputParts> = {},
): Result<Asked, Denial> {
  const agent = s.labels.see(question.agent);
  if (agent === null) return err(deny("containment.stale", "a change of labels has not arrived"));
  const input = { ...question.input, timeMs: s.clock.nowMs(), ...changes };
  return ok(ask({ ...question, agent, input }, member));
}

export interface Said {
  readonly decisionId: string;
  readonly decision: Decision | undefined;
  readonly denial: Denial | null;
  /** Where an answer was judged. */
  readonly response?: JudgedResponse;
}

export function logDecision(
  s: Services,
  x: ExchangeFacts,
  { agent, route, input, arguments: body, text }: Asked,
  { revision, evaluationUs }: Omit<Evaluation<unknown>, "result">,
  { decisionId, decision, denial, response }: Said,
): void {
  s.logs.decision({
    requestId: x.requestId,
    decisionId,
    traceId: x.trace.traceId,
    spanId: x.trace.spanId,
    agent,
    policyRevision: revision ?? NO_REVISION,
    containmentEpoch: s.containment.epoch,
    containmentMode: x.containmentMode,
    timeMs: input.timeMs,
    mode: route.config.mode,
    inputText: cutInputText(input, text, TEXT_CHARACTERS_MAX),
    arguments: body,
    query: input.target.query,
    sourceIp: x.sourceIp,
    decision,
    response,
    reason: denial?.reason ?? "",
    detail: denial?.detail ?? "",
    evaluationUs,
  });
}

const NO_REVISION = Object.freeze({ bundle: "", data: "" });
