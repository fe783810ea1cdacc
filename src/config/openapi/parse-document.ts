// In: an OpenAPI 3.0 or 3.1 document as a value, and what its route takes. Out: the operations that can be called, or problems.
// Only what the route reaches is read: of a large document the rest may use what is not understood here.
import type { ApiBody, ApiOperation, ApiParameter } from "../../action/openapi/operation.ts";
import type { TemplateSegment } from "../../action/path-template.ts";
import { isObject, memberOf } from "../../lib/strict-json.ts";
import { createSchemaReader, escape, type Fault, type SchemaReader } from "./parse-schema.ts";

/** Of the route that names the document. */
export interface Reach {
  /** Path template. */
  readonly path: string;
  readonly methods: readonly string[];
  /** Stands before the document's own paths; "" where nothing does. */
  readonly basePath: string;
}

/** The largest public documents describe about a thousand. */
export const OPERATIONS_MAX = 2000;
const NAME_CHARACTERS_MAX = 256;
/** A reference to a reference to a reference is enough. */
const HOPS_MAX = 8;
const SEGMENTS_MAX = 64;

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const PARAM = /^\{([^{}/]+)\}$/;
const JSON_TYPE = /^(?:\*\/\*|application\/(?:\*|json|[a-z0-9.!#$&^_-]+\+json))$/;
const HEADER_NAME = /^[a-z0-9-]+$/;
// biome-ignore lint: the control characters are the point.
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
/** OpenAPI: a parameter of such a name is ignored; and credentials of the caller end at the gateway. */
const IGNORED_HEADERS = new Set(["accept", "authorization", "content-type", "cookie", "dpop"]);
/** The gateway's own words to the tool: what a caller writes there is never sent on. */
const OWN_HEADERS = /^(?:x-cordon-|x-forwarded|forwarded$|x-real-ip$|host$|connection$|content-length$)/;

/** Undefined where `fault` was told something. */
export function parseDocument(
  document: unknown,
  reach: Reach,
  tell: (pointer: string, problem: string) => void,
): ApiOperation[] | undefined {
  let faults = 0;
  const fault: Fault = (pointer, problem) => {
    faults += 1;
    tell(pointer, problem);
    return undefined;
  };
  const version = memberOf(document, "openapi");
  const dialect = typeof version === "string" ? /^(3\.[01])\.[0-9]+$/.exec(version)?.[1] : undefined;
  if (dialect !== "3.0" && dialect !== "3.1") {
    fault("/openapi", "This is no document of OpenAPI 3.0 or 3.1 (write the version as text, such as `3.1.0`).");
    return undefined;
  }
  const paths = memberOf(document, "paths");
  if (!isObject(paths)) {
    fault("/paths", "There are no paths.");
    return undefined;
  }
  const schemas = createSchemaReader(document, dialect, fault);
  const reader: Reader = { document, schemas, fault };
  const operations: ApiOperation[] = [];
  const names = new Map<string, string>();
  const templates = new Map<string, string>();
  for (const [path, written] of Object.entries(paths)) {
    if (path.startsWith("x-")) continue;
    const at = `/paths/${escape(path)}`;
    const segments = segmentsOf(reach.basePath, path);
    if (typeof segments === "string") {
      // A path that cannot be read may be one that the route reaches.
      fault(at, segments);
      continue;
    }
    if (!reaches(reach.path, segments)) continue;
    const item = resolve(reader, written, at);
    if (!isObject(item)) {
      fault(at, "This is no path item.");
      continue;
    }
    const taken = METHODS.filter(
      (method) => Object.hasOwn(item, method.toLowerCase()) && reach.methods.includes(method),
    );
    const form = JSON.stringify(segments.map((segment) => (segment.kind === "param" ? null : segment.text)));
    const twin = templates.get(form);
    if (taken.length > 0 && twin !== undefined) fault(at, `This matches the same requests as ${twin}.`);
    if (taken.length > 0) templates.set(form, path);
    for (const method of taken) {
      const place = `${at}/${method.toLowerCase()}`;
      const operation = readOperation(reader, { path, method, segments, item }, place);
      if (operation === undefined) continue;
      const other = names.get(operation.name);
      if (other !== undefined) fault(`${place}/operationId`, `${other} has this name too.`);
      names.set(operation.name, `${method} ${path}`);
      operations.push(operation);
    }
  }
  if (operations.length > OPERATIONS_MAX) fault("/paths", `These are more than ${OPERATIONS_MAX} operations.`);
  if (operations.length === 0 && faults === 0) fault("/paths", "No operation is one that this route takes.");
  return faults === 0 ? operations : undefined;
}

interface Reader {
  readonly document: unknown;
  readonly schemas: SchemaReader;
  readonly fault: Fault;
}

interface Place {
  readonly path: string;
  readonly method: string;
  readonly segments: readonly TemplateSegment[];
  readonly item: Readonly<Record<string, unknown>>;
}

function readOperation(reader: Reader, place: Place, at: string): ApiOperation | undefined {
  const { fault, schemas } = reader;
  const { path, method, segments, item } = place;
  const written = item[method.toLowerCase()];
  if (!isObject(written)) return fault(at, "This is no operation.");
  const id = written["operationId"];
  const name = id ?? `${method} ${path}`;
  if (typeof name !== "string" || name === "" || name.length > NAME_CHARACTERS_MAX || CONTROL.test(name)) {
    return fault(`${at}/operationId`, `This is no name of at most ${NAME_CHARACTERS_MAX} characters.`);
  }
  const parameters = readParameters(reader, item["parameters"], written["parameters"], at);
  checkPath(parameters, segments, at, fault);
  const body = readBody(reader, written["requestBody"], at);
  const taken = new Set(parameters.map((parameter) => parameter.name));
  const nested =
    body?.content.some(({ schema }) => {
      const shape = schemas.shapeOf(schema);
      return !shape.isObject || [...shape.names].some((one) => taken.has(one));
    }) ?? false;
  if (nested && taken.has("body")) {
    fault(at, "The parameter `body` has the name under which the body would stand; call it otherwise.");
  }
  return { name, method, path, segments, parameters, body, bodyMembers: nested ? "nested" : "beside" };
}

function readParameters(reader: Reader, ofItem: unknown, ofOperation: unknown, at: string): ApiParameter[] {
  const { fault } = reader;
  const read = new Map<string, ApiParameter>();
  for (const [list, place] of [
    [ofItem, at.slice(0, at.lastIndexOf("/"))],
    [ofOperation, at],
  ] as const) {
    if (list === undefined) continue;
    if (!Array.isArray(list)) {
      fault(`${place}/parameters`, "This is no list of parameters.");
      continue;
    }
    const own = new Set<string>();
    for (const [index, written] of list.entries()) {
      const where = `${place}/parameters/${index}`;
      const parameter = readParameter(reader, resolve(reader, written, where), where);
      if (parameter === undefined) continue;
      const key = `${parameter.in} ${parameter.name}`;
      if (own.has(key)) fault(where, "This parameter stands here twice.");
      own.add(key);
      // The operation's own replaces that of its path.
      read.set(key, parameter);
    }
  }
  const parameters = [...read.values()];
  parameters.forEach(({ name }, index) => {
    if (parameters.findIndex((other) => other.name === name) !== index) {
      fault(at, `Two parameters are called \`${name}\`; policy could not tell which is meant.`);
    }
  });
  return parameters;
}

function readParameter(reader: Reader, written: unknown, at: string): ApiParameter | undefined {
  const { fault, schemas } = reader;
  if (!isObject(written)) return fault(at, "This is no parameter.");
  const { in: place, name: given, required, style, explode, schema } = written;
  if (typeof given !== "string" || given === "" || given === "__proto__" || CONTROL.test(given)) {
    return fault(`${at}/name`, "This is no name of a parameter.");
  }
  if (required !== undefined && typeof required !== "boolean") fault(`${at}/required`, "This is no boolean.");
  if (place === "cookie") {
    if (required === true) fault(at, "Cookies are not sent on to the tool, so this parameter could never be there.");
    return undefined;
  }
  if (place !== "path" && place !== "query" && place !== "header") {
    return fault(`${at}/in`, "This is none of `path`, `query`, `header` and `cookie`.");
  }
  const name = place === "header" ? given.toLowerCase() : given;
  if (place === "header") {
    if (IGNORED_HEADERS.has(name)) return undefined;
    if (!HEADER_NAME.test(name)) return fault(`${at}/name`, "A header's name has letters, digits and `-` here.");
    if (OWN_HEADERS.test(name)) return fault(`${at}/name`, "The gateway itself writes this header.");
  }
  if (place === "path" && required !== true) fault(`${at}/required`, "A path parameter is `required: true`.");
  if (written["allowReserved"] === true) fault(`${at}/allowReserved`, "This is not understood here.");
  if (style !== undefined && style !== (place === "query" ? "form" : "simple")) {
    fault(`${at}/style`, `Only the style \`${place === "query" ? "form" : "simple"}\` is understood here.`);
  }
  if (schema === undefined) return fault(at, "A parameter has a `schema` here; `content` is not understood.");
  const read = schemas.read(schema, `${at}/schema`);
  const types = schemas.typesOf(read);
  const list = types.includes("array");
  if (types.includes("object")) return fault(`${at}/schema`, "A parameter that is an object is not understood.");
  if (list && (place !== "query" || explode === false)) {
    return fault(`${at}/schema`, "A list is understood in the query only, and with `explode: true`.");
  }
  const of = list ? schemas.typesOf(memberOf(schemas.follow(read), "items")) : types;
  if (list && (of.includes("array") || of.includes("object"))) {
    return fault(`${at}/schema`, "Items of a list are plain values.");
  }
  return { in: place, name, required: required === true, type: plainType(of), list, schema: read };
}

/** With several types, the text itself: it is surely one of them, or it is refused. */
function plainType(types: readonly string[]): ApiParameter["type"] {
  const [first, ...others] = types.filter((type) => type !== "null");
  if (others.length > 0) return "string";
  return first === "integer" || first === "number" || first === "boolean" ? first : "string";
}

function readBody(reader: Reader, written: unknown, at: string): ApiBody | undefined {
  const { fault, schemas } = reader;
  if (written === undefined) return undefined;
  const place = `${at}/requestBody`;
  const body = resolve(reader, written, place);
  const content = memberOf(body, "content");
  if (!isObject(body) || !isObject(content)) return fault(place, "This is no request body with `content`.");
  const { required } = body;
  if (required !== undefined && typeof required !== "boolean") fault(`${place}/required`, "This is no boolean.");
  const read: { type: string; schema: unknown }[] = [];
  for (const [key, media] of Object.entries(content)) {
    const type = key.split(";", 1)[0]?.trim().toLowerCase() ?? "";
    // Other types are not read here, so a body of them is refused.
    if (!JSON_TYPE.test(type)) continue;
    const where = `${place}/content/${escape(key)}`;
    if (read.some((one) => one.type === type)) fault(where, "This media type stands here twice.");
    if (!isObject(media)) {
      fault(where, "This is no media type object.");
      continue;
    }
    read.push({
      type,
      schema: media["schema"] === undefined ? true : schemas.read(media["schema"], `${where}/schema`),
    });
  }
  if (read.length === 0) return fault(place, "No JSON body is described, and no other is understood here.");
  return { required: required === true, content: read };
}

function checkPath(
  parameters: readonly ApiParameter[],
  segments: readonly TemplateSegment[],
  at: string,
  fault: Fault,
): void {
  const inPath = new Set(segments.flatMap((segment) => (segment.kind === "param" ? [segment.name] : [])));
  const described = new Set(parameters.filter((one) => one.in === "path").map((one) => one.name));
  for (const name of inPath) if (!described.has(name)) fault(at, `The path's parameter \`${name}\` is not described.`);
  for (const name of described) if (!inPath.has(name)) fault(at, `The path has no parameter \`${name}\`.`);
}

/** A sentence where the path cannot be matched segment by segment. */
function segmentsOf(basePath: string, path: string): TemplateSegment[] | string {
  if (!path.startsWith("/")) return "A path starts with `/`.";
  const segments: TemplateSegment[] = [];
  const names = new Set<string>();
  for (const part of `${basePath}${path}`.slice(1).split("/")) {
    const name = PARAM.exec(part)?.[1];
    if (name !== undefined) {
      if (names.has(name)) return `The parameter \`${name}\` stands twice in the path.`;
      names.add(name);
      segments.push({ kind: "param", name });
      continue;
    }
    const text = /[{}?#]/.test(part) ? undefined : decode(part);
    if (text === undefined) return "A parameter is a whole segment here, and a path is plain text.";
    segments.push({ kind: "literal", text });
  }
  return segments.length > SEGMENTS_MAX ? `A path has at most ${SEGMENTS_MAX} segments.` : segments;
}

/** Whether one request can match both; the route's own template was checked already. */
function reaches(routePath: string, segments: readonly TemplateSegment[]): boolean {
  const parts = routePath.slice(1).split("/");
  const rest = parts.at(-1) === "**";
  if (rest) parts.pop();
  if (rest ? segments.length < parts.length : segments.length !== parts.length) return false;
  return parts.every((part, index) => {
    const segment = segments[index];
    if (segment?.kind !== "literal" || part === segment.text) return true;
    return part.startsWith("{") && segment.text !== "";
  });
}

/** Follows references within the document; the remote ones are never fetched. */
function resolve({ document, fault }: Reader, written: unknown, at: string): unknown {
  let value = written;
  for (let hops = 0; hops <= HOPS_MAX; hops++) {
    const reference = memberOf(value, "$ref");
    if (reference === undefined) return value;
    if (typeof reference !== "string" || !reference.startsWith("#/")) {
      return fault(`${at}/$ref`, "This leads out of the document; nothing else is read.");
    }
    value = reference
      .slice(2)
      .split("/")
      .reduce<unknown>((owner, part) => memberOf(owner, unescape(part)), document);
    if (value === undefined) return fault(`${at}/$ref`, "There is nothing at the end of this reference.");
  }
  return fault(`${at}/$ref`, `This is more than ${HOPS_MAX} references long.`);
}

function unescape(part: string): string {
  return (decode(part) ?? part).replaceAll("~1", "/").replaceAll("~0", "~");
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined; // URIError: a broken escape
  }
}
