// In: zod's issues and the value they are about. Out: problems in plain words, each with a way to mend it.
import type { z } from "zod";
import { configJsonSchema, type JsonSchemaNode } from "./config-json-schema.ts";
import { formatPath, type Report } from "./config-problem.ts";
import { nearestKey } from "./nearest-key.ts";

type Issue = z.core.$ZodIssue;

export function describeIssues(issues: readonly Issue[], input: unknown, report: Report): void {
  const schema = configJsonSchema();
  for (const issue of issues) describe(issue, [], input, schema, report);
}

function describe(
  issue: Issue,
  base: readonly PropertyKey[],
  input: unknown,
  schema: JsonSchemaNode,
  report: Report,
): void {
  const keys = [...base, ...issue.path];
  const path = formatPath(keys) || "(the whole file)";
  const value = valueAt(input, keys);
  switch (issue.code) {
    case "unrecognized_keys":
      for (const key of issue.keys) {
        const known = knownKeys(schema, keys);
        const near = nearestKey(key, known);
        const mend =
          near === undefined ? `Remove it; known here: ${known.join(", ") || "none"}.` : `Write \`${near}\`.`;
        report(formatPath([...keys, key]), "This key is not known.", mend);
      }
      return;
    case "invalid_union":
      return describeUnion(issue, keys, input, schema, report);
    case "invalid_type":
      if (value === undefined) return report(path, "This key is missing.", `Add it: ${expectation(issue.expected)}.`);
      return report(path, `This is ${kindOf(value)}.`, `Write ${expectation(issue.expected)}.`);
    case "invalid_value":
      if (value === undefined) return report(path, "This key is missing.", `Add it: ${oneOf(issue.values)}.`);
      return report(path, "This value is not one of those that are known.", `Write ${oneOf(issue.values)}.`);
    case "too_small":
      return report(
        path,
        `This is too small or too short.`,
        `Write ${bound("at least", issue.minimum, issue.origin)}.`,
      );
    case "too_big":
      return report(path, `This is too large or too long.`, `Write ${bound("at most", issue.maximum, issue.origin)}.`);
    case "invalid_format":
      return report(path, "This text does not have the right form.", `${formatMend(issue.format, issue.message)}.`);
    case "invalid_key":
    case "invalid_element":
    case "not_multiple_of":
    case "custom":
      return report(path, "This value is not allowed here.", `${issue.message}.`);
  }
}

/** The branch that the writer most likely meant is the one with the fewest issues; its issues are told. */
function describeUnion(
  issue: Extract<Issue, { code: "invalid_union" }>,
  keys: readonly PropertyKey[],
  input: unknown,
  schema: JsonSchemaNode,
  report: Report,
): void {
  const value = valueAt(input, keys);
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  const branches = issue.errors.filter((branch) => !branch.some((inner) => inner.path.length === 0 && !isInner(inner)));
  const [first, ...others] = branches;
  if (isObject && first !== undefined) {
    const meant = others.reduce((best, branch) => (unknownKeys(branch) < unknownKeys(best) ? branch : best), first);
    for (const inner of meant) describe(inner, keys, input, schema, report);
    return;
  }
  const problem = value === undefined ? "This key is missing." : `This is ${kindOf(value)} that is not known here.`;
  const forms = nodesAt(schema, keys).flatMap(formsOf);
  report(formatPath(keys), problem, `Write ${forms.join(" or ") || "one of the documented forms"}.`);
}

function isInner(issue: Issue): boolean {
  return issue.code === "unrecognized_keys";
}

function unknownKeys(branch: readonly Issue[]): number {
  return branch.reduce((sum, inner) => sum + (inner.code === "unrecognized_keys" ? inner.keys.length * 2 : 1), 0);
}

function formsOf(node: JsonSchemaNode): string[] {
  if (node.anyOf !== undefined) return node.anyOf.flatMap(formsOf);
  if ("const" in node) return [`\`${String(node["const"])}\``];
  if (node.properties !== undefined) return [`\`{ ${Object.keys(node.properties).slice(0, 1).join()}: … }\``];
  return typeof node["type"] === "string" ? [expectation(node["type"])] : [];
}

function knownKeys(schema: JsonSchemaNode, keys: readonly PropertyKey[]): string[] {
  return [...new Set(nodesAt(schema, keys).flatMap((node) => Object.keys(node.properties ?? {})))];
}

function nodesAt(schema: JsonSchemaNode, keys: readonly PropertyKey[]): JsonSchemaNode[] {
  const spread = (node: JsonSchemaNode): JsonSchemaNode[] => [node, ...(node.anyOf ?? []).flatMap(spread)];
  let nodes = spread(schema);
  for (const key of keys) {
    nodes = nodes
      .map((node) => (typeof key === "number" ? node.items : ownProperty(node.properties, String(key))))
      .filter((node) => node !== undefined)
      .flatMap(spread);
  }
  return nodes;
}

function ownProperty(properties: JsonSchemaNode["properties"], key: string): JsonSchemaNode | undefined {
  return properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : undefined;
}

function valueAt(input: unknown, keys: readonly PropertyKey[]): unknown {
  return keys.reduce<unknown>(
    (value, key) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, key)
        ? (value as Record<PropertyKey, unknown>)[key]
        : undefined,
    input,
  );
}

function kindOf(value: unknown): string {
  if (value === null) return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a group of keys";
  if (typeof value === "string") return "text";
  return typeof value === "boolean" ? "true or false" : "a number";
}

function expectation(expected: string): string {
  if (expected === "object" || expected === "record") return "a group of keys";
  if (expected === "array") return "a list";
  if (expected === "string") return "text";
  if (expected === "boolean") return "true or false";
  return expected === "int" || expected === "integer" ? "a whole number" : `a ${expected}`;
}

function oneOf(values: readonly unknown[]): string {
  return values
    .map((value) => `\`${String(value)}\``)
    .join(", ")
    .replace(/, ([^,]*)$/, " or $1");
}

function bound(words: string, limit: number | bigint, origin: string): string {
  const unit = origin === "array" ? " entries" : origin === "string" ? " characters" : "";
  return `${words} ${limit}${unit}`;
}

function formatMend(format: string, message: string): string {
  if (format === "url") return "Write a whole URL that starts with `http://` or `https://`";
  const text = message.startsWith("Invalid string") ? message.replace("Invalid string: ", "Text ") : message;
  return text.charAt(0).toUpperCase() + text.slice(1);
}
