// In: schemas of an OpenAPI document. Out: the same in JSON Schema 2020-12, with all that they refer to, or problems.
// What the gateway would not evaluate is a problem here: a rule that is written down and not kept is worse than none.
import { isObject, memberOf } from "../../lib/strict-json.ts";

/** Hands over where in the document something is wrong, and what. */
export type Fault = (pointer: string, problem: string) => undefined;

export interface SchemaReader {
  /** A schema that stands by itself: `#/components/schemas` holds what it refers to. */
  read(value: unknown, at: string): unknown;
  /** What a value of such a schema can be; `names` are the properties that are told. */
  shapeOf(schema: unknown): Shape;
  typesOf(schema: unknown): readonly string[];
  /** Follows references. */
  follow(schema: unknown): unknown;
}

export interface Shape {
  readonly isObject: boolean;
  readonly names: ReadonlySet<string>;
}

/** Real schemas stay below 20; the validator follows no more than 128. */
const DEPTH_MAX = 64;
const REFERENCE = /^#\/components\/schemas\/([A-Za-z0-9._-]+)$/;
const TYPES = new Set(["null", "boolean", "object", "array", "number", "integer", "string"]);

/** They say nothing about what is valid. `pattern` and `format` are passed on: the validator knows that it does not know. */
const ANNOTATIONS = new Set([
  "$anchor",
  "$comment",
  "$schema",
  "contentEncoding",
  "contentMediaType",
  "contentSchema",
  "default",
  "deprecated",
  "description",
  "discriminator",
  "example",
  "examples",
  "externalDocs",
  "nullable",
  "readOnly",
  "title",
  "writeOnly",
  "xml",
]);

const isCount = (value: unknown): boolean => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const isNumber = (value: unknown): boolean => typeof value === "number";
const isText = (value: unknown): boolean => typeof value === "string";
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);

const PLAIN_KEYWORDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  type: (value) => (Array.isArray(value) ? value : [value]).every((type) => TYPES.has(type as string)),
  const: () => true,
  enum: Array.isArray,
  required: isTexts,
  minimum: isNumber,
  maximum: isNumber,
  exclusiveMinimum: isNumber,
  exclusiveMaximum: isNumber,
  multipleOf: (value) => typeof value === "number" && value > 0,
  minLength: isCount,
  maxLength: isCount,
  minItems: isCount,
  maxItems: isCount,
  minProperties: isCount,
  maxProperties: isCount,
  uniqueItems: (value) => typeof value === "boolean",
  pattern: isText,
  format: isText,
  dependentRequired: (value) => isObject(value) && Object.values(value).every(isTexts),
};
const SCHEMA_KEYWORDS = new Set(["additionalProperties", "else", "if", "items", "not", "propertyNames", "then"]);
const LIST_KEYWORDS = new Set(["allOf", "anyOf", "oneOf", "prefixItems"]);

