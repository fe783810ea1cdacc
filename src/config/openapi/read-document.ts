// In: a route that names an OpenAPI document. Out: the operations that it describes for this route, or what is wrong with it.
// Trusts: nothing in the file. It is read whole, within bounds, and leads to no other file and no other host.
import { readFileSync, statSync } from "node:fs";
import { parseDocument as parseYaml } from "yaml";
import type { ApiOperation } from "../../action/openapi/operation.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import type { RouteConfig } from "../schema.ts";
import { parseDocument } from "./parse-document.ts";

export interface DocumentProblem {
  /** JSON pointer, or a line; "" where the file as a whole is meant. */
  readonly where: string;
  readonly problem: string;
}

/** What the largest public ones have; their YAML takes some seconds to read. */
const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024;
const ALIASES_MAX = 100;
/** Enough to see what is wrong with a document that was written for other readers. */
const PROBLEMS_MAX = 20;

type Route = Pick<RouteConfig, "path" | "methods"> & {
  readonly openapi?: RouteConfig["openapi"];
  readonly upstream: Pick<RouteConfig["upstream"], "strip_prefix">;
};

/** Undefined where the route names no document. */
export function readOperations(route: Route): Result<ApiOperation[] | undefined, DocumentProblem[]> {
  const { openapi, path, methods, upstream } = route;
  if (openapi === undefined) return ok(undefined);
  const document = readValue(openapi.file);
  if (!document.ok) return err([document.error]);
  const problems: DocumentProblem[] = [];
  const basePath = openapi.base_path ?? upstream.strip_prefix ?? "";
  const operations = parseDocument(document.value, { path, methods, basePath }, (where, problem) => {
    if (problems.length < PROBLEMS_MAX) problems.push({ where, problem });
  });
  return operations === undefined ? err(problems) : ok(operations);
}

function readValue(file: string): Result<unknown, DocumentProblem> {
  let text: string;
  try {
    const facts = statSync(file);
    if (!facts.isFile()) return fail("", "This is not a file.");
    if (facts.size > DOCUMENT_BYTES_MAX) return fail("", `The document is larger than ${DOCUMENT_BYTES_MAX} bytes.`);
    text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    if (code === "ENOENT" || code === "ENOTDIR") return fail("", `There is no ${file}.`);
    if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") return fail("", "The document is not UTF-8 text.");
    return fail("", `The document cannot be read (${code}).`);
  }
  try {
    const document = parseYaml(text, { version: "1.2", uniqueKeys: true, prettyErrors: true, logLevel: "silent" });
    const [fault] = [...document.errors, ...document.warnings];
    if (fault !== undefined) {
      const [first = "not well-formed"] = fault.message.split(/ at line \d|\n/);
      return fail(`line ${fault.linePos?.[0].line ?? "?"}`, `This is neither JSON nor YAML 1.2: ${first}.`);
    }
    const value: unknown = document.toJS({ maxAliasCount: ALIASES_MAX });
    // As plain JSON: no value that contains itself, none that JSON has no word for, and no member shared by an alias.
    return ok(JSON.parse(JSON.stringify(value) ?? "null") as unknown);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return fail("", "The document is nested too deeply, or its aliases never end.");
  }
}

function fail(where: string, problem: string): Result<never, DocumentProblem> {
  return err({ where, problem });
}
