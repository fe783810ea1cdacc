// In: the arguments of `cordon policy ...`. Out: text and an exit code: 0 good, 1 the policy is not, 2 it could not be tried.
// Trusts: the operator's files; a policy is only run in this short-lived process or in a thread with a deadline.
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { locateOpa } from "../admin/opa.ts";
import { buildFromSource, CAPABILITIES_FILE, readPolicyData, runOpa, withSnapshot } from "../admin/policy-source.ts";
import { packageRoot } from "../lib/package-root.ts";
import { err, ok, type Result } from "../lib/result.ts";
import type { BundleLimits } from "../policy/check-bundle.ts";
import { startBundleCheck } from "../policy/check-thread.ts";
import { createEvaluator } from "../policy/evaluator.ts";
import { type Bundle, DECISION_ENTRYPOINT, parseBundle, RESPONSE_ENTRYPOINT } from "../policy/parse-bundle.ts";
import { parseResponse } from "../policy/parse-response.ts";
import { isObject } from "../lib/strict-json.ts";

const DEFAULT_BUNDLE = join(packageRoot(), "policies", "bundle.tar.gz");
/** The defaults of the configuration's `policy` section; `--budget-ms` changes the one that is asked for most. */
const CHECK_LIMITS: BundleLimits = { input_bytes_max: 1_114_112, memory_pages_max: 1024, evaluation_budget_ms: 250 };
/** Parsing, compiling and a few evaluations; longer means that it loops. */
const CHECK_DEADLINE_MS = 15_000;
const EXIT_BAD_POLICY = 1;
const EXIT_NOT_TRIED = 2;

function fail(exitCode: number, ...lines: readonly string[]): void {
  for (const line of lines) process.stderr.write(`${line}\n`);
  process.exitCode = exitCode;
}

