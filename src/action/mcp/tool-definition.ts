// In: one item of a `tools/list` answer, as value and as text. Out: what it is known by: a digest over the canonical form of
// what a model and a client go by. Trusts: nothing; what two readers may read in two ways, or is too large, is no definition.
//
// Hashed: name, title, description, inputSchema, outputSchema, annotations. Left out: icons, execution, _meta and whatever
// else stands there: no model is told them, and servers put times and counters into `_meta`.
import { hash } from "node:crypto";
import { canonicalJson } from "../../lib/canonical-json.ts";
import { type ParameterMark, readMarks } from "./parameter-headers.ts";

export interface ToolDefinition {
  /** SHA-256 of `text`, in hexadecimal. */
  readonly digest: string;
  /** Canonical JSON (RFC 8785) of the hashed members. */
  readonly text: string;
}

const MEMBERS = ["name", "title", "description", "inputSchema", "outputSchema", "annotations"];
const FOLDED = new Set(MEMBERS.map(fold));

/** MCP asks for at most 128 characters of a name; some servers prefix theirs. */
export const TOOL_NAME_CHARACTERS_MAX = 256;
/** A definition is kept for each tool, and read by models: real ones stay far below. */
export const DEFINITION_CHARACTERS_MAX = 65_536;
/** Schemas of real tools stay below 16. */
export const DEFINITION_DEPTH_MAX = 40;

const REFERENCES = new Set(["$ref", "$dynamicRef", "$recursiveRef"]);

/** `text` is the item as the server wrote it. */
export function defineTool(value: Readonly<Record<string, unknown>>, text: string): ToolDefinition | null {
  const { name } = value;
  if (typeof name !== "string" || name === "" || name.length > TOOL_NAME_CHARACTERS_MAX) return null;
  for (const member of Object.keys(value)) if (FOLDED.has(fold(member)) && !MEMBERS.includes(member)) return null;
  // In valid JSON every colon outside a string is one member. Fewer in the value: one overwrote another of its name.
  const whole = canonicalJson(value, DEFINITION_DEPTH_MAX);
  if (whole === null || membersOf(whole) !== membersOf(text)) return null;
  const hashed = Object.fromEntries(
    MEMBERS.filter((member) => member in value).map((member) => [member, value[member]]),
  );
  const canonical = canonicalJson(hashed, DEFINITION_DEPTH_MAX);
  if (canonical === null || canonical.length > DEFINITION_CHARACTERS_MAX) return null;
  return definitionOf(canonical);
}

/** Of a canonical text that was kept. */
export function definitionOf(text: string): ToolDefinition {
  return { digest: hash("sha256", text), text };
}

/** What a call is checked by; `marks` is null where the schema marks what MCP does not let it mark. */
export function inputOf({ text }: ToolDefinition): {
  readonly schema: unknown;
  readonly marks: readonly ParameterMark[] | null;
} {
  const schema = (JSON.parse(text) as { readonly inputSchema?: unknown }).inputSchema ?? true;
  return { schema, marks: readMarks(schema) };
}

/** Without these nobody may say what the tool asks for, and so it is never in force before it was accepted. */
export function canPinUnseen(definition: ToolDefinition): boolean {
  return isSelfContained(definition) && inputOf(definition).marks !== null;
}

/** False where a schema names another document: nothing is ever fetched, so nobody can say what it asks for. */
function isSelfContained(definition: ToolDefinition): boolean {
  if (!definition.text.includes("Ref") && !definition.text.includes("$ref")) return true;
  return !namesOthers(JSON.parse(definition.text));
}

function namesOthers(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(
    ([name, member]) =>
      (REFERENCES.has(name) && typeof member === "string" && !member.startsWith("#")) || namesOthers(member),
  );
}

function membersOf(json: string): number {
  let members = 0;
  for (let at = 0; at < json.length; at += 1) {
    const code = json.charCodeAt(at);
    if (code === 0x3a) members += 1;
    else if (code === 0x22) {
      for (at += 1; at < json.length && json.charCodeAt(at) !== 0x22; at += 1)
        if (json.charCodeAt(at) === 0x5c) at += 1;
    }
  }
  return members;
}

/** Readers that ignore case fold all of Unicode; see action/parse-json.ts. */
function fold(name: string): string {
  return name.toLowerCase().toUpperCase().toLowerCase();
}
