// In: a decision with the input that it was made on. Out: one line of the decision log, after OPA's field names
// (https://www.openpolicyagent.org/docs/management-decision-logs). Trusts: nothing; the finished line is made safe.
import { isoTime } from "../lib/iso-time.ts";
import { safeJsonText } from "../lib/safe-json-text.ts";
import type { Decision } from "../policy/decision.ts";
import { DETAIL_CHARACTERS_MAX, idMembers, jsonNumber, jsonText } from "./entry-members.ts";
import type { DecisionEntry } from "./log-entries.ts";
import type { InputMask } from "./mask-input.ts";

const ALLOW = '{"allow":true,"reasons":[],"obligations":{}}';

/** One JSON object with a line break at its end. */
export function decisionLine(entry: DecisionEntry, labelsJson: string, inputMask: InputMask): string {
  const input = inputMask.mask(entry.agent, entry.action, entry.resource, entry.environment);
  const json =
    `{"timestamp":"${isoTime(entry.timeMs)}",${idMembers(entry)},"labels":${labelsJson},"path":"cordon/decision",` +
    `"input":${input.json},"result":${resultJson(entry.decision)},"requested_by":${jsonText(entry.environment.source_ip)},` +
    `"metrics":{"timer_rego_query_eval_ns":${jsonNumber(entry.evaluationUs * 1000)}},` +
    `"bundles":{"cordon":{"revision":${jsonText(entry.policyRevision.bundle)}}},` +
    `"erased":${input.erasedJson},"masked":${input.maskedJson},` +
    `"mode":"${entry.mode}","reason":"${entry.reason}","detail":${jsonText(entry.detail, DETAIL_CHARACTERS_MAX)}}`;
  return `${safeJsonText(json)}\n`;
}

function resultJson(decision: Decision | undefined): string {
  if (decision === undefined) return "null";
  const { allow, reasons, obligations } = decision;
  if (allow && reasons.length === 0 && Object.keys(obligations).length === 0) return ALLOW;
  const codes = reasons.map(({ code, detail }) =>
    detail === undefined
      ? `{"code":${jsonText(code)}}`
      : `{"code":${jsonText(code)},"detail":${jsonText(detail, DETAIL_CHARACTERS_MAX)}}`,
  );
  return `{"allow":${allow},"reasons":[${codes.join(",")}],"obligations":${JSON.stringify(obligations)}}`;
}