async function readInput<T>(file: string, parse: (bytes: Buffer) => Result<T, string>): Promise<Result<T, string>> {
  try {
    const parsed = parse(await readFile(file));
    return parsed.ok ? parsed : err(`${file}: ${parsed.error}`);
  } catch (cause) {
    return err(`${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}

async function build(folder: string, { output }: { readonly output: string }): Promise<void> {
  const opa = await locateOpa();
  if (!opa.ok) return fail(EXIT_NOT_TRIED, opa.error);
  const built = await buildFromSource(folder);
  if (!built.ok) return fail(EXIT_BAD_POLICY, `${folder} was not built:`, built.error);
  const checked = await startBundleCheck(built.value, CHECK_LIMITS, CHECK_DEADLINE_MS);
  if (!checked.ok) return fail(EXIT_BAD_POLICY, `${folder} builds, but may not be activated:`, ...checked.error);
  const bundle = parseBundle(built.value);
  try {
    await writeFile(output, built.value);
  } catch (cause) {
    return fail(
      EXIT_NOT_TRIED,
      `${output} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
  process.stdout.write(`${output}: revision ${bundle.ok ? bundle.value.revision : ""}, ${built.value.length} bytes\n`);
}

async function test(folder: string): Promise<void> {
  const opa = await locateOpa();
  if (!opa.ok) return fail(EXIT_NOT_TRIED, opa.error);
  const tested = await withSnapshot(folder, async (copy) => {
    const run = await runOpa(opa.value, ["test", "--verbose", "--capabilities", CAPABILITIES_FILE, "."], copy);
    return run.ok ? ok(run.output) : err(run.output);
  });
  if (!tested.ok) return fail(EXIT_BAD_POLICY, tested.error);
  process.stdout.write(`${tested.value}\n`);
}

async function check(target: string, { budgetMs }: { readonly budgetMs: string }): Promise<void> {
  const evaluationBudgetMs = Number(budgetMs);
  if (!Number.isSafeInteger(evaluationBudgetMs) || evaluationBudgetMs < 1)
    return fail(EXIT_NOT_TRIED, "--budget-ms is a whole number of milliseconds");
  let bytes: Uint8Array;
  if (await isFolder(target)) {
    const opa = await locateOpa();
    if (!opa.ok) return fail(EXIT_NOT_TRIED, opa.error);
    const built = await buildFromSource(target, { test: false });
    if (!built.ok) return fail(EXIT_BAD_POLICY, built.error);
    bytes = built.value;
  } else {
    const read = await readInput<Uint8Array>(target, ok);
    if (!read.ok) return fail(EXIT_NOT_TRIED, read.error);
    bytes = read.value;
  }
  const checked = await startBundleCheck(
    bytes,
    { ...CHECK_LIMITS, evaluation_budget_ms: evaluationBudgetMs },
    CHECK_DEADLINE_MS,
  );
  if (!checked.ok) return fail(EXIT_BAD_POLICY, `${target} may not be activated:`, ...checked.error);
  process.stdout.write(
    `${target}: loads, denies by default, stays within ${evaluationBudgetMs} ms on the largest input\n`,
  );
}

/** A policy input, or a line of the decision log, whose `input` is one. */
function parseTryInput(bytes: Buffer): Result<{ json: string; timeMs: number }, string> {
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8"));
    if (!isObject(value)) return err("not a JSON object");
    const input = isObject(value["input"]) ? value["input"] : value;
    const environment = input["environment"];
    const timeMs =
      isObject(environment) && typeof environment["time"] === "string" ? Date.parse(environment["time"]) : Number.NaN;
    // The clock is part of the input; a made-up one would give an answer that no gateway gives.
    return Number.isFinite(timeMs)
      ? ok({ json: JSON.stringify(input), timeMs })
      : err("input.environment.time is not an RFC 3339 time");
  } catch (cause) {
    return err(cause instanceof Error ? cause.message : String(cause));
  }
}

interface TryOptions {
  readonly input: string;
  readonly bundle: string;
  readonly data?: string;
  readonly entry: string;
}

function evaluate(
  bundle: Bundle,
  dataJson: string,
  entry: string,
  json: string,
  timeMs: number,
): Result<unknown, string> {
  try {
    const module = new WebAssembly.Module(bundle.wasm);
    const evaluator = createEvaluator({ module, dataJson, memoryPagesMax: CHECK_LIMITS.memory_pages_max });
    const raw =
      entry === DECISION_ENTRYPOINT ? evaluator.decide(json, timeMs) : evaluator.evaluateEntry(entry, json, timeMs);
    const result = entry === RESPONSE_ENTRYPOINT && raw.ok ? parseResponse(raw.value) : raw;
    return result.ok
      ? result
      : err(`${result.error.reason}${result.error.detail === undefined ? "" : `: ${result.error.detail}`}`);
  } catch (cause) {
    return err(`the bundle does not load: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

async function tryInput(options: TryOptions): Promise<void> {
  const bundle = await readInput(options.bundle, parseBundle);
  if (!bundle.ok) return fail(EXIT_NOT_TRIED, bundle.error);
  const input = await readInput(options.input, parseTryInput);
  if (!input.ok) return fail(EXIT_NOT_TRIED, input.error);
  const data =
    options.data === undefined ? ok({ dataJson: bundle.value.dataJson }) : await readPolicyData(options.data);
  if (!data.ok) return fail(EXIT_NOT_TRIED, data.error);
  const result = evaluate(bundle.value, data.value.dataJson, options.entry, input.value.json, input.value.timeMs);
  if (!result.ok) return fail(EXIT_BAD_POLICY, `denied: ${result.error}`);
  process.stdout.write(`${JSON.stringify(result.value, null, 2)}\n`);
}

export function register(program: Command): void {
  const policy = program.command("policy").description("build, test and try the policy");
  policy
    .command("build")
    .description("check, test and build a folder of Rego into a bundle")
    .argument("[dir]", "folder of Rego and data.json", "policies")
    .requiredOption("-o, --output <file>", "the bundle to write")
    .action(build);
  policy
    .command("test")
    .description("run the policy's own tests")
    .argument("[dir]", "folder of Rego", "policies")
    .action(test);
  policy
    .command("check")
    .description("the checks that a gateway makes before it activates a policy")
    .argument("[target]", "folder of Rego, or a bundle", "policies")
    .option("--budget-ms <ms>", "evaluation budget on the largest input", String(CHECK_LIMITS.evaluation_budget_ms))
    .action(check);
  policy
    .command("try")
    .description("print the decision on one input")
    .requiredOption("--input <file>", "a policy input, or one line of the decision log")
    .option("--bundle <file>", "a built bundle", DEFAULT_BUNDLE)
    .option("--data <file>", "data that replaces the bundle's")
    .option("--entry <name>", "entry point", DECISION_ENTRYPOINT)
    .action(tryInput);
}
