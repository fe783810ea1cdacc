// In: nanoseconds since the epoch as bigint, optionally with an IANA time zone. Out: calendar values as OPA gives them.
// Trusts: the time-zone data of this Node release; the clock of the machine is never read.

const NS_PER_MS = 1_000_000n;
const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);
/** Formatters are costly to make; a policy uses one or two zones. */
const ZONES_MAX = 64;
const AREA_CITY = /^[A-Z][A-Za-z]*(?:\/[A-Z][A-Za-z0-9_+-]*)+$/;
const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const zones = new Map<string, Intl.DateTimeFormat | undefined>();

function zoneFormatter(zone: string): Intl.DateTimeFormat | undefined {
  const known = zones.get(zone);
  if (known !== undefined || zones.has(zone)) return known;
  // Go's names are case-sensitive and its old short names differ from Intl's: only `Area/City` is the same in both.
  if (!AREA_CITY.test(zone))
    throw new Error(`the time zone ${JSON.stringify(zone)} is not provided; write Area/City or UTC`);
  let formatter: Intl.DateTimeFormat | undefined;
  try {
    formatter = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      calendar: "iso8601",
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  } catch {
    // An unknown zone: undefined, as in OPA.
    formatter = undefined;
  }
  if (zones.size >= ZONES_MAX) zones.clear();
  zones.set(zone, formatter);
  return formatter;
}

const floorDiv = (a: bigint, b: bigint): bigint => (a >= 0n ? a / b : -((-a + b - 1n) / b));

interface Local {
  /** The wall time of the zone, as if it were UTC, in milliseconds. */
  readonly wallMs: number;
  readonly ns: bigint;
  readonly zone: string;
}

function wallOf(epochMs: number, zone: string): number | undefined {
  if (zone === "" || zone === "UTC") return epochMs;
  const formatter = zoneFormatter(zone);
  if (formatter === undefined) return undefined;
  const part: Record<string, number> = {};
  for (const { type, value } of formatter.formatToParts(epochMs)) part[type] = Number(value);
  const { year = Number.NaN, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  const wall = Date.UTC(year, month - 1, day, hour, minute, second);
  return Number.isFinite(wall) ? wall + (((epochMs % 1000) + 1000) % 1000) : undefined;
}

/** `ns` or `[ns, zone]`. */
function localOf(operand: unknown): Local | undefined {
  const [ns, zone = ""] = Array.isArray(operand) ? (operand as unknown[]) : [operand];
  if (typeof ns !== "bigint" || typeof zone !== "string" || ns > INT64_MAX || ns < INT64_MIN) return undefined;
  const wallMs = wallOf(Number(floorDiv(ns, NS_PER_MS)), zone);
  return wallMs === undefined ? undefined : { wallMs, ns, zone };
}

export function clockOf(operand: unknown): number[] | undefined {
  const local = localOf(operand);
  if (local === undefined) return undefined;
  const date = new Date(local.wallMs);
  return [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()];
}

export function dateOf(operand: unknown): number[] | undefined {
  const local = localOf(operand);
  if (local === undefined) return undefined;
  const date = new Date(local.wallMs);
  return [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate()];
}

export function weekdayOf(operand: unknown): string | undefined {
  const local = localOf(operand);
  return local === undefined ? undefined : WEEKDAYS[new Date(local.wallMs).getUTCDay()];
}

const inRange = (ns: bigint): bigint | undefined => (ns > INT64_MAX || ns < INT64_MIN ? undefined : ns);

/** UTC only: what a zone's gaps do to the result of Go's AddDate is not imitated, and an evaluation that asks is a deny. */
export function addDate(operand: unknown, years: unknown, months: unknown, days: unknown): bigint | undefined {
  const local = localOf(operand);
  if (local === undefined || typeof years !== "bigint" || typeof months !== "bigint" || typeof days !== "bigint")
    return undefined;
  if (local.zone !== "" && local.zone !== "UTC") throw new Error("time.add_date is provided for UTC only");
  const date = new Date(local.wallMs);
  const moved = Date.UTC(
    date.getUTCFullYear() + Number(years),
    date.getUTCMonth() + Number(months),
    date.getUTCDate() + Number(days),
    date.getUTCHours(),
    date.getUTCMinutes(),
    date.getUTCSeconds(),
    date.getUTCMilliseconds(),
  );
  if (!Number.isFinite(moved)) return undefined;
  const belowMs = local.ns - floorDiv(local.ns, NS_PER_MS) * NS_PER_MS;
  return inRange(BigInt(moved) * NS_PER_MS + belowMs);
}

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)$/;

/** RFC 3339 as Go's `time.Parse` reads it: no leap second, digits beyond nanoseconds are cut off. */
export function parseRfc3339(text: string): bigint | undefined {
  const match = RFC3339.exec(text);
  if (match === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map(Number);
  const zone = match[8] ?? "Z";
  const [zoneHour, zoneMinute] = zone === "Z" ? [0, 0] : [Number(zone.slice(1, 3)), Number(zone.slice(4, 6))];
  if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) return undefined;
  if (zoneHour > 24 || zoneMinute > 60) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  if (date.getUTCDate() !== day || date.getUTCMonth() !== month - 1) return undefined;
  const offsetMs = (zoneHour * 60 + zoneMinute) * 60_000 * (zone.startsWith("-") ? -1 : 1);
  const fraction = BigInt((match[7] ?? "").slice(0, 9).padEnd(9, "0"));
  return inRange(BigInt(date.getTime() - offsetMs) * NS_PER_MS + fraction);
}
