// In: the policy input and the fields that are safe to log. Out: the input as JSON text without the other values.
// Trusts: the configured list only; a value that is not listed does not leave this module.
import { jsonText } from "../lib/json-text.ts";
import { safeJsonText } from "../lib/safe-json-text.ts";
import type { Agent } from "../token/agent.ts";
import type { DecisionEntry } from "./log-entries.ts";

export interface MaskedInput {
  /** The `input` document. */
  readonly json: string;
  /** JSON text of two arrays of JSON pointers: removed as a whole, and replaced by what is listed as safe. */
  readonly erasedJson: string;
  readonly maskedJson: string;
}

export interface InputMask {
  mask(entry: Pick<DecisionEntry, "agent" | "inputText" | "arguments" | "query" | "response">): MaskedInput;
}

/** A listed value that is longer, as JSON text, is dropped all the same: a log line is not a copy of the body. */
const SAFE_VALUE_CHARACTERS_MAX = 1_000;

const ATTRIBUTES = "/input/principal/attributes";
const ARGUMENTS = "/input/action/arguments";
const QUERY = "/input/resource/query";
const RESPONSE = "/input/response";

/** Reads `logs.safe_fields`: `query.NAME`, `arguments.POINTER` (RFC 6901) and `attributes.NAME`. */
export function createInputMask(safeFields: readonly string[]): InputMask {
  const safeQuery = namesAfter(safeFields, "query.");
  const safeAttributes = namesAfter(safeFields, "attributes.");
  const safeArguments = namesAfter(safeFields, "arguments.").map(pointerSegments);
  const claims = new WeakMap<Agent, string>();
  function claimsOf(agent: Agent): string {
    const known = claims.get(agent);
    if (known !== undefined) return known;
    const { principal } = agent.claims;
    const attributes = JSON.parse(pickNames(principal.attributes, safeAttributes)) as Record<string, unknown>;
    const masked = safeJsonText(
      JSON.stringify({ ...agent.claims, principal: { ...principal, attributes } }).slice(1, -1),
    );
    claims.set(agent, masked);
    return masked;
  }

  return {
    mask({ agent, inputText: text, arguments: body, query, response }) {
      const asked = safeJsonText(
        text.beforeArguments +
          (body === null ? "null" : pickPointers(body, safeArguments)) +
          text.afterArguments +
          pickNames(query, safeQuery) +
          text.afterQuery +
          (response === undefined ? "" : `,"response":{"kind":"${response.kind}","bytes":${response.bytes}}`),
      );
      const lists = new PointerLists();
      lists.add(ATTRIBUTES, agent.claims.principal.attributes, safeAttributes.length);
      lists.add(ARGUMENTS, body, safeArguments.length);
      lists.add(QUERY, query, safeQuery.length);
      // Its kind and its size stay. What a tool says is never among the safe fields.
      if (response !== undefined) lists.add(RESPONSE, response, 1);
      return { json: `{${claimsOf(agent)},${asked}}`, erasedJson: lists.erased, maskedJson: lists.masked };
    },
  };
}

class PointerLists {
  erased = "[]";
  masked = "[]";
  /** Nothing is listed for a part that was empty: there was nothing to remove. */
  add(pointer: string, value: unknown, safeCount: number): void {
    if (!holdsValues(value)) return;
    if (safeCount === 0) this.erased = append(this.erased, pointer);
    else this.masked = append(this.masked, pointer);
  }
}

function append(list: string, pointer: string): string {
  return list === "[]" ? `["${pointer}"]` : `${list.slice(0, -1)},"${pointer}"]`;
}

function holdsValues(value: unknown): boolean {
  if (value === null || value === undefined) return false;
  if (typeof value !== "object") return true;
  for (const _ in value) return true;
  return false;
}

function namesAfter(fields: readonly string[], prefix: string): string[] {
  return fields.filter((field) => field.startsWith(prefix)).map((field) => field.slice(prefix.length));
}

function pointerSegments(pointer: string): string[] {
  const path = pointer.startsWith("/") ? pointer.slice(1) : pointer;
  return path.split("/").map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function pickNames(record: Readonly<Record<string, unknown>>, names: readonly string[]): string {
  let members = "";
  for (const name of names) {
    if (!Object.hasOwn(record, name)) continue;
    const json = shortJson(record[name]);
    if (json !== undefined) members += `${members === "" ? "" : ","}${jsonText(name)}:${json}`;
  }
  return `{${members}}`;
}

/** The listed values under their pointers: `{"/job/id":"J42"}`. */
function pickPointers(document: unknown, pointers: readonly (readonly string[])[]): string {
  let members = "";
  for (const segments of pointers) {
    const json = shortJson(valueAt(document, segments));
    if (json === undefined) continue;
    const pointer = segments.map((segment) => `/${segment.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
    members += `${members === "" ? "" : ","}${jsonText(pointer)}:${json}`;
  }
  return `{${members}}`;
}

function valueAt(document: unknown, segments: readonly string[]): unknown {
  let value = document;
  for (const segment of segments) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, segment)) return undefined;
    value = (value as Record<string, unknown>)[segment];
  }
  return value;
}

function shortJson(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const json = JSON.stringify(value);
  return json.length <= SAFE_VALUE_CHARACTERS_MAX ? json : undefined;
}
