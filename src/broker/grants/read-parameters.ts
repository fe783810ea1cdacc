// In: form parameters of a token request, as text. Out: their values, checked for shape and size, or a refusal.
// Trusts nothing. What they may be is decided by their callers.
import { isScope } from "../../lib/narrowing.ts";
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import { isObject, parseStrictObject } from "../../lib/strict-json.ts";
import type { JsonObject } from "../../lib/strict-json.ts";
import type { Grant } from "./authority.ts";
import { type Refusal, refuse } from "./refusal.ts";

export type Parameters = Readonly<Record<string, unknown>>;

/** As many as a verifier of delegation records takes. */
const SCOPES_MAX = 128;
const DETAILS_MAX = 32;
const TEXT_CHARS_MAX = 512;
/** A control character or a line separator could forge a line of a log. */
const CONTROL = /[\p{Cc}\u2028\u2029]/u;
const WHOLE_NUMBER = /^(?:0|[1-9]\d{0,8})$/;

/** Absent and empty are the same (RFC 6749 section 3.2). */
export function textOf(parameters: Parameters, name: string): string | undefined {
  const value = parameters[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

export function isShortText(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value !== "" &&
    value.length <= TEXT_CHARS_MAX &&
    !CONTROL.test(value) &&
    value.isWellFormed()
  );
}

/** A short text without control characters; "" where absent. */
export function readText(parameters: Parameters, name: string): Result<string, Refusal> {
  const value = textOf(parameters, name);
  if (value === undefined) return ok("");
  return isShortText(value) ? ok(value) : refuse("request_malformed", name);
}

/** Undefined where absent. */
export function readNumber(parameters: Parameters, name: string): Result<number | undefined, Refusal> {
  const value = textOf(parameters, name);
  if (value === undefined) return ok(undefined);
  return WHOLE_NUMBER.test(value) ? ok(Number(value)) : refuse("request_malformed", name);
}

/** One JSON value, no member twice, of bounded depth. Undefined where absent. */
export function readJson(parameters: Parameters, name: string): Result<unknown, Refusal> {
  const text = textOf(parameters, name);
  if (text === undefined) return ok(undefined);
  // Parsed as the only member of an object, since that is what the strict reader takes.
  const parsed = parseStrictObject(Buffer.from(`{"value":${text}}`, "utf8"));
  if (parsed === undefined || Object.keys(parsed).length !== 1) return refuse("request_malformed", name);
  return ok(parsed["value"]);
}

export function readObject(parameters: Parameters, name: string): Result<JsonObject | undefined, Refusal> {
  const value = readJson(parameters, name);
  if (!value.ok) return value;
  if (value.value === undefined) return ok(undefined);
  return isObject(value.value) ? ok(value.value) : refuse("request_malformed", name);
}

/** What is asked for; a part that is absent is asked for as it is. */
export type AskedGrant = { readonly [K in keyof Grant]: Grant[K] | undefined };

/** `scope`, `authorization_details` and `constraints`. */
export function readAskedGrant(parameters: Parameters, detailsTypes: ReadonlySet<string>): Result<AskedGrant, Refusal> {
  const scope = textOf(parameters, "scope")?.split(" ");
  if (scope !== undefined && (scope.length > SCOPES_MAX || !scope.every(isScope))) return refuse("scope_malformed");
  const details = readJson(parameters, "authorization_details");
  if (!details.ok) return details;
  const constraints = readObject(parameters, "constraints");
  if (!constraints.ok) return constraints;
  const list = details.value;
  if (list !== undefined) {
    if (!Array.isArray(list) || list.length > DETAILS_MAX || !list.every(isObject)) {
      return refuse("request_malformed", "authorization_details");
    }
    if (!list.every(({ type }) => typeof type === "string" && detailsTypes.has(type))) {
      return refuse("details_unknown_type");
    }
  }
  return ok({ scope, details: list, constraints: constraints.value });
}
