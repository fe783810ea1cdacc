// In: an exchange whose decision wants its answer judged, and what the tool sends. Out: for each message of it, what the agent
// may see, by the policy's entry point `cordon/response`; or why it is withheld. Trusts: nothing that the tool sends.
//
// What the policy does not say, says late or in another form withholds the answer. The tool has acted by then: that is what
// the outcome of the exchange says, beside the reason.
import { isUtf8 } from "node:buffer";
import { type Denial, deny } from "../../errors.ts";
import { jsonText } from "../../lib/json-text.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import { parseStrictValue } from "../../lib/strict-json.ts";
import type { ResponseFacts } from "../../telemetry/log-entries.ts";
import type { FilterData } from "../../upstream/event-filter.ts";
import type { ForwardRequest } from "../../upstream/forwarder.ts";
import { isEventStream } from "../../upstream/message-filter.ts";
import { readMessage } from "../../upstream/read-message.ts";
import { redactJson } from "../../upstream/redact-json.ts";
import { isRelaxed, type Judged } from "./judge.ts";
import { askAgain, logDecision } from "./policy-question.ts";
import type { ExchangeFacts, Services } from "../thread/services.ts";

/** Nesting of a JSON document that is judged: what is nested deeper is withheld. */
const DEPTH_MAX = 64;
const UNREADABLE = "response.not_judged";

export interface Allowed {
  /** JSON pointers into what was judged. */
  readonly redact: readonly string[];
  /** What the answer was called is not in force yet: it waits for that, or for why it is withheld. */
  readonly ready: Promise<Denial | null> | null;
}

/** `member` of the message is what was judged, and where the pointers lead. */
export type JudgeMessage = (message: Buffer) => Result<Allowed & { readonly member: string }, Denial>;

/** Null where the decision does not ask for it: nothing is gathered or read then. */
export function messageJudge(s: Services, x: ExchangeFacts, judged: Judged): JudgeMessage | null {
  if (!wantsJudgement(judged)) return null;
  return (body) => {
    const message = readMessage(body);
    if ("reason" in message) return err(message);
    const { kind, isError, method, member, text } = message;
    const named = method === undefined ? "" : `,"method":${jsonText(method)}`;
    const says = text === undefined ? "" : `,${jsonText(member)}:${text}`;
    const allowed = judgeResponse(s, x, judged, `{"kind":"${kind}","is_error":${isError}${named}${says}}`, {
      kind,
      bytes: body.length,
    });
    return allowed.ok ? ok({ ...allowed.value, member }) : allowed;
  };
}

type AnswerFilter = Pick<ForwardRequest, "mapHead" | "filterMessage" | "mayRedact" | "unreadable">;

/** For a route that does not speak MCP: a JSON document, or each event of a stream. */
export function answerFilter(s: Services, x: ExchangeFacts, judged: Judged): AnswerFilter {
  if (!wantsJudgement(judged)) return {};
  const { redact = [] } = judged.decision.obligations;
  let head = "";
  let isStream = false;
  return {
    mapHead: (headers, status) => {
      const type = headers["content-type"];
      isStream = isEventStream(headers);
      const kind = isStream ? "event" : "document";
      head = `"kind":"${kind}","status":${status},"content_type":${jsonText(typeof type === "string" ? type : "")}`;
      return headers;
    },
    filterMessage: (body) => {
      const text = textOf(body, isStream);
      if (text === null) return deny(UNREADABLE, "not strict JSON");
      const facts: ResponseFacts = { kind: isStream ? "event" : "document", bytes: body.length };
      const allowed = judgeResponse(s, x, judged, `{${head},"body":${text}}`, facts);
      if (!allowed.ok) return allowed.error;
      const pointers = [...redact, ...allowed.value.redact];
      const redacted = pointers.length === 0 ? body : redactJson(body, pointers);
      return heldUntil(redacted ?? deny("upstream.cannot_redact", "not strict JSON"), allowed.value);
    },
    mayRedact: true,
    unreadable: UNREADABLE,
  };
}

/** Before anything is sent: what could not be judged afterwards would leave what the tool did without an answer. */
export function cannotJudge(s: Services, judged: Judged): Denial | null {
  if (!wantsJudgement(judged)) return null;
  if (judged.mcp?.action.call.params?.["task"] !== undefined) return deny(UNREADABLE, "the result of a task");
  const missing = deny("policy.undefined", "the policy has no entry point cordon/response");
  return s.policy.judgesResponses || isRelaxed(judged.route, missing) ? null : deny(UNREADABLE, missing.detail);
}

export function wantsJudgement({ decision }: Pick<Judged, "decision">): boolean {
  return decision.obligations.judge_response === true;
}

/** A message that may not leave before its label is in force. */
export function heldUntil(filtered: Buffer | Denial | null, { ready }: Allowed): ReturnType<FilterData> {
  if (ready === null || filtered === null || "reason" in filtered) return filtered;
  return { data: filtered, ready };
}

function judgeResponse(
  s: Services,
  x: ExchangeFacts,
  { question, route }: Judged,
  responseJson: string,
  facts: ResponseFacts,
): Result<Allowed, Denial> {
  const again = askAgain(s, question, `"response":${responseJson}`);
  if (!again.ok) return err(deny(UNREADABLE, again.error.reason));
  const asked = again.value;
  const { result, ...how } = s.policy.respond(asked.gate);
  s.metrics.stepUs("respond", how.evaluationUs);
  const verdict = result.ok ? result.value : undefined;
  const refused = result.ok ? deniedBy(result.value) : result.error;
  const denial = refused === null ? null : asWithheld(refused);
  const decisionId = s.nextId();
  logDecision(s, x, asked, how, {
    decisionId,
    decision: undefined,
    denial,
    response: { ...facts, verdict },
  });
  const labels = verdict?.labels ?? [];
  // Also where the answer is withheld: the label tells what the session has met.
  const ready = labels.length === 0 ? null : s.labels.give(question.agent, labels, `policy:${decisionId}`);
  if (refused !== null && denial !== null) {
    if (!isRelaxed(route, refused)) return err(denial);
    x.detail = `its answer would be withheld: ${denial.reason}, ${denial.detail ?? ""}`;
  }
  return ok({ redact: verdict?.redact ?? [], ready });
}

function deniedBy({ allow, reasons }: { allow: boolean; reasons: readonly { code: string }[] }): Denial | null {
  return allow ? null : deny("policy.denied", reasons.map(({ code }) => code).join(" "));
}

/** The policy's own denial, or why there is no verdict. */
function asWithheld({ reason, detail }: Denial): Denial {
  if (reason === "policy.denied") return deny("response.denied", detail);
  return deny(UNREADABLE, detail === undefined ? reason : `${reason}, ${detail}`);
}

/**
 * An event may hold a word that is no JSON, such as `[DONE]`: it is judged as a text. What is JSON to some readers only is
 * neither.
 */
function textOf(body: Buffer, isStream: boolean): string | null {
  const text = body.toString("utf8");
  if (parseStrictValue(body, DEPTH_MAX) !== undefined) return text;
  return isStream && isUtf8(body) && !isJson(text) ? JSON.stringify(text) : null;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
