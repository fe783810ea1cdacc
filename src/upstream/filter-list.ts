// In: the bytes of one JSON-RPC message, the lists it may hold, and who says what of them is shown. Out: the same bytes
// without the other items, or null where the message could be read in two ways. Trusts: nothing that the tool sends.
//
// Items are cut out of the text, as redaction does it: cursors, hints and the items that stay leave as they came. One
// member is written anew: `cacheScope: public` would offer one agent's list to all (2026-07-28, "Caching").
import { isAscii, isUtf8 } from "node:buffer";
import { skipSpace, skipString, skipValue } from "./redact-json.ts";

export interface ListShape {
  /** The member of `result` that holds the list. */
  readonly member: string;
  /** The member of an item that names it. */
  readonly key: string;
}

export interface ListItem {
  readonly name: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** The names to show of one list. */
export type ChooseItems<S extends ListShape> = (shape: S, items: readonly ListItem[]) => ReadonlySet<string>;

interface Span {
  readonly start: number;
  readonly end: number;
}
interface Member extends Span {
  readonly name: string;
}
interface Change extends Span {
  readonly text: string;
}

const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const CLOSE_BRACE = 0x7d;

/** Null: not one JSON object in UTF-8, or a member on the way to an item stands twice or in another spelling of case. */
export function filterList<S extends ListShape>(
  body: Uint8Array,
  shapes: readonly S[],
  choose: ChooseItems<S>,
): Buffer | null {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const encoding = isAscii(bytes) ? "latin1" : "utf8";
  if (encoding === "utf8" && !isUtf8(bytes)) return null;
  const text = bytes.toString(encoding);
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return null; // not JSON
  }
  if (!isObject(message)) return null;
  const top = membersOf(text, skipSpace(text, 0));
  const result = top === null ? null : only(top, "result");
  if (result === null) return null;
  if (result === undefined || !isObject(message["result"])) return bytes;
  const changes = changesIn(text, result, message["result"], shapes, choose);
  if (changes === null) return null;
  if (changes.length === 0) return bytes;
  let out = "";
  let keptTo = 0;
  for (const { start, end, text: instead } of changes.toSorted((a, b) => a.start - b.start)) {
    out += text.slice(keptTo, start) + instead;
    keptTo = end;
  }
  return Buffer.from(out + text.slice(keptTo), encoding);
}

function changesIn<S extends ListShape>(
  text: string,
  result: Member,
  value: Readonly<Record<string, unknown>>,
  shapes: readonly S[],
  choose: ChooseItems<S>,
): Change[] | null {
  const members = membersOf(text, result.start);
  if (members === null) return null;
  const changes: Change[] = [];
  let lists = 0;
  for (const shape of shapes) {
    const member = only(members, shape.member);
    if (member === null) return null;
    if (member === undefined) continue;
    const list = value[shape.member];
    if (!Array.isArray(list)) return null;
    lists += 1;
    const change = cutItems(text, member, list as readonly unknown[], shape, choose);
    if (change !== null) changes.push(change);
  }
  const scope = lists === 0 ? undefined : only(members, "cacheScope");
  if (scope === null) return null;
  if (scope !== undefined && value["cacheScope"] === "public") changes.push({ ...scope, text: '"private"' });
  return changes;
}

/** Null where every item is shown. */
function cutItems<S extends ListShape>(
  text: string,
  member: Member,
  list: readonly unknown[],
  shape: S,
  choose: ChooseItems<S>,
): Change | null {
  const spans = elementsOf(text, member.start);
  const items = list.map((value, index) => itemOf(text, spans[index] as Span, value, shape.key));
  const named = items.filter((item) => item !== null);
  const shown = named.length === 0 ? new Set<string>() : choose(shape, named);
  const kept = spans.filter((_, index) => shown.has(items[index]?.name ?? "") && items[index] !== null);
  if (kept.length === spans.length) return null;
  return { ...member, text: `[${kept.map(({ start, end }) => text.slice(start, end)).join(",")}]` };
}

/** Null where the item has no name that all readers agree on: it is never shown. */
function itemOf(text: string, span: Span, value: unknown, key: string): ListItem | null {
  if (!isObject(value)) return null;
  const name = value[key];
  const members = membersOf(text, span.start);
  const one = members !== null && only(members, key) !== null;
  return one && typeof name === "string" ? { name, value } : null;
}

/** The member of this name; undefined where there is none, null where another reader might take another one for it. */
function only(members: readonly Member[], name: string): Member | undefined | null {
  const folded = fold(name);
  const alike = members.filter((member) => fold(member.name) === folded);
  const [first] = alike;
  if (first === undefined) return undefined;
  return alike.length === 1 && first.name === name ? first : null;
}

/** Readers that ignore case fold all of Unicode; see action/parse-json.ts. */
function fold(name: string): string {
  return name.toLowerCase().toUpperCase().toLowerCase();
}

/** The members of the object at `at`; `start` and `end` are those of the value. Null where there is no object. */
function membersOf(text: string, at: number): Member[] | null {
  if (text[at] !== "{") return null;
  const members: Member[] = [];
  let next = skipSpace(text, at + 1);
  while (text.charCodeAt(next) !== CLOSE_BRACE) {
    const nameEnd = skipString(text, next);
    const raw = text.slice(next, nameEnd);
    const start = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const end = skipValue(text, start);
    members.push({ name: raw.includes("\\") ? (JSON.parse(raw) as string) : raw.slice(1, -1), start, end });
    next = skipSpace(text, end);
    if (text.charCodeAt(next) === COMMA) next = skipSpace(text, next + 1);
  }
  return members;
}

function elementsOf(text: string, at: number): Span[] {
  const spans: Span[] = [];
  if (text.charCodeAt(at) !== OPEN_BRACKET) return spans;
  let start = skipSpace(text, at + 1);
  while (text.charCodeAt(start) !== CLOSE_BRACKET) {
    const end = skipValue(text, start);
    spans.push({ start, end });
    start = skipSpace(text, end);
    if (text.charCodeAt(start) === COMMA) start = skipSpace(text, start + 1);
  }
  return spans;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