/** `dialect` 3.0 has `nullable`, and limits that are excluded by a boolean. */
export function createSchemaReader(document: unknown, dialect: "3.0" | "3.1", fault: Fault): SchemaReader {
  const schemas: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  const components = { schemas };
  /** Not by recursion: a document may lead from one schema to the next a thousand times. */
  const waiting: string[] = [];

  function convert(value: unknown, at: string, depth: number): unknown {
    if (typeof value === "boolean") return value;
    if (!isObject(value)) return fault(at, "This is no schema.");
    if (depth > DEPTH_MAX) return fault(at, `Schemas are nested more than ${DEPTH_MAX} deep.`);
    if (value["$ref"] !== undefined) refer(value["$ref"], at);
    if (dialect === "3.0" && value["$ref"] !== undefined) return { $ref: value["$ref"] };
    const schema: Record<string, unknown> = {};
    for (const [keyword, given] of Object.entries(value)) {
      const place = `${at}/${escape(keyword)}`;
      if (ANNOTATIONS.has(keyword) || keyword.startsWith("x-")) continue;
      if (keyword === "$ref") schema[keyword] = given;
      else if (SCHEMA_KEYWORDS.has(keyword)) schema[keyword] = convert(given, place, depth + 1);
      else if (LIST_KEYWORDS.has(keyword)) {
        if (Array.isArray(given) && given.length > 0) {
          schema[keyword] = given.map((one, index) => convert(one, `${place}/${index}`, depth + 1));
        } else fault(place, "This is no list of schemas.");
      } else if (keyword === "properties") {
        if (isObject(given)) {
          schema[keyword] = Object.fromEntries(
            Object.entries(given).map(([name, one]) => [name, convert(one, `${place}/${escape(name)}`, depth + 1)]),
          );
        } else fault(place, "This is no object of schemas.");
      } else if (dialect === "3.0" && /^exclusiveM(?:in|ax)imum$/.test(keyword)) {
        if (typeof given !== "boolean") fault(place, "This is no boolean, as OpenAPI 3.0 wants it.");
      } else if (!Object.hasOwn(PLAIN_KEYWORDS, keyword)) fault(place, "This keyword is not evaluated here.");
      else if (PLAIN_KEYWORDS[keyword]?.(given) === true) schema[keyword] = given;
      else fault(place, "This is no value for its keyword.");
    }
    if (dialect === "3.0") to31(value, schema);
    // OpenAPI: a property that only answers carry is required of answers alone.
    const { required } = schema;
    if (Array.isArray(required)) {
      schema["required"] = required.filter(
        (name: string) => memberOf(memberOf(value["properties"], name), "readOnly") !== true,
      );
    }
    return schema;
  }

  function refer(reference: unknown, at: string): void {
    const name = typeof reference === "string" ? REFERENCE.exec(reference)?.[1] : undefined;
    if (name === undefined) {
      return fault(`${at}/$ref`, "This leads elsewhere than to `#/components/schemas/NAME`; nothing else is read.");
    }
    if (Object.hasOwn(schemas, name)) return;
    const target = memberOf(memberOf(memberOf(document, "components"), "schemas"), name);
    if (target === undefined) return fault(`${at}/$ref`, "There is no such schema in the document.");
    schemas[name] = target;
    waiting.push(name);
  }

  function follow(schema: unknown): unknown {
    let target = schema;
    for (let hops = 0; hops < DEPTH_MAX; hops++) {
      const reference = memberOf(target, "$ref");
      if (typeof reference !== "string") return target;
      target = schemas[REFERENCE.exec(reference)?.[1] ?? ""];
    }
    return undefined;
  }

  /** `known`: a schema may contain itself. */
  function shape(schema: unknown, names: Set<string>, known: Map<unknown, boolean>, depth: number): boolean {
    if (!isObject(schema) || depth > DEPTH_MAX) return false;
    const before = known.get(schema);
    if (before !== undefined) return before;
    known.set(schema, false);
    for (const name of Object.keys(schema["properties"] ?? {})) names.add(name);
    const target = schema["$ref"] === undefined ? undefined : follow(schema);
    const listed = (keyword: string): boolean[] => {
      const list = schema[keyword];
      return Array.isArray(list) ? list.map((one: unknown) => shape(one, names, known, depth + 1)) : [];
    };
    const one = [listed("anyOf"), listed("oneOf")].some((list) => list.length > 0 && list.every(Boolean));
    const all = listed("allOf").some(Boolean);
    for (const keyword of ["if", "then", "else"]) shape(schema[keyword], names, known, depth + 1);
    const referred = shape(target, names, known, depth + 1);
    const isIt = referred || schema["type"] === "object" || one || all;
    known.set(schema, isIt);
    return isIt;
  }

  return {
    read(value, at) {
      const schema = convert(value, at, 0);
      for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
        schemas[name] = convert(schemas[name], `/components/schemas/${name}`, 0);
      }
      return isObject(schema) ? { ...schema, components } : schema;
    },
    shapeOf(schema) {
      const names = new Set<string>();
      return { isObject: shape(schema, names, new Map(), 0), names };
    },
    typesOf(schema) {
      const type = memberOf(follow(schema), "type");
      return (Array.isArray(type) ? (type as string[]) : [type]).filter((one) => typeof one === "string");
    },
    follow,
  };
}

function to31(value: Readonly<Record<string, unknown>>, schema: Record<string, unknown>): void {
  if (value["nullable"] === true && typeof schema["type"] === "string") schema["type"] = [schema["type"], "null"];
  for (const [flag, limit] of [
    ["exclusiveMinimum", "minimum"],
    ["exclusiveMaximum", "maximum"],
  ] as const) {
    if (value[flag] !== true || schema[limit] === undefined) continue;
    schema[flag] = schema[limit];
    delete schema[limit];
  }
}

/** RFC 6901 section 3. */
export function escape(part: string): string {
  return part.replaceAll("~", "~0").replaceAll("/", "~1");
}
