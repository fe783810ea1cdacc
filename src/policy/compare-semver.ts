// In: version strings. Out: their order, as OPA's `semver.compare` gives it.
// Trusts: nothing; follows SemVer 2.0.0 with OPA's allowance for a leading `v`.

const IDENTIFIERS = /^[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*$/;
const NUMERIC = /^(0|[1-9]\d*)$/;
const INT64_MAX = 2n ** 63n - 1n;

interface Version {
  readonly core: readonly bigint[];
  readonly preRelease: readonly string[];
}

function cut(text: string, mark: string): [string, string | undefined] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function parse(text: string): Version | undefined {
  const [rest, metadata] = cut(text.startsWith("v") ? text.slice(1) : text, "+");
  const [core, preRelease] = cut(rest, "-");
  if (metadata !== undefined && !IDENTIFIERS.test(metadata)) return undefined;
  if (preRelease !== undefined && !IDENTIFIERS.test(preRelease)) return undefined;
  const identifiers = preRelease === undefined ? [] : preRelease.split(".");
  // SemVer 2.0.0 item 9: numeric identifiers have no leading zero.
  if (identifiers.some((part) => /^0\d+$/.test(part))) return undefined;
  const numbers = core.split(".");
  if (numbers.length !== 3 || !numbers.every((part) => NUMERIC.test(part))) return undefined;
  const values = numbers.map(BigInt);
  return values.every((value) => value <= INT64_MAX) ? { core: values, preRelease: identifiers } : undefined;
}

const order = <T extends bigint | string>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0);

/** SemVer 2.0.0 item 11.4. */
function compareIdentifiers(a: string, b: string): number {
  const [aNumeric, bNumeric] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (aNumeric && bNumeric) return order(BigInt(a), BigInt(b));
  if (aNumeric !== bNumeric) return aNumeric ? -1 : 1;
  return order(a, b);
}

export function isSemver(text: string): boolean {
  return parse(text) !== undefined;
}

/** -1, 0 or 1; undefined where either is no version. */
export function compareSemver(left: string, right: string): number | undefined {
  const [a, b] = [parse(left), parse(right)];
  if (a === undefined || b === undefined) return undefined;
  for (const [index, value] of a.core.entries()) {
    const result = order(value, b.core[index] ?? 0n);
    if (result !== 0) return result;
  }
  // A release comes after its pre-releases (item 11.3).
  if (a.preRelease.length === 0 || b.preRelease.length === 0)
    return Math.sign(b.preRelease.length - a.preRelease.length);
  for (const [index, identifier] of a.preRelease.entries()) {
    const other = b.preRelease[index];
    if (other === undefined) return 1;
    const result = compareIdentifiers(identifier, other);
    if (result !== 0) return result;
  }
  return a.preRelease.length < b.preRelease.length ? -1 : 0;
}
