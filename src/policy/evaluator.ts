// In: a compiled policy module, its data, and one input as JSON text. Out: a Decision, or a denial; never a throw.
// Trusts: the module's memory only as far as it stays bounded; after any trap the instance is thrown away.
import { type Denial, deny } from "../errors.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { createInstance, type EvaluatorOptions, type Instance, type SplitInput } from "./create-instance.ts";
import type { Decision, ResponseVerdict } from "./decision.ts";
import { DECISION_ENTRYPOINT, RESPONSE_ENTRYPOINT, VISIBLE_ENTRYPOINT } from "./parse-bundle.ts";
import { parseDecision } from "./parse-decision.ts";
import { parseResponse } from "./parse-response.ts";
import { parseVisible } from "./parse-visible.ts";

/**
 * WebAssembly memory never shrinks: where an evaluation grew it by 16 MiB, it is given back and another one begun, but not
 * more often than this. What is given back is freed late; between, the grown memory is used again.
 */
const MEMORY_GROWTH_BYTES_MAX = 16 * 1024 * 1024;
const GIVE_BACK_MS = 60_000;
/**
 * The module and its data loaded once, so an instance that cannot be made again lacks the host's memory. Trying costs up
 * to a quarter of a second with large data, which must not be paid by every exchange of a flood.
 */
const INSTANCE_RETRY_MS = 5000;
/** Most policies answer with few distinct decisions; their parsed form is kept by the text. */
const PARSED_DECISIONS_MAX = 256;
const PARSED_TEXT_LENGTH_MAX = 1024;

export interface Evaluator {
  /** `inputJson` is the whole `input` document; `timeMs` is Unix milliseconds, the only clock a policy has. */
  decide(inputJson: string, timeMs: number): Result<Decision, Denial>;
  /** The same decision as for `{claims,rest}`. */
  decideSplit(input: SplitInput, timeMs: number): Result<Decision, Denial>;
  /** The names of a list, `input.list`, that may be shown. */
  visibleSplit(input: SplitInput, timeMs: number): Result<ReadonlySet<string>, Denial>;
  /** Of an answer, `input.response`. */
  respondSplit(input: SplitInput, timeMs: number): Result<ResponseVerdict, Denial>;
  /** Whether the policy has this entry point. */
  has(entry: string): boolean;
  /** The raw result of any entry point of the bundle. Errors: policy.error, policy.undefined. */
  evaluateEntry(name: string, inputJson: string, timeMs: number): Result<unknown, Denial>;
}

const describe = (cause: unknown): string =>
  cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);

/**
 * Compiles nothing and does no I/O; instantiating takes about a millisecond. Throws if the module or data does not load.
 * Its data never changes: other data is another evaluator.
 */
export function createEvaluator(options: EvaluatorOptions): Evaluator {
  let instance: Instance | undefined = createInstance(options);
  const { entrypoints } = instance;
  let memory: WebAssembly.Memory | undefined = instance.memory;
  const bytesAfterLoad = memory.buffer.byteLength;
  let gaveBackAtMs = Number.NEGATIVE_INFINITY;
  let failure: { readonly denial: Denial; readonly atMs: number } | undefined;
  const parsed = new Map<string, Result<Decision, Denial>>();

  function renew(timeMs: number): Result<Instance, Denial> {
    // A clock that was set back counts as time that passed.
    if (failure !== undefined && Math.abs(timeMs - failure.atMs) < INSTANCE_RETRY_MS) return err(failure.denial);
    try {
      instance = createInstance(options, memory);
      memory = instance.memory;
      failure = undefined;
      return ok(instance);
    } catch (cause) {
      failure = { denial: deny("policy.error", describe(cause)), atMs: timeMs };
      return err(failure.denial);
    }
  }

  /** Whether another memory is to be begun. */
  function giveBack(timeMs: number): boolean {
    const grown = (memory?.buffer.byteLength ?? 0) - bytesAfterLoad > MEMORY_GROWTH_BYTES_MAX;
    if (!grown || Math.abs(timeMs - gaveBackAtMs) < GIVE_BACK_MS) return false;
    gaveBackAtMs = timeMs;
    memory = undefined;
    return true;
  }

  function run(
    entry: string,
    timeMs: number,
    evaluate: (instance: Instance, id: number) => string,
  ): Result<string, Denial> {
    const ready = instance === undefined ? renew(timeMs) : ok(instance);
    if (!ready.ok) return ready;
    try {
      const id = ready.value.entrypoints.get(entry);
      if (id === undefined) return err(deny("policy.undefined", `no entry point ${entry}`));
      const text = evaluate(ready.value, id);
      if (giveBack(timeMs)) instance = undefined;
      return ok(text);
    } catch (cause) {
      // A trap leaves the heap in an unknown state.
      instance = undefined;
      giveBack(timeMs);
      return err(deny("policy.error", describe(cause)));
    }
  }

  function firstResult(text: string): Result<unknown, Denial> {
    try {
      const set = JSON.parse(text) as unknown;
      if (!Array.isArray(set)) return err(deny("policy.error", "the result set is not a list"));
      if (set.length === 0) return err(deny("policy.undefined"));
      return ok((set[0] as { readonly result?: unknown }).result);
    } catch (cause) {
      return err(deny("policy.error", describe(cause)));
    }
  }

  function decisionOf(text: Result<string, Denial>): Result<Decision, Denial> {
    if (!text.ok) return text;
    const known = parsed.get(text.value);
    if (known !== undefined) return known;
    const result = firstResult(text.value);
    const decision = result.ok ? parseDecision(result.value) : result;
    if (text.value.length <= PARSED_TEXT_LENGTH_MAX) {
      if (parsed.size >= PARSED_DECISIONS_MAX) parsed.clear();
      parsed.set(text.value, decision);
    }
    return decision;
  }

  /** What another entry point than the decision's says. */
  function ask<T>(
    entry: string,
    input: SplitInput,
    timeMs: number,
    parse: (value: unknown) => Result<T, Denial>,
  ): Result<T, Denial> {
    const text = run(entry, timeMs, (one, id) => one.evaluateSplit(id, input, timeMs));
    const result = text.ok ? firstResult(text.value) : text;
    return result.ok ? parse(result.value) : result;
  }

  return {
    decide: (inputJson, timeMs) =>
      decisionOf(run(DECISION_ENTRYPOINT, timeMs, (one, id) => one.evaluate(id, inputJson, timeMs))),
    decideSplit: (input, timeMs) =>
      decisionOf(run(DECISION_ENTRYPOINT, timeMs, (one, id) => one.evaluateSplit(id, input, timeMs))),
    visibleSplit: (input, timeMs) => ask(VISIBLE_ENTRYPOINT, input, timeMs, parseVisible),
    respondSplit: (input, timeMs) => ask(RESPONSE_ENTRYPOINT, input, timeMs, parseResponse),
    has: (entry) => entrypoints.has(entry),
    evaluateEntry(name, inputJson, timeMs) {
      const text = run(name, timeMs, (one, id) => one.evaluate(id, inputJson, timeMs));
      return text.ok ? firstResult(text.value) : text;
    },
  };
}
