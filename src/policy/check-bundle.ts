// In: a bundle that parsed, and the limits it will live under. Out: nothing, or every reason not to activate it.
// Trusts: nothing; it runs the policy, so a policy that loops is only safe here in a thread that can be ended.
import type { Config } from "../config/schema.ts";
import type { Denial } from "../errors.ts";
import { err, ok, type Result } from "../lib/result.ts";
import type { PolicyInput } from "./decision.ts";
import { createEvaluator, type Evaluator } from "./evaluator.ts";
import { type Bundle, RESPONSE_ENTRYPOINT, VISIBLE_ENTRYPOINT } from "./parse-bundle.ts";
import { parseResponse } from "./parse-response.ts";
import { parseVisible } from "./parse-visible.ts";

/** Of the configuration's `policy` section. */
export type BundleLimits = Pick<Config["policy"], "input_bytes_max" | "memory_pages_max" | "evaluation_budget_ms">;

const SAMPLE_TIME = "2026-01-01T12:00:00.000Z";
const SAMPLE_TIME_MS = Date.parse(SAMPLE_TIME);
/** A machine that is busy for a moment must not fail a policy that is fast enough. */
const BUDGET_ATTEMPTS = 3;

/** A complete input that no policy is expected to know. */
export const SAMPLE_INPUT: PolicyInput = {
  agent: {
    id: "spiffe://cordon.invalid/agent/check/check/1",
    trust_domain: "cordon.invalid",
    orchestration: "check",
    task: "check",
    instance: "1",
  },
  principal: { type: "user", id: "check", issuer: "https://cordon.invalid", attributes: {} },
  intent: {
    task: "check",
    purpose: "check",
    scope: ["read:check:1"],
    details: [],
    constraints: {},
    expires_at: SAMPLE_TIME,
  },
  provenance: {
    model: "check",
    model_version: "1",
    deployment: "check",
    environment: "check",
    config_digest: "",
    image_digest: "",
    prompt_digest: "",
    publisher: "",
    verified: false,
  },
  session: {
    id: "check",
    root_request: "check",
    initiator: { type: "user", id: "check" },
    depth: 0,
    chain: [],
    labels: [],
  },
  token: { issuer: "https://cordon.invalid", jti: "check", binding: "dpop", expires_at: SAMPLE_TIME },
  action: { kind: "http", method: "POST", tool: "check", arguments: {}, http: { method: "POST" } },
  resource: {
    route: "check",
    type: "check",
    classification: "check",
    owner: "",
    attributes: {},
    params: {},
    host: "cordon.invalid",
    path: ["check"],
    query: {},
  },
  environment: { time: SAMPLE_TIME, source_ip: "127.0.0.1", gateway: "check" },
};

/** A valid input of exactly `bytes` bytes (never less than the sample's own): many members, the costly shape to parse. */
export function largestInput(bytes: number): string {
  const fields: Record<string, string> = {};
  const make = (): string =>
    JSON.stringify({ ...SAMPLE_INPUT, action: { ...SAMPLE_INPUT.action, arguments: { fields } } });
  const entry = '"f0000000":"0123456789abcdef",'.length;
  const count = Math.floor((bytes - make().length) / entry) - 1;
  for (let index = 0; index < count; index += 1) fields[`f${String(index).padStart(7, "0")}`] = "0123456789abcdef";
  const rest = bytes - make().length - '"last":"",'.length;
  if (rest >= 0) fields["last"] = "x".repeat(rest + (count > 0 ? 0 : 1));
  return make();
}

function denies(evaluator: Evaluator, input: unknown, what: string): string[] {
  const decision = evaluator.decide(JSON.stringify(input), SAMPLE_TIME_MS);
  if (!decision.ok)
    return [
      `${what}: ${decision.error.reason}${decision.error.detail === undefined ? "" : ` (${decision.error.detail})`}`,
    ];
  return decision.value.allow ? [`${what}: the policy allows it; it must deny by default`] : [];
}

/** A list with one item, as a route of kind `mcp` asks about it. */
const SAMPLE_LIST = { kind: "tools", items: [{ name: "check", annotations: { readOnlyHint: true } }] };

/** An answer with little in it, as any route may ask about it. */
const SAMPLE_RESPONSE = { kind: "document", status: 200, content_type: "application/json", body: { check: true } };

