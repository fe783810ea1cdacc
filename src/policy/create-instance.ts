// In: a compiled policy module and its data. Out: an instance that answers for one input after the other, or throws.
// Trusts: the module's memory only as far as it stays bounded; after any trap its user throws the instance away.
//
// Speaks OPA's WebAssembly ABI 1.2+ (openpolicyagent.org/docs/wasm) itself: the SDK's own `sprintf` and `yaml`
// differ from OPA's and cannot be replaced, it prints to the console, and it reparses numbers beyond 2^53.
import { HOST_BUILTINS, type HostBuiltin } from "./builtins.ts";

/** The SDK's own start size, 320 KiB; the module grows it as its data needs. */
const MEMORY_PAGES_INITIAL = 5;
const PAGE_BYTES = 65_536;
/** What an abort may say in the log. */
const ABORT_MESSAGE_BYTES_MAX = 1024;
/**
 * Claims are two thirds of an input and the same for every exchange of a token: parsed, they are kept in the instance's
 * memory, below the heap of an evaluation. Beyond this all are forgotten at once: 500 to 1000 agents, in bytes.
 */
const CLAIMS_BYTES_MAX = 4 * 1024 * 1024;
/** Of an instance's memory at most this part is for claims: the rest is the policy's. */
const CLAIMS_SHARE = 1 / 8;
/** Claims are kept when they come a second time; so many that came once are remembered. */
const CLAIMS_SEEN_MAX = 1024;

export interface EvaluatorOptions {
  readonly module: WebAssembly.Module;
  /** The `data` document, JSON text. */
  readonly dataJson: string;
  /** 64 KiB each. */
  readonly memoryPagesMax: number;
}

/** An input in two parts, each JSON members without braces. Together they are the whole `input` document. */
export interface SplitInput {
  /** The same text for every exchange of a token (`Agent.claimsJson`). */
  readonly claims: string;
  readonly rest: string;
}

interface Exports {
  readonly opa_malloc: (bytes: number) => number;
  readonly opa_json_parse: (address: number, bytes: number) => number;
  readonly opa_json_dump: (value: number) => number;
  readonly opa_value_dump: (value: number) => number;
  readonly opa_heap_ptr_get: () => number;
  readonly opa_heap_ptr_set: (address: number) => void;
  readonly opa_value_add_path: (base: number, path: number, value: number) => number;
  readonly opa_eval_ctx_new: () => number;
  readonly opa_eval_ctx_set_input: (context: number, value: number) => void;
  readonly opa_eval_ctx_set_data: (context: number, value: number) => void;
  readonly opa_eval_ctx_set_entrypoint: (context: number, id: number) => void;
  readonly opa_eval_ctx_get_result: (context: number) => number;
  readonly eval: (context: number) => number;
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

export interface Instance {
  readonly entrypoints: ReadonlyMap<string, number>;
  readonly memory: WebAssembly.Memory;
  /** The result set as JSON text. Throws on a trap, an abort, or exhausted memory. */
  evaluate(entrypoint: number, inputJson: string, timeMs: number): string;
  evaluateSplit(entrypoint: number, input: SplitInput, timeMs: number): string;
}

/** One member of the claims, parsed: addresses of its path (`["agent"]`) and of its value. */
interface KeptMember {
  readonly path: number;
  readonly value: number;
}

/**
 * Throws where the module or the data does not load. `used`: the memory of an instance that was thrown away. A new one
 * for each would be garbage that the collector finds late: a flood of evaluations that trap would hold gigabytes.
 */
export function createInstance(
  { module, dataJson, memoryPagesMax }: EvaluatorOptions,
  used?: WebAssembly.Memory,
): Instance {
  const initial = Math.min(MEMORY_PAGES_INITIAL, memoryPagesMax);
  const memory = used ?? new WebAssembly.Memory({ initial, maximum: memoryPagesMax });
  // All zero, it differs from a new one in its size alone.
  if (used !== undefined) new Uint8Array(used.buffer).fill(0);
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
  const base = exports.opa_heap_ptr_get();
  /** Where an evaluation's heap begins: behind the claims that are kept. */
  let heap = base;
  const kept = new Map<string, readonly KeptMember[]>();
  const seen = new Set<string>();
  const claimsBytesMax = Math.min(CLAIMS_BYTES_MAX, memoryPagesMax * PAGE_BYTES * CLAIMS_SHARE);

  /** Writes a text to the heap and returns its bytes. Nothing is ever freed: the next evaluation begins there again. */
  const writeInput = (text: string): number => {
    // UTF-8 takes at most three bytes for a UTF-16 unit; the exact count is only taken when that does not fit.
    let room = memory.buffer.byteLength - heap;
    if (text.length * 3 > room) {
      const missing = Buffer.byteLength(text) - room;
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
      room = memory.buffer.byteLength - heap;
    }
    return bytes().write(text, heap, room, "utf8");
  };

  /** The parsed members of claims that came before; undefined where they come for the first time. */
  const membersOf = (claims: string): readonly KeptMember[] | undefined => {
    const known = kept.get(claims);
    if (known !== undefined) return known;
    if (!seen.delete(claims)) {
      if (seen.size >= CLAIMS_SEEN_MAX) seen.clear();
      seen.add(claims);
      return undefined;
    }
    if (heap - base > claimsBytesMax) {
      kept.clear();
      heap = base;
    }
    exports.opa_heap_ptr_set(heap);
    const members: KeptMember[] = [];
    for (const [name, value] of Object.entries(JSON.parse(`{${claims}}`) as Record<string, unknown>)) {
      members.push({ path: loadJson(JSON.stringify([name])), value: loadJson(JSON.stringify(value)) });
    }
    heap = exports.opa_heap_ptr_get();
    kept.set(claims, members);
    return members;
  };

  const evaluate = (entrypoint: number, inputJson: string, timeMs: number): string => {
    // The input is written straight to the heap; opa_eval starts its own heap behind it.
    const length = writeInput(inputJson);
    clockMs = timeMs;
    return readText(exports.opa_eval(0, entrypoint, data, heap, length, heap + length, 0));
  };

  return {
    entrypoints: new Map(Object.entries(entrypoints)),
    memory,
    evaluate,
    evaluateSplit(entrypoint, { claims, rest }, timeMs) {
      const members = membersOf(claims);
      if (members === undefined) return evaluate(entrypoint, `{${claims},${rest}}`, timeMs);
      const length = writeInput(`{${rest}}`);
      exports.opa_heap_ptr_set(heap + length);
      const input = exports.opa_json_parse(heap, length);
      if (input === 0) throw new Error("the input could not be loaded");
      for (const { path, value } of members) exports.opa_value_add_path(input, path, value);
      const context = exports.opa_eval_ctx_new();
      exports.opa_eval_ctx_set_input(context, input);
      exports.opa_eval_ctx_set_data(context, data);
      exports.opa_eval_ctx_set_entrypoint(context, entrypoint);
      clockMs = timeMs;
      if (exports.eval(context) !== 0) throw new Error("the evaluation failed");
      return readText(exports.opa_json_dump(exports.opa_eval_ctx_get_result(context)));
    },
  };
}
