// In: the arguments of a built-in as text, and the exchange's time. Out: its result as JSON text, or undefined.
// Trusts: nothing outside its arguments. All are pure: the same input and bundle give the same decision, always.
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { isoTime } from "../lib/iso-time.ts";
import { compareSemver, isSemver } from "./compare-semver.ts";
import { formatRego } from "./format-rego.ts";
import { addDate, clockOf, dateOf, parseRfc3339, weekdayOf } from "./rego-time.ts";

export interface HostBuiltin {
  /** Arguments come as Rego text, not JSON: it tells sets from arrays. */
  readonly rego?: true;
  /** `timeMs`: Unix milliseconds of the exchange. Undefined where OPA's own built-in would fail. A throw is a deny. */
  readonly call: (args: readonly string[], timeMs: number) => string | undefined;
}

/** Integers become bigint, since nanoseconds pass 2^53; other numbers stay numbers. */
export function parseExact(text: string): unknown {
  // A reviver is called for every value and costs more than the rest of most built-ins: only numbers need it.
  const plain: unknown = JSON.parse(text);
  if (typeof plain === "string" || !holdsNumber(plain)) return plain;
  const parse = JSON.parse as (
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ) => unknown;
  return parse(text, (_key, value, { source }) =>
    typeof value === "number" && source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value,
  );
}

function holdsNumber(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return typeof value === "number";
  for (const part of Array.isArray(value) ? value : Object.values(value)) {
    if (typeof part !== "string" && holdsNumber(part)) return true;
  }
  return false;
}

const toJson = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? Number(part) : part));

function json(call: (...args: unknown[]) => unknown): HostBuiltin {
  return {
    call: (args) => {
      const result = call(...args.map(parseExact));
      if (result === undefined) return undefined;
      return typeof result === "bigint" ? result.toString() : toJson(result);
    },
  };
}

/** A built-in of strings alone; anything else is undefined, as in OPA. */
function strings(call: (...args: string[]) => unknown): HostBuiltin {
  return json((...args) => (args.every((arg) => typeof arg === "string") ? call(...args) : undefined));
}

/** Results of a pure built-in of one argument that are remembered; then all are forgotten at once. */
const REMEMBERED_MAX = 512;

/** The commonest argument by far is the exchange's own time, just printed: it needs no parsing. */
function knowsNow({ call }: HostBuiltin): HostBuiltin {
  return {
    call: (args, timeMs) => {
      if (args[0] === `"${isoTime(timeMs)}"`) return nanoseconds(timeMs);
      return call(args, timeMs);
    },
  };
}

const nanoseconds = (timeMs: number): string => (BigInt(Math.floor(timeMs)) * 1_000_000n).toString();

/** Remembers results by the argument's text: `closes_at` of a job is parsed once, not once an exchange. */
function remember({ call }: HostBuiltin): HostBuiltin {
  const known = new Map<string, string | undefined>();
  return {
    call: (args, timeMs) => {
      const key = args[0] ?? "";
      if (known.has(key)) return known.get(key);
      const result = call(args, timeMs);
      if (known.size >= REMEMBERED_MAX) known.clear();
      known.set(key, result);
      return result;
    },
  };
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

function constantTimeEqual(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function anyAffix(matches: (text: string, affix: string) => boolean): HostBuiltin {
  const list = (value: unknown): string[] | undefined => {
    const items: unknown[] = Array.isArray(value) ? value : [value];
    return items.every((item) => typeof item === "string") ? items : undefined;
  };
  return json((search, base) => {
    const [texts, affixes] = [list(search), list(base)];
    if (texts === undefined || affixes === undefined) return undefined;
    return texts.some((text) => affixes.some((affix) => matches(text, affix)));
  });
}

function countOf(text: string, part: string): number {
  // Go's strings.Count: an empty part is found around every code point.
  return part === "" ? Array.from(text).length + 1 : text.split(part).length - 1;
}

/** Every host built-in, by the name Rego has for it. `policies/capabilities.json` is written from this list. */
export const HOST_BUILTINS: ReadonlyMap<string, HostBuiltin> = new Map<string, HostBuiltin>([
  ["time.now_ns", { call: (_args, timeMs) => nanoseconds(timeMs) }],
  ["time.parse_rfc3339_ns", knowsNow(remember(strings(parseRfc3339)))],
  ["time.clock", json(clockOf)],
  ["time.date", json(dateOf)],
  ["time.weekday", json(weekdayOf)],
  ["time.add_date", json(addDate)],
  ["crypto.sha256", strings(sha256)],
  ["crypto.hmac.sha256", strings((text, key) => createHmac("sha256", key).update(text).digest("hex"))],
  ["crypto.hmac.equal", strings(constantTimeEqual)],
  ["semver.compare", strings(compareSemver)],
  ["semver.is_valid", json((version) => typeof version === "string" && isSemver(version))],
  ["hex.encode", strings((text) => Buffer.from(text).toString("hex"))],
  ["strings.any_prefix_match", anyAffix((text, affix) => text.startsWith(affix))],
  ["strings.any_suffix_match", anyAffix((text, affix) => text.endsWith(affix))],
  ["strings.count", strings(countOf)],
  ["sprintf", { rego: true, call: ([format, values]) => formatRego(format ?? "", values ?? "") }],
]);