/** Nothing where the bundle has no such entry point: then nothing passes that it would be asked about. */
function checkOptional<T>(
  bundle: Bundle,
  evaluator: Evaluator,
  entry: {
    readonly name: string;
    readonly asked: Readonly<Record<string, unknown>>;
    readonly parse: (value: unknown) => Result<T, Denial>;
    /** What is wrong with an answer to an input that nobody is to be allowed anything for, or null. */
    readonly fault: (answer: T) => string | null;
  },
): string[] {
  if (!bundle.entrypoints.includes(entry.name)) return [];
  const problems: string[] = [];
  const ask = (input: unknown, what: string): void => {
    const raw = evaluator.evaluateEntry(entry.name, JSON.stringify(input), SAMPLE_TIME_MS);
    const answer = raw.ok ? entry.parse(raw.value) : raw;
    const fault = answer.ok ? entry.fault(answer.value) : null;
    // Undefined lets nothing pass, which is what these inputs are to get.
    if (!answer.ok && answer.error.reason !== "policy.undefined")
      problems.push(`${entry.name}, ${what}: ${describeDenial(answer.error)}`);
    if (fault !== null) problems.push(`${entry.name}, ${what}: ${fault}`);
  };
  const { agent: _agent, ...agentless } = SAMPLE_INPUT;
  ask(entry.asked, "an empty input");
  ask({ ...agentless, ...entry.asked }, "an input without an agent");
  return problems;
}

function describeDenial({ reason, detail }: Denial): string {
  return detail === undefined ? reason : `${reason} (${detail})`;
}

/** Activation checks. `monotonicMs` is handed in. Errors are sentences for the operator. */
export function checkBundle(bundle: Bundle, limits: BundleLimits, monotonicMs: () => number): Result<void, string[]> {
  let evaluator: Evaluator;
  try {
    const module = new WebAssembly.Module(bundle.wasm);
    evaluator = createEvaluator({ module, dataJson: bundle.dataJson, memoryPagesMax: limits.memory_pages_max });
  } catch (cause) {
    return err([`the policy does not load: ${cause instanceof Error ? cause.message : String(cause)}`]);
  }

  const { agent: _agent, ...agentless } = SAMPLE_INPUT;
  const sample = evaluator.decide(JSON.stringify(SAMPLE_INPUT), SAMPLE_TIME_MS);
  const problems = [
    ...(sample.ok
      ? []
      : [
          `a sample input: ${sample.error.reason}${sample.error.detail === undefined ? "" : ` (${sample.error.detail})`}`,
        ]),
    ...denies(evaluator, {}, "an empty input"),
    ...denies(evaluator, agentless, "an input without an agent"),
    ...checkOptional(bundle, evaluator, {
      name: VISIBLE_ENTRYPOINT,
      asked: { list: SAMPLE_LIST },
      parse: parseVisible,
      fault: (names) => (names.size > 0 ? "the policy shows it; it must show nothing by default" : null),
    }),
    ...checkOptional(bundle, evaluator, {
      name: RESPONSE_ENTRYPOINT,
      asked: { response: SAMPLE_RESPONSE },
      parse: parseResponse,
      fault: ({ allow }) => (allow ? "the policy lets it pass; it must withhold by default" : null),
    }),
  ];

  const large = largestInput(limits.input_bytes_max);
  let fastestMs = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < BUDGET_ATTEMPTS && fastestMs > limits.evaluation_budget_ms; attempt += 1) {
    const startMs = monotonicMs();
    const decision = evaluator.decide(large, SAMPLE_TIME_MS);
    fastestMs = Math.min(fastestMs, monotonicMs() - startMs);
    if (!decision.ok) {
      problems.push(
        `the largest allowed input (${large.length} bytes): ${decision.error.reason}${decision.error.detail === undefined ? "" : ` (${decision.error.detail})`}`,
      );
      break;
    }
  }
  if (fastestMs > limits.evaluation_budget_ms) {
    problems.push(
      `the largest allowed input takes ${fastestMs.toFixed(0)} ms; evaluation_budget_ms is ${limits.evaluation_budget_ms}`,
    );
  }
  return problems.length === 0 ? ok(undefined) : err(problems);
}
