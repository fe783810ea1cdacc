// In: an exchange whose decision wants its answer judged, and what the tool sends. Out: for each message of it, what the agent
// may see, by the policy's entry point `cordon/response`; or why it is withheld. Trusts: nothing that the tool sends.
//
// What the policy does not say, says late or in another form withholds the answer. The tool has acted by then: that is what
// the outcome of the exchange says, beside the reason.
import { isUtf8 } from "node:buffer";
import { type Denial, deny } from "../errors.ts";
import { jsonText } from "../lib/json-text.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { parseStrictValue } from "../lib/strict-json.ts";
import type { ResponseFacts } from "../telemetry/log-entries.ts";
import type { ForwardRequest } from "../upstream/forwarder.ts";
import { isEventStream } from "../upstream/message-filter.ts";
import { readMessage } from "../upstream/read-message.ts";
import { redactJson } from "../upstream/redact-json.ts";
import { isRelaxed, type Judged } from "./judge.ts";
import { ask, logDecision } from "./policy-question.ts";
import type { ExchangeFacts, Services } from "./services.ts";

/** Nesting of a JSON document that is judged: what is nested deeper is withheld. */
const DEPTH_MAX = 64;
const UNREADABLE = "response.not_judged";

export interface Allowed {
  /** JSON pointers into what was judged. */
  readonly redact: readonly string[];
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
      if (pointers.length === 0) return body;
      return redactJson(body, pointers) ?? deny("upstream.cannot_redact", "not strict JSON");
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

function judgeResponse(
  s: Services,
  x: ExchangeFacts,
  { question, route }: Judged,
  responseJson: string,
  facts: ResponseFacts,
): Result<Allowed, Denial> {
  const now = { ...question, input: { ...question.input, timeMs: s.clock.nowMs() } };
  const asked = ask(now, `"response":${responseJson}`);
  const { result, ...how } = s.policy.respond(asked.gate);
  s.metrics.stepUs("respond", how.evaluationUs);
  const verdict = result.ok ? result.value : undefined;
  const refused = result.ok ? deniedBy(result.value) : result.error;
  const denial = refused === null ? null : asWithheld(refused);
  logDecision(s, x, asked, how, {
    decisionId: s.nextId(),
    decision: undefined,
    denial,
    response: { ...facts, verdict },
  });
  if (refused !== null && denial !== null) {
    if (!isRelaxed(route, refused)) return err(denial);
    x.detail = `its answer would be withheld: ${denial.reason}, ${denial.detail ?? ""}`;
  }
  return ok({ redact: verdict?.redact ?? [] });
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
