// In: a decision with the input that it was made on. Out: one line of the decision log, after OPA's field names
// (https://www.openpolicyagent.org/docs/management-decision-logs). Trusts: its own ids and closed words; every text that
// somebody else chose is escaped and redacted, what belongs to a token or a policy once.
import { isoTime } from "../lib/iso-time.ts";
import { safeJsonText } from "../lib/safe-json-text.ts";
import type { Decision, DecisionReason } from "../policy/decision.ts";
import { cutText, detailText, idMembers, jsonNumber, revisionText } from "./entry-members.ts";
import type { DecisionEntry, JudgedResponse } from "./log-entries.ts";
import type { InputMask } from "./mask-input.ts";

/** Decisions are the same object as long as the policy answers with the same text. */
const results = new WeakMap<Decision, string>();

/** One JSON object with a line break at its end. `labelsJson` is the gateway's own. */
export function decisionLine(entry: DecisionEntry, labelsJson: string, inputMask: InputMask): string {
  const input = inputMask.mask(entry);
  const { decision, response } = entry;
  const result = decision === undefined ? "null" : resultJson(decision);
  return (
    `{"timestamp":"${isoTime(entry.timeMs)}",${idMembers(entry)},"labels":${labelsJson},` +
    `"path":"cordon/${response === undefined ? "decision" : "response"}",` +
    `"input":${input.json},"result":${response === undefined ? result : verdictJson(response)},` +
    `"requested_by":${safeJsonText(cutText(entry.sourceIp))},` +
    `"metrics":{"timer_rego_query_eval_ns":${jsonNumber(entry.evaluationUs * 1000)}},` +
    `"bundles":{"cordon":{"revision":${revisionText(entry.policyRevision).bundle}}},` +
    `"erased":${input.erasedJson},"masked":${input.maskedJson},` +
    `"mode":"${entry.mode}","reason":"${entry.reason}","detail":${detailText(entry.detail)}}\n`
  );
}

function verdictJson({ verdict }: JudgedResponse): string {
  if (verdict === undefined) return "null";
  const { allow, reasons, redact, labels } = verdict;
  return safeJsonText(
    `{"allow":${allow},"reasons":${reasonsJson(reasons)},"redact":${JSON.stringify(redact)},"labels":${JSON.stringify(labels)}}`,
  );
}

function reasonsJson(reasons: readonly DecisionReason[]): string {
  const codes = reasons.map(({ code, detail, scope }) => {
    const why = detail === undefined ? "" : `,"detail":${detailText(detail)}`;
    const told = scope === undefined ? "" : `,"scope":${cutText(scope)}`;
    return `{"code":${cutText(code)}${why}${told}}`;
  });
  return `[${codes.join(",")}]`;
}

function resultJson(decision: Decision): string {
  const known = results.get(decision);
  if (known !== undefined) return known;
  const { allow, reasons, obligations } = decision;
  const json = safeJsonText(
    `{"allow":${allow},"reasons":${reasonsJson(reasons)},"obligations":${JSON.stringify(obligations)}}`,
  );
  results.set(decision, json);
  return json;
}
