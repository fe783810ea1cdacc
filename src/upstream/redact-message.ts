// In: the bytes of one JSON-RPC message, and JSON pointers into a `result`. Out: the same bytes without those values, or
// why that cannot be done. Trusts: nothing that the tool sends.
//
// MCP servers write the same JSON into `structuredContent` and into the texts of `content` (server/tools, "Structured
// Content"): a pointer into the one is applied to the others too, and what else stands in `content` could tell the value.
import { isDeepStrictEqual } from "node:util";
import { type Denial, deny } from "../errors.ts";
import { isObject, type JsonObject, memberOf, parseStrictObject } from "../lib/strict-json.ts";
import { parsePointer, redactJson, skipSpace, skipString, skipValue } from "./redact-json.ts";

/** Nesting of a message: recursion goes as deep. What is nested deeper is refused. */
export const DEPTH_MAX = 64;

const STRUCTURED = "/structuredContent";

const CLOSE_BRACE = 0x7d;
const COMMA = 0x2c;

/** What is no result, such as a notification, an error or the server's own request, leaves as it is. */
export function redactMessage(body: Buffer, pointers: readonly string[]): Buffer | Denial {
  const message = parseStrictObject(body, DEPTH_MAX);
  if (message === undefined) return refuse("not one strict JSON object");
  if (hasVariant(message, ["result"])) return refuse("a result in another spelling");
  const result = memberOf(message, "result");
  if (result === undefined) return isOther(message) ? body : refuse("neither a result nor another message");
  if (!isObject(result) || hasVariant(result, ["structuredContent", "content"])) return refuse("an odd result");
  if (pointers.some((pointer) => endsBefore(pointer, result))) return refuse("a pointer into a text or a number");
  const redacted = redactJson(
    body,
    pointers.map((pointer) => `/result${pointer}`),
  );
  if (redacted === null) return refuse("not strict JSON");
  const inner = pointers
    .filter((pointer) => pointer === STRUCTURED || pointer.startsWith(`${STRUCTURED}/`))
    .map((pointer) => pointer.slice(STRUCTURED.length));
  return inner.length === 0 ? redacted : redactTexts(redacted, result, inner);
}

/** `before`: the result before anything was removed. */
function redactTexts(body: Buffer, before: JsonObject, pointers: readonly string[]): Buffer | Denial {
  const text = body.toString("utf8");
  const content = memberOf(memberOf(JSON.parse(text), "result"), "content");
  if (content === undefined) return body;
  if (!Array.isArray(content)) return refuse("content that is no list");
  const structured = memberOf(before, "structuredContent");
  const texts: (string | null)[] = [];
  for (const item of content) {
    const changed = redactText(item, structured, pointers);
    if (changed === undefined) return refuse("content that is not the same JSON as structuredContent");
    texts.push(changed);
  }
  return texts.every((changed) => changed === null) ? body : Buffer.from(withTexts(text, texts));
}

/** Null where nothing of the text is removed, undefined where it cannot be known what it tells. */
function redactText(item: unknown, structured: unknown, pointers: readonly string[]): string | null | undefined {
  if (!isObject(item) || hasVariant(item, ["type", "text"])) return undefined;
  const text = memberOf(item, "text");
  if (memberOf(item, "type") !== "text" || typeof text !== "string" || pointers.includes("")) return undefined;
  const bytes = Buffer.from(text);
  const value = parseStrictObject(bytes, DEPTH_MAX);
  if (value === undefined || (structured !== undefined && !isDeepStrictEqual(value, structured))) return undefined;
  if (pointers.some((pointer) => endsBefore(pointer, value))) return undefined;
  const redacted = redactJson(bytes, pointers);
  if (redacted === null) return undefined;
  return redacted === bytes || redacted.equals(bytes) ? null : redacted.toString("utf8");
}

/** Each name stands once in `text`, and each item of `content` is an object with a text: that was checked before. */
function withTexts(text: string, texts: readonly (string | null)[]): string {
  const result = valueOf(text, skipSpace(text, 0), "result");
  let at = skipSpace(text, valueOf(text, result, "content") + 1);
  let out = "";
  let keptTo = 0;
  for (const changed of texts) {
    if (changed !== null) {
      const start = valueOf(text, at, "text");
      out += text.slice(keptTo, start) + JSON.stringify(changed);
      keptTo = skipString(text, start);
    }
    at = next(text, skipValue(text, at));
  }
  return out + text.slice(keptTo);
}

/** Where the value of a member begins; `at` is the object's brace. */
export function valueOf(text: string, at: number, name: string): number {
  let start = skipSpace(text, at + 1);
  while (text.charCodeAt(start) !== CLOSE_BRACE) {
    const end = skipString(text, start);
    const value = skipSpace(text, skipSpace(text, end) + 1);
    if (JSON.parse(text.slice(start, end)) === name) return value;
    start = next(text, skipValue(text, value));
  }
  throw new Error(`no member ${name}`);
}

function next(text: string, end: number): number {
  const at = skipSpace(text, end);
  return text.charCodeAt(at) === COMMA ? skipSpace(text, at + 1) : at;
}

/**
 * The policy takes for a container what is a text, a number or a boolean: nothing would be removed, and the value might
 * be in it. JSON in a text is reached by a pointer into `structuredContent` alone.
 */
function endsBefore(pointer: string, root: unknown): boolean {
  let value = root;
  for (const token of parsePointer(pointer) ?? []) {
    if (typeof value !== "object") return value !== undefined;
    value = Array.isArray(value) ? (value as readonly unknown[])[Number(token)] : memberOf(value, token);
  }
  return false;
}

function isOther(message: JsonObject): boolean {
  return memberOf(message, "method") !== undefined || memberOf(message, "error") !== undefined;
}

/** A reader that ignores case would take it for the member; such readers fold all of Unicode. */
export function hasVariant(value: JsonObject, names: readonly string[]): boolean {
  const folded = names.map(fold);
  return Object.keys(value).some((key) => !names.includes(key) && folded.includes(fold(key)));
}

function fold(name: string): string {
  return name.toLowerCase().toUpperCase().toLowerCase();
}

function refuse(detail: string): Denial {
  return deny("upstream.cannot_redact", detail);
}
