// In: the schema of a tool, the arguments of a call of it and the `Mcp-Param-*` headers of the request. Out: whether the
// headers repeat what the arguments say, so that nobody who routes on a header sees another value than policy judged.
// Trusts: neither. MCP 2026-07-28, streamable HTTP, "Custom Headers from Tool Parameters".
import { isObject } from "../../lib/strict-json.ts";

/** A property of the arguments that the header `Mcp-Param-{header}` repeats. */
export interface ParameterMark {
  /** In lower case, as names of headers are compared. */
  readonly header: string;
  /** Names of properties from the root of the arguments. */
  readonly path: readonly string[];
  readonly type: "string" | "integer" | "boolean";
}

const MARK = "x-mcp-header";
/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const SIGNS = /[^a-z0-9]/g;
/** What stands there is no schema, but a value that may look like one. */
const VALUES = new Set(["default", "examples", "example", "enum", "const"]);
/** What stands there are schemas by names, and the names are no keywords. */
const NAMED = new Set(["properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"]);

/** `42.0` is `42` ("Server Validation"); no other spelling of a number is taken. */
const INTEGER = /^(?:0|-?[1-9][0-9]*)(?:\.0+)?$/;

/** Null where the schema marks what may not be marked: clients of MCP must not use such a tool. */
export function readMarks(inputSchema: unknown): readonly ParameterMark[] | null {
  const marks: ParameterMark[] = [];
  const isFit = visit(inputSchema, [], marks);
  // Some servers fold all signs of a header's name into one, so two names that differ by signs alone are no two names.
  const names = new Set(marks.map(({ header }) => header.replaceAll(SIGNS, "-")));
  return isFit && names.size === marks.length ? marks : null;
}

/** `path` is undefined where a chain of `properties` alone does not lead to. */
function visit(schema: unknown, path: readonly string[] | undefined, marks: ParameterMark[]): boolean {
  if (Array.isArray(schema)) return schema.every((one) => visit(one, undefined, marks));
  if (!isObject(schema)) return true;
  return Object.entries(schema).every(([keyword, given]) => {
    if (keyword === MARK) return take(given, schema["type"], path, marks);
    if (VALUES.has(keyword)) return true;
    if (!NAMED.has(keyword) || !isObject(given)) return visit(given, undefined, marks);
    return Object.entries(given).every(([name, one]) => {
      const reached = keyword === "properties" && path !== undefined ? [...path, name] : undefined;
      return visit(one, reached, marks);
    });
  });
}

function take(name: unknown, type: unknown, path: readonly string[] | undefined, marks: ParameterMark[]): boolean {
  if (path === undefined || path.length === 0 || typeof name !== "string" || !TOKEN.test(name)) return false;
  if (type !== "string" && type !== "integer" && type !== "boolean") return false;
  marks.push({ header: name.toLowerCase(), path, type });
  return true;
}

/** Null where they agree, or what does not; the text names headers and no value. `required`: what is marked must be sent. */
export function checkParameters(
  marks: readonly ParameterMark[],
  given: Readonly<Record<string, unknown>>,
  headers: ReadonlyMap<string, string>,
  required: boolean,
): string | null {
  let compared = 0;
  for (const mark of marks) {
    const text = headers.get(mark.header);
    const value = valueAt(given, mark.path);
    if (text !== undefined) compared += 1;
    else if (!required || value === undefined || value === null) continue;
    if (text === undefined || !isSame(mark, value, text)) return `mcp-param-${mark.header}`;
  }
  // A header that repeats nothing tells whoever reads it what policy was not asked about.
  return compared === headers.size ? null : "Mcp-Param-* that the tool's schema does not mark";
}

function isSame({ type }: ParameterMark, value: unknown, text: string): boolean {
  if (type === "string") return text === value;
  if (type === "boolean") return typeof value === "boolean" && text === String(value);
  return Number.isSafeInteger(value) && INTEGER.test(text) && Number(text) === value;
}

function valueAt(given: Readonly<Record<string, unknown>>, path: readonly string[]): unknown {
  let value: unknown = given;
  for (const name of path) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}
