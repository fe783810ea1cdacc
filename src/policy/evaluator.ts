// In: a compiled policy module, its data, and one input as JSON text. Out: a Decision, or a denial; never a throw.
// Trusts: the module's memory only as far as it stays bounded; after any trap the instance is thrown away.
//
// Speaks OPA's WebAssembly ABI 1.2+ (openpolicyagent.org/docs/wasm) itself: the SDK's own `sprintf` and `yaml`
// differ from OPA's and cannot be replaced, it prints to the console, and it reparses numbers beyond 2^53.
import { type Denial, deny } from "../errors.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { HOST_BUILTINS, type HostBuiltin } from "./builtins.ts";
import type { Decision } from "./decision.ts";
import { DECISION_ENTRYPOINT } from "./parse-bundle.ts";
import { parseDecision } from "./parse-decision.ts";

/** The SDK's own start size, 320 KiB; the module grows it as its data needs. */
const MEMORY_PAGES_INITIAL = 5;
const PAGE_BYTES = 65_536;
/** WebAssembly memory never shrinks: an instance that one evaluation grew by 16 MiB is replaced. */
const MEMORY_GROWTH_BYTES_MAX = 16 * 1024 * 1024;
/**
 * The module and its data loaded once, so an instance that cannot be made again lacks the host's memory. Trying costs up
 * to a quarter of a second with large data, which must not be paid by every exchange of a flood.
 */
const INSTANCE_RETRY_MS = 5000;
/** What an abort may say in the log. */
const ABORT_MESSAGE_BYTES_MAX = 1024;
/** Most policies answer with few distinct decisions; their parsed form is kept by the text. */
const PARSED_DECISIONS_MAX = 256;
const PARSED_TEXT_LENGTH_MAX = 1024;

export interface EvaluatorOptions {
  readonly module: WebAssembly.Module;
  /** The `data` document, JSON text. */
  readonly dataJson: string;
  /** 64 KiB each. */
  readonly memoryPagesMax: number;
}

export interface Evaluator {
  /** `inputJson` is the whole `input` document; `timeMs` is Unix milliseconds, the only clock a policy has. */
  decide(inputJson: string, timeMs: number): Result<Decision, Denial>;
  /** The raw result of any entry point of the bundle. Errors: policy.error, policy.undefined. */
  evaluateEntry(name: string, inputJson: string, timeMs: number): Result<unknown, Denial>;
}

interface Exports {
  readonly opa_malloc: (bytes: number) => number;
  readonly opa_json_parse: (address: number, bytes: number) => number;
  readonly opa_json_dump: (value: number) => number;
  readonly opa_value_dump: (value: number) => number;
  readonly opa_heap_ptr_get: () => number;
  readonly opa_eval: (
    reserved: number,
    entrypoint: number,
    data: number,
    input: number,
    inputBytes: number,
    heap: number,
    format: number,
  ) => number;
  readonly builtins: () => number;
  readonly entrypoints: () => number;
  readonly opa_wasm_abi_version: { readonly value: number };
  readonly opa_wasm_abi_minor_version: { readonly value: number };
}

interface Instance {
  readonly entrypoints: ReadonlyMap<string, number>;
  readonly bytesAfterLoad: number;
  bytes(): number;
  /** The result set as JSON text. Throws on a trap, an abort, or exhausted memory. */
  evaluate(entrypoint: number, inputJson: string, timeMs: number): string;
}

const describe = (cause: unknown): string =>
  cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);

