// In: the operation that is called, the parts of its request and its parsed body. Out: `input.action.arguments`, or a denial.
// Trusts: the operation, which was checked at start; nothing of the request. A detail tells names and never a value.
import { type Denial, deny } from "../../errors.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import { checkArguments } from "../mcp/check-arguments.ts";
import { survives } from "../parse-json.ts";
import type { ApiBody, ApiOperation, ApiParameter } from "./operation.ts";
import type { FoundOperation } from "./operation-table.ts";
import { isObject } from "../../lib/strict-json.ts";

export type Arguments = Record<string, unknown>;

/** Of a header: what every reader takes for the same text. */
const PLAIN = /^[\t\x20-\x7e]*$/;
const INTEGER = /^(?:0|-?[1-9][0-9]*)$/;
const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;

/** What can be refused before the body is read. `hasBody` is what the headers say. */
export function readParameters(
  { operation, pathValues }: FoundOperation,
  query: Readonly<Record<string, string>>,
  rawHeaders: readonly string[],
  hasBody: boolean,
): Result<Arguments, Denial> {
  const { parameters, body, name } = operation;
  if (hasBody && body === undefined) return refuse(name, "a body, and none is described");
  const declared = new Set(parameters.filter((one) => one.in === "query").map((one) => one.name));
  for (const key of Object.keys(query)) {
    if (!declared.has(key)) return refuse(name, "a query parameter that is not described");
  }
  const headers = readHeaders(parameters, rawHeaders);
  if (typeof headers === "string") return refuse(name, headers);
  const values: Arguments = Object.create(null) as Arguments;
  for (const parameter of parameters) {
    const text =
      parameter.in === "path"
        ? pathValues[parameter.name]
        : parameter.in === "query"
          ? query[parameter.name]
          : headers.get(parameter.name);
    const at = `${parameter.in} parameter ${parameter.name}`;
    if (text === undefined) {
      if (parameter.required) return refuse(name, `${at} is missing`);
      continue;
    }
    const item = readText(parameter.type, text);
    if (item === undefined) return refuse(name, `${at} is no ${parameter.type}`);
    const value = parameter.list ? [item] : item;
    const fault = checkArguments(parameter.schema, value);
    if (fault !== null) return refuse(name, `${at}: ${fault}`);
    values[parameter.name] = value;
  }
  return ok(values);
}

/** `body` is undefined where there is none. */
export function addBody(
  operation: ApiOperation,
  values: Arguments,
  body: unknown,
  contentType: string | undefined,
): Result<Arguments, Denial> {
  const { name, body: described } = operation;
  if (body === undefined) return described?.required === true ? refuse(name, "the body is missing") : ok(values);
  if (described === undefined) return refuse(name, "a body, and none is described");
  const content = contentOf(described, contentType);
  if (content === undefined) return refuse(name, "a media type that is not described");
  const fault = checkArguments(content.schema, body);
  if (fault !== null) return refuse(name, `the body: ${fault}`);
  if (operation.bodyMembers === "nested") {
    values["body"] = body;
    return ok(values);
  }
  if (!isObject(body)) return refuse(name, "the body is no object");
  // Also a parameter that this request leaves out: policy would take the body's word for it.
  const taken = new Set(operation.parameters.map((parameter) => parameter.name));
  for (const [key, value] of Object.entries(body)) {
    if (taken.has(key)) return refuse(name, "a member of the body has the name of a parameter");
    values[key] = value;
  }
  return ok(values);
}

function contentOf({ content }: ApiBody, contentType: string | undefined): ApiBody["content"][number] | undefined {
  const type = (contentType ?? "").split(";", 1)[0]?.trim().toLowerCase();
  const find = (wanted: string | undefined) => content.find((one) => one.type === wanted);
  return find(type) ?? find("application/*") ?? find("*/*");
}

/** Undefined where the text is no such value in its one plain spelling. */
function readText(type: ApiParameter["type"], text: string): unknown {
  switch (type) {
    case "string":
      return text.isWellFormed() ? text : undefined;
    case "boolean":
      return text === "true" ? true : text === "false" ? false : undefined;
    case "integer":
      return INTEGER.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined;
    case "number":
      return NUMBER.test(text) && survives(text) ? Number(text) : undefined;
  }
}

/** By name, or what is wrong with them. */
function readHeaders(parameters: readonly ApiParameter[], raw: readonly string[]): Map<string, string> | string {
  const headers = new Map<string, string>();
  const declared = new Set(parameters.filter((one) => one.in === "header").map((one) => one.name));
  if (declared.size === 0) return headers;
  const folded = new Set([...declared].map(fold));
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = (raw[index] ?? "").toLowerCase();
    const value = raw[index + 1] ?? "";
    // What `Connection` names would be judged, and not sent on.
    if (name === "connection" && value.split(",").some((part) => declared.has(part.trim().toLowerCase()))) {
      return "Connection names a header parameter";
    }
    if (!declared.has(name)) {
      // CGI-like servers make one name of `x_tenant` and `x-tenant`.
      if (folded.has(fold(name))) return "a variant of a header parameter's name";
      continue;
    }
    if (headers.has(name)) return `header parameter ${name} twice`;
    if (!PLAIN.test(value)) return `header parameter ${name} has other characters`;
    headers.set(name, value);
  }
  return headers;
}

function fold(name: string): string {
  return name.replaceAll(/[^a-z0-9]/g, "-");
}

function refuse(operation: string, fault: string): Result<never, Denial> {
  return err(deny("operation.arguments", `${operation}: ${fault}`.slice(0, DETAIL_CHARACTERS_MAX)));
}

/** An operation's name and a JSON pointer into a schema are the operator's own, and may be long. */
const DETAIL_CHARACTERS_MAX = 300;
