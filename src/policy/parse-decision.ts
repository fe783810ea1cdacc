// In: what the entry point `cordon/decision` returned. Out: a Decision, or a denial.
// Trusts: nothing. An unknown member is a deny: the gateway may not ignore what a policy asked for.
import { type Denial, deny } from "../errors.ts";
import { err, ok, type Result } from "../lib/result.ts";
import type { Decision, DecisionReason, Obligations } from "./decision.ts";
import { isScope, requiredScope, SCOPE_LENGTH_MAX } from "./required-scope.ts";
import { isObject } from "../lib/strict-json.ts";

const REASON_CODE = /^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/;
const REASON_CODE_LENGTH_MAX = 128;
/** A detail goes to the log; a policy must not be able to flood it. */
const DETAIL_LENGTH_MAX = 2048;
const REASONS_MAX = 64;
const POINTERS_MAX = 256;
/** RFC 6901 section 3. */
const JSON_POINTER = /^(?:\/(?:[^~/]|~[01])*)+$/u;

const CONTAINMENTS: ReadonlySet<unknown> = new Set(["quarantined", "blocked"]);
const ALERTS: ReadonlySet<unknown> = new Set(["low", "medium", "high", "critical"]);
const OBLIGATIONS: ReadonlySet<string> = new Set([
  "redact",
  "containment",
  "max_response_bytes",
  "alert",
  "judge_response",
]);

const malformed = (detail: string) => err(deny("policy.malformed_decision", detail));

function isReason(value: unknown): value is DecisionReason {
  if (!isObject(value) || typeof value["code"] !== "string") return false;
  if (value["code"].length > REASON_CODE_LENGTH_MAX || !REASON_CODE.test(value["code"])) return false;
  const detail = value["detail"];
  if (detail !== undefined && (typeof detail !== "string" || detail.length > DETAIL_LENGTH_MAX)) return false;
  if ("scope" in value && !isScope(value["scope"])) return false;
  return Object.keys(value).every((key) => key === "code" || key === "detail" || key === "scope");
}

/** What a policy may say in `reasons`. */
export function isReasons(value: unknown): value is readonly DecisionReason[] {
  return Array.isArray(value) && value.length <= REASONS_MAX && value.every(isReason);
}

/** What a policy may say in `redact`. */
export function isPointers(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length <= POINTERS_MAX && value.every(isPointer);
}

function isPointer(value: unknown): value is string {
  return typeof value === "string" && JSON_POINTER.test(value);
}

function checkObligations(value: unknown): Result<Obligations, Denial> {
  if (!isObject(value)) return malformed("obligations is not an object");
  for (const key of Object.keys(value)) {
    if (!OBLIGATIONS.has(key)) return err(deny("policy.unknown_obligation", key.slice(0, DETAIL_LENGTH_MAX)));
  }
  const { redact, containment, alert, judge_response: judgeResponse } = value;
  const cap = value["max_response_bytes"];
  if (redact !== undefined && !isPointers(redact)) return malformed("redact is not a list of JSON pointers");
  if (judgeResponse !== undefined && typeof judgeResponse !== "boolean") {
    return malformed("judge_response is not a boolean");
  }
  if (containment !== undefined && !CONTAINMENTS.has(containment)) {
    return err(deny("policy.unknown_obligation", "containment has an unknown value"));
  }
  if (alert !== undefined && !ALERTS.has(alert))
    return err(deny("policy.unknown_obligation", "alert has an unknown value"));
  if (cap !== undefined && !(Number.isSafeInteger(cap) && (cap as number) >= 0)) {
    return malformed("max_response_bytes is not a whole number");
  }
  return ok(value as Obligations);
}

/**
 * `{ allow: boolean, reasons: [{ code, detail?, scope? }], obligations: { redact?, containment?, max_response_bytes?, alert?,
 * judge_response? } }`, all three members required and no other. Errors: policy.undefined, policy.malformed_decision, policy.unknown_obligation.
 */
export function parseDecision(value: unknown): Result<Decision, Denial> {
  if (value === undefined) return err(deny("policy.undefined"));
  if (!isObject(value)) return malformed("the decision is not an object");
  const { allow, reasons } = value;
  if (typeof allow !== "boolean") return malformed("allow is not a boolean");
  if (!isReasons(reasons)) return malformed("reasons is not a list of {code, detail?, scope?}");
  if ((requiredScope(reasons)?.length ?? 0) > SCOPE_LENGTH_MAX) return malformed("reasons name too long a scope");
  for (const key of Object.keys(value)) {
    if (key !== "allow" && key !== "reasons" && key !== "obligations")
      return malformed(`unknown member ${key.slice(0, 64)}`);
  }
  const obligations = checkObligations(value["obligations"]);
  if (!obligations.ok) return obligations;
  return ok({ allow, reasons, obligations: obligations.value });
}
