// In: what the entry point `cordon/response` returned. Out: a verdict on one answer, or a denial: then it is withheld.
// Trusts: nothing. An unknown member is a deny: the gateway may not ignore what a policy asked for.
import { type Denial, deny } from "../errors.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { isObject } from "../lib/strict-json.ts";
import type { ResponseVerdict } from "./decision.ts";
import { isPointers, isReasons } from "./parse-decision.ts";

const MEMBERS: ReadonlySet<string> = new Set(["allow", "reasons", "redact", "labels"]);
/** A word of the policy's own, such as `tainted`: it stands in logs and in every later input of the session. */
const LABEL = /^[a-z][a-z0-9_.-]{0,63}$/;
const LABELS_MAX = 16;

const malformed = (detail: string) => err(deny("policy.malformed_decision", detail));

/** `{ allow: boolean, reasons: [{ code, detail? }], redact?: [pointer], labels?: [label] }`. Errors: policy.undefined, policy.malformed_decision. */
export function parseResponse(value: unknown): Result<ResponseVerdict, Denial> {
  if (value === undefined) return err(deny("policy.undefined"));
  if (!isObject(value)) return malformed("the verdict on an answer is not an object");
  const { allow, reasons, redact = [], labels = [] } = value;
  if (typeof allow !== "boolean") return malformed("allow is not a boolean");
  // A scope is for a caller who was denied before anything was done.
  if (!isReasons(reasons) || reasons.some((reason) => "scope" in reason)) {
    return malformed("reasons is not a list of {code, detail?}");
  }
  if (!isPointers(redact)) return malformed("redact is not a list of JSON pointers");
  if (!isLabels(labels)) return malformed("labels is not a list of labels");
  const unknown = Object.keys(value).find((name) => !MEMBERS.has(name));
  if (unknown !== undefined) return malformed(`unknown member ${unknown.slice(0, 64)}`);
  return ok({ allow, reasons, redact, labels });
}

function isLabels(value: unknown): value is readonly string[] {
  const isLabel = (label: unknown): boolean => typeof label === "string" && LABEL.test(label);
  return Array.isArray(value) && value.length <= LABELS_MAX && value.every(isLabel);
}
