// In: a configuration file and the environment. Out: the frozen configuration, or every problem at once.
// Trusts: nothing in the file. It is read once; what is in force never changes under a running thread.
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { parseDocument } from "yaml";
import type { z } from "zod";
import { err, ok, type Result } from "../lib/result.ts";
import { applyEnvironment } from "./apply-environment.ts";
import { checkFields } from "./check-fields.ts";
import { checkFiles } from "./check-files.ts";
import type { ConfigProblem, Report } from "./config-problem.ts";
import { viewOf } from "./config-view.ts";
import { describeIssues } from "./describe-issue.ts";
import { resolvePaths } from "./resolve-paths.ts";
import { type Config, configSchema } from "./schema.ts";

export type { ConfigProblem } from "./config-problem.ts";

export interface LoadedConfig {
  readonly config: Config;
}

/** Thousands of routes fit; keeps a wrong file from being parsed for minutes. */
const FILE_BYTES_MAX = 1024 * 1024;
/** Enough for anchors shared by many routes, too few for an alias bomb. */
const ALIASES_MAX = 100;

/** Never throws on what the file holds: YAML 1.2, one document, no duplicate keys, no unknown keys. */
export function loadConfig(file: string, env: NodeJS.ProcessEnv): Result<LoadedConfig, ConfigProblem[]> {
  const problems: ConfigProblem[] = [];
  const report: Report = (where, problem, mend) => problems.push({ path: where, problem, mend });
  const text = readText(file, report);
  const raw = text === undefined ? undefined : parseYaml(text, path.basename(file), report);
  if (raw === undefined) return err(problems);

  applyEnvironment(raw.value, env, report);
  const parsed = configSchema.safeParse(raw.value);
  if (!parsed.success) {
    describeIssues(parsed.error.issues, raw.value, report);
    removeUnknownKeys(parsed.error.issues, raw.value);
  }
  const view = parsed.success ? parsed.data : viewOf(raw.value);
  resolvePaths(view, path.dirname(path.resolve(file)), env);
  checkFields(view, report);
  checkFiles(view, env, report);
  if (!parsed.success || problems.length > 0) return err(problems);
  return ok({ config: deepFreeze(parsed.data) });
}

function readText(file: string, report: Report): string | undefined {
  try {
    if (statSync(file).size > FILE_BYTES_MAX) {
      report(file, "This file is larger than 1 MiB.", "Name a Cordon configuration.");
      return undefined;
    }
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    if (code === "ENOENT") report(file, "There is no such file.", "Create it, or name another one.");
    else if (code === "ERR_ENCODING_INVALID_ENCODED_DATA")
      report(file, "This file is not UTF-8 text.", "Save it as UTF-8.");
    else report(file, `This file cannot be read (${code}).`, "Name a file that the account that runs Cordon can read.");
    return undefined;
  }
}

function parseYaml(text: string, name: string, report: Report): { readonly value: unknown } | undefined {
  try {
    const document = parseDocument(text, { version: "1.2", uniqueKeys: true, prettyErrors: true, logLevel: "silent" });
    const faults = [...document.errors, ...document.warnings];
    for (const fault of faults) {
      const line = fault.linePos?.[0].line;
      const where = line === undefined ? name : `${name} line ${line}`;
      const [first = "not well-formed"] = fault.message.split(/ at line \d|\n/);
      report(where, `This is not valid YAML 1.2: ${first}.`, "Mend the line; indentation and quotes matter.");
    }
    if (faults.length > 0) return undefined;
    const value: unknown = document.toJS({ maxAliasCount: ALIASES_MAX });
    // A value that contains itself (`&a [*a]`) has no end: refused before anything walks over it.
    JSON.stringify(value);
    return { value };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    report(name, "This file is nested too deeply, or its aliases never end.", "Write it plainly, with few aliases.");
    return undefined;
  }
}

/** A misspelt key is told once; without it, the part that holds it can still be checked. */
function removeUnknownKeys(issues: readonly z.core.$ZodIssue[], raw: unknown): void {
  for (const issue of issues) {
    if (issue.code !== "unrecognized_keys") continue;
    const owner = issue.path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown>)[key], raw);
    for (const key of issue.keys) delete (owner as Record<string, unknown>)[key];
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
  return value;
}
