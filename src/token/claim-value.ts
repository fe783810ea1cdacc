// In: one value of a verified token, of any type. Out: a typed and bounded value; anything else throws ClaimProblem.
// The issuer is trusted to tell the truth, not to be well-formed: what is read here reaches policy, logs and records.
import { isObject } from "../lib/strict-json.ts";
import type { JsonObject } from "../lib/strict-json.ts";

/** Caught in read-claims.ts only and made a value there; a throw keeps thirty fields readable. */
export class ClaimProblem extends Error {}

export const TEXT_CHARS_MAX = 512;
/** Serialised size of `attributes`, `constraints` and `details`, each. */
const JSON_CHARS_MAX = 8192;
const SCOPES_MAX = 128;
/** `action:resource:identifier`, three non-empty parts; only the identifier may be `*`. */
const SCOPE = /^[^\s:*]+:[^\s:*]+:(?:\*|[^\s:*]+)$/;
/** Control characters and line separators could break or forge a line of a log. */
const CONTROL = /[\p{Cc}\u2028\u2029]/u;
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

export function problem(name: string, what: string): never {
  throw new ClaimProblem(`${name} ${what}`);
}

/** A well-formed string without control characters; `fallback` where the value is absent, required where there is none. */
export function textOf(value: unknown, name: string, fallback?: string): string {
  if (value === undefined && fallback !== undefined) return fallback;
  if (value === undefined) problem(name, "is missing");
  if (typeof value !== "string") problem(name, "is not a string");
  if (value.length > TEXT_CHARS_MAX) problem(name, "is too long");
  if (CONTROL.test(value)) problem(name, "has a control character");
  // Half a surrogate pair has no UTF-8: it cannot be said to a tool, and readers would put different things in its place.
  if (!value.isWellFormed()) problem(name, "has half a character");
  return value;
}

export function requiredTextOf(value: unknown, name: string): string {
  const text = textOf(value, name);
  return text === "" ? problem(name, "is empty") : text;
}

export function booleanOf(value: unknown, name: string, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  return typeof value === "boolean" ? value : problem(name, "is not a boolean");
}

export function countOf(value: unknown, name: string, fallback: number, max: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) problem(name, "is not a whole number");
  return value <= max ? value : problem(name, "is too large");
}

export function recordOf(value: unknown, name: string): JsonObject {
  if (value === undefined) return {};
  if (!isObject(value)) problem(name, "is not an object");
  return bounded(value, name);
}

export function listOf(value: unknown, name: string, max: number): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) problem(name, "is not an array");
  if (value.length > max) problem(name, "has too many items");
  return bounded(value, name);
}

/** RFC 3339. */
export function timeOf(value: unknown, name: string, fallback?: string): string {
  const text = textOf(value, name, fallback);
  return RFC_3339.test(text) && !Number.isNaN(Date.parse(text)) ? text : problem(name, "is not an RFC 3339 time");
}

/**
 * Scopes from an array, where each must be well-formed, or from an OAuth `scope` string (RFC 6749 section 3.3),
 * where words of another form, such as `openid`, grant nothing here and are left out.
 */
export function scopesOf(value: unknown, name: string): readonly string[] {
  const scopes =
    typeof value === "string"
      ? value.split(" ").filter((scope) => SCOPE.test(scope))
      : listOf(value, name, SCOPES_MAX).map((scope) => requiredTextOf(scope, name));
  if (scopes.length > SCOPES_MAX) problem(name, "has too many items");
  for (const scope of scopes) if (!SCOPE.test(textOf(scope, name))) problem(name, "has a malformed scope");
  return scopes;
}

function bounded<T extends object>(value: T, name: string): T {
  return JSON.stringify(value).length <= JSON_CHARS_MAX ? value : problem(name, "is too large");
}
