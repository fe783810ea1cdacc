// In: bytes that claim to be a JSON object. Out: the object, or undefined.
// Trusts nothing: UTF-8 is checked, depth is bounded, and an object that names a member twice is refused,
// since two parsers may disagree on which of the two counts (RFC 8725 section 2.6, RFC 7515 section 5.2).
import { isUtf8 } from "node:buffer";

/** Nesting of a token's or proof's JSON: real ones stay below 8. */
export const JSON_DEPTH_MAX = 16;

export type JsonObject = Readonly<Record<string, unknown>>;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** The JSON object in `bytes`; undefined for anything else, for duplicate members, invalid UTF-8 and deep nesting. */
export function parseStrictObject(bytes: Buffer, depthMax = JSON_DEPTH_MAX): JsonObject | undefined {
  const value = parseStrictValue(bytes, depthMax);
  return isObject(value) ? value : undefined;
}

/** The JSON value in `bytes`, undefined likewise. */
export function parseStrictValue(bytes: Buffer, depthMax = JSON_DEPTH_MAX): unknown {
  if (!isUtf8(bytes)) return undefined;
  const text = bytes.toString("utf8");
  const members = countMembersOfText(text, depthMax);
  if (members === undefined) return undefined;
  const value = parseJson(text);
  // In valid JSON every colon outside a string is one member. Fewer members in the value: one overwrote another.
  return countMembersOfValue(value) === members ? value : undefined;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An own member, so that a name such as `constructor` never reaches a prototype. */
export function memberOf(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function countMembersOfText(text: string, depthMax: number): number | undefined {
  let members = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      for (at++; ; at++) {
        if (at >= text.length) return undefined;
        const inside = text.charCodeAt(at);
        if (inside === QUOTE) break;
        if (inside === BACKSLASH) at++;
      }
    } else if (code === COLON) {
      members++;
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (++depth > depthMax) return undefined;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth--;
    }
  }
  return members;
}

function countMembersOfValue(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let members = 0;
  if (Array.isArray(value)) {
    for (const item of value) members += countMembersOfValue(item);
    return members;
  }
  for (const item of Object.values(value)) members += 1 + countMembersOfValue(item);
  return members;
}