function createInstance({ module, dataJson, memoryPagesMax }: EvaluatorOptions): Instance {
  const memory = new WebAssembly.Memory({
    initial: Math.min(MEMORY_PAGES_INITIAL, memoryPagesMax),
    maximum: memoryPagesMax,
  });
  let view = Buffer.from(memory.buffer);
  // Growing detaches the old buffer, so the view is renewed whenever the buffer is another.
  const bytes = (): Buffer => {
    if (view.buffer !== memory.buffer) view = Buffer.from(memory.buffer);
    return view;
  };
  const readText = (address: number): string => {
    const end = bytes().indexOf(0, address);
    return view.toString("utf8", address, end < 0 ? view.length : end);
  };
  const readAbort = (address: number): string => {
    const part = bytes().subarray(address, address + ABORT_MESSAGE_BYTES_MAX);
    const end = part.indexOf(0);
    return part.toString("utf8", 0, end < 0 ? part.length : end);
  };

  let clockMs = 0;
  let builtins: readonly (HostBuiltin | undefined)[] = [];
  const loadJson = (json: string): number => {
    const length = Buffer.byteLength(json);
    const address = exports.opa_malloc(length);
    bytes().write(json, address, "utf8");
    const value = exports.opa_json_parse(address, length);
    if (value === 0) throw new Error("a JSON value could not be loaded");
    return value;
  };
  const call = (id: number, _context: number, ...args: number[]): number => {
    const builtin = builtins[id];
    if (builtin === undefined) throw new Error(`built-in function ${id} is not provided`);
    const dump = builtin.rego === true ? exports.opa_value_dump : exports.opa_json_dump;
    const result = builtin.call(
      args.map((address) => readText(dump(address))),
      clockMs,
    );
    // Address 0 is "undefined": how OPA itself treats a built-in that was given what it cannot use.
    return result === undefined ? 0 : loadJson(result);
  };

  const instance = new WebAssembly.Instance(module, {
    env: {
      memory,
      opa_abort: (address: number) => {
        throw new Error(readAbort(address));
      },
      // `print` would put input into a stream that nobody redacts.
      opa_println: () => undefined,
      opa_builtin0: call,
      opa_builtin1: call,
      opa_builtin2: call,
      opa_builtin3: call,
      opa_builtin4: call,
    },
  });
  const exports = instance.exports as unknown as Exports;
  if (exports.opa_wasm_abi_version?.value !== 1 || !(exports.opa_wasm_abi_minor_version?.value >= 2)) {
    throw new Error("the module does not speak OPA's WebAssembly ABI 1.2");
  }

  const names = JSON.parse(readText(exports.opa_json_dump(exports.builtins()))) as Record<string, number>;
  const table: (HostBuiltin | undefined)[] = [];
  for (const [name, id] of Object.entries(names)) {
    const builtin = HOST_BUILTINS.get(name);
    if (builtin === undefined) throw new Error(`the policy needs the built-in ${name}, which is not provided`);
    table[id] = builtin;
  }
  builtins = table;
  const entrypoints = JSON.parse(readText(exports.opa_json_dump(exports.entrypoints()))) as Record<string, number>;
  const data = loadJson(dataJson);
  const heap = exports.opa_heap_ptr_get();

  return {
    entrypoints: new Map(Object.entries(entrypoints)),
    bytesAfterLoad: memory.buffer.byteLength,
    bytes: () => memory.buffer.byteLength,
    evaluate(entrypoint, inputJson, timeMs) {
      // The input is written straight to the heap; opa_eval starts its own heap behind it, so nothing is ever freed.
      // UTF-8 takes at most three bytes for a UTF-16 unit; the exact count is only taken when that does not fit.
      let room = memory.buffer.byteLength - heap;
      if (inputJson.length * 3 > room) {
        const missing = Buffer.byteLength(inputJson) - room;
        if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
        room = memory.buffer.byteLength - heap;
      }
      const length = bytes().write(inputJson, heap, room, "utf8");
      clockMs = timeMs;
      return readText(exports.opa_eval(0, entrypoint, data, heap, length, heap + length, 0));
    },
  };
}

/**
 * Compiles nothing and does no I/O; instantiating takes about a millisecond. Throws if the module or data does not load.
 * Its data never changes: other data is another evaluator.
 */
export function createEvaluator(options: EvaluatorOptions): Evaluator {
  let instance: Instance | undefined = createInstance(options);
  let failure: { readonly denial: Denial; readonly atMs: number } | undefined;
  const parsed = new Map<string, Result<Decision, Denial>>();

  function renew(timeMs: number): Result<Instance, Denial> {
    // A clock that was set back counts as time that passed.
    if (failure !== undefined && Math.abs(timeMs - failure.atMs) < INSTANCE_RETRY_MS) return err(failure.denial);
    try {
      instance = createInstance(options);
      failure = undefined;
      return ok(instance);
    } catch (cause) {
      failure = { denial: deny("policy.error", describe(cause)), atMs: timeMs };
      return err(failure.denial);
    }
  }

  function run(entry: string, inputJson: string, timeMs: number): Result<string, Denial> {
    const ready = instance === undefined ? renew(timeMs) : ok(instance);
    if (!ready.ok) return ready;
    try {
      const id = ready.value.entrypoints.get(entry);
      if (id === undefined) return err(deny("policy.undefined", `no entry point ${entry}`));
      const text = ready.value.evaluate(id, inputJson, timeMs);
      if (ready.value.bytes() - ready.value.bytesAfterLoad > MEMORY_GROWTH_BYTES_MAX) instance = undefined;
      return ok(text);
    } catch (cause) {
      // A trap leaves the heap in an unknown state.
      instance = undefined;
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

  return {
    decide(inputJson, timeMs) {
      const text = run(DECISION_ENTRYPOINT, inputJson, timeMs);
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
    },
    evaluateEntry(name, inputJson, timeMs) {
      const text = run(name, inputJson, timeMs);
      return text.ok ? firstResult(text.value) : text;
    },
  };
}
