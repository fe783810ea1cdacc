// In: the words of the command line. Out: what to measure and for how long, or one line that says what is wrong.
// Trusts: nothing; an unknown option is refused, so that a mistyped run is not taken for the wanted one.
import { parseArgs } from "node:util";
import { err, ok, type Result } from "../src/lib/result.ts";

/** Groups of rows that can be measured alone. */
export const PARTS = [
  "all-checks",
  "mtls-bound",
  "latency",
  "many-agents",
  "deny-flood",
  "two-threads",
  "ablation",
  "chain",
  "spawn",
  "mcp",
] as const;
export type Part = (typeof PARTS)[number];

/** The rows that the bars speak of. Each stands in the report of its part: where it has no figure, with the reason. */
export const NAMED_ROWS: Readonly<Record<Part, Readonly<Record<string, string>>>> = {
  "all-checks": { "all-checks": "ratio", strict: "ratio" },
  "mtls-bound": { "mtls-bound": "ratio" },
  latency: { "latency-p50": "ms", "latency-p99": "ms" },
  "many-agents": { "many-agents-warm": "ratio", "many-agents-cold": "ratio" },
  "deny-flood": { "deny-flood": "ratio" },
  "two-threads": { "two-threads": "ratio" },
  ablation: { "policy-large": "ms" },
  chain: { "chain-5-first": "ms", "chain-5-warm": "ratio" },
  spawn: { "spawn-p99": "ms", "spawn-rate": "spawns/s", "spawn-100k": "ms" },
  mcp: {
    "mcp-call-1k": "ratio",
    "mcp-call-64k": "ratio",
    "mcp-list-500": "ms",
    "sse-delay-p99": "ms",
    "streams-1000": "MB",
  },
};

/** How long and how often. A pair is one round of the bare proxy and one of the gateway, one after the other. */
export interface Plan {
  readonly pairs: number;
  readonly roundS: number;
  /** The gateway has far more code than the bare proxy, and the compiler is busy with it for some ten seconds. */
  readonly warmUpS: number;
  /** Rounds of each gateway in the row `two-threads`. */
  readonly threadRounds: number;
  /** Rounds of a gateway with a step left out; 0: only the loops of bench/micro. */
  readonly ablationRounds: number;
  readonly latencyPairs: number;
  readonly latencyS: number;
  /** Agents, each with a key and a token of its own, in the rows `many-agents-*`; alive in the database of `spawn-100k`. */
  readonly manyAgents: number;
  /** Pairs of runs at a constant rate of launches, with an empty and with a full database; also the length of each. */
  readonly spawnPairs: number;
  readonly spawnS: number;
  /** Tokens of five hops, each met for the first time once a sample. */
  readonly chainTokens: number;
  /** Pairs of the proven load alone and with the flood, for each of the two places that the flood comes from. */
  readonly floodPairs: number;
  readonly floodS: number;
  /** Pairs of runs of the rows `mcp-list-500` and `sse-delay-p99`; lists in a run of the one, and the length of the other. */
  readonly livePairs: number;
  readonly lists: number;
  readonly eventsS: number;
  /** Gateways that are started for the row `streams-1000`, and how many streams each has to hold. */
  readonly streamRounds: number;
  readonly openStreams: number;
  /** Milliseconds for one sample of an ablation loop, and the number of samples. */
  readonly microMs: number;
  readonly microSamples: number;
  /** The bare proxy once more: with requests that carry no credentials, and as it is written most often. */
  readonly otherBareProxies: boolean;
}

export interface BenchOptions {
  readonly mode: "full" | "quick" | "smoke";
  readonly plan: Plan;
  readonly parts: ReadonlySet<Part>;
  readonly json: boolean;
  readonly profile: boolean;
  readonly help: boolean;
  /** Core numbers; undefined: chosen from those that the process may use. */
  readonly loadCore: number | undefined;
  readonly gatewayCore: number | undefined;
}

export const USAGE = `npm run bench -- [options]
  --quick            three short pairs; the whole run takes less than three minutes
  --smoke            a few seconds to see that everything runs; its figures mean nothing
  --only PART        one of ${PARTS.join(", ")}; may be repeated
  --json             {"rows":[{"name","figure","unit"}], "machine", "notes"} on standard output
  --profile          samples the gateway under load instead, and prints where its time goes
  --load-core N      the core of load generator and upstream
  --gateway-core N   the core of the gateway and of the bare proxy, in turn
`;

const FULL: Plan = {
  pairs: 5,
  roundS: 4,
  warmUpS: 12,
  threadRounds: 5,
  ablationRounds: 3,
  latencyPairs: 7,
  latencyS: 5,
  manyAgents: 100_000,
  spawnPairs: 5,
  spawnS: 6,
  chainTokens: 200,
  floodPairs: 5,
  floodS: 5,
  livePairs: 5,
  lists: 200,
  eventsS: 5,
  streamRounds: 3,
  openStreams: 1000,
  microMs: 60,
  microSamples: 15,
  otherBareProxies: true,
};
const QUICK: Plan = {
  pairs: 3,
  roundS: 1,
  warmUpS: 1,
  threadRounds: 2,
  ablationRounds: 0,
  latencyPairs: 2,
  latencyS: 1,
  manyAgents: 5000,
  spawnPairs: 2,
  spawnS: 2,
  chainTokens: 60,
  floodPairs: 2,
  floodS: 1,
  livePairs: 2,
  lists: 40,
  eventsS: 2,
  streamRounds: 1,
  openStreams: 1000,
  microMs: 25,
  microSamples: 7,
  otherBareProxies: false,
};
/** wrk counts whole seconds, so a round of the smoke run takes one too. */
const SMOKE: Plan = {
  pairs: 1,
  roundS: 1,
  warmUpS: 0,
  threadRounds: 1,
  ablationRounds: 0,
  latencyPairs: 1,
  latencyS: 0.3,
  manyAgents: 500,
  spawnPairs: 1,
  spawnS: 0.4,
  chainTokens: 10,
  floodPairs: 1,
  floodS: 0.3,
  livePairs: 1,
  lists: 5,
  eventsS: 0.3,
  streamRounds: 1,
  openStreams: 100,
  microMs: 2,
  microSamples: 1,
  otherBareProxies: false,
};

export function parseBenchArguments(words: readonly string[]): Result<BenchOptions, string> {
  const parsed = readWords(words);
  if (!parsed.ok) return parsed;
  const { values } = parsed.value;
  if (values.quick && values.smoke) return err("--quick and --smoke exclude each other");
  const mode = values.smoke ? "smoke" : values.quick ? "quick" : "full";
  const parts = new Set<Part>();
  for (const name of values.only ?? PARTS) {
    const part = PARTS.find((one) => one === name);
    if (part === undefined) return err(`--only ${name}: one of ${PARTS.join(", ")}`);
    parts.add(part);
  }
  const loadCore = readCore(values["load-core"]);
  const gatewayCore = readCore(values["gateway-core"]);
  if (Number.isNaN(loadCore) || Number.isNaN(gatewayCore)) return err("a core is a whole number from 0");
  return ok({
    mode,
    plan: { full: FULL, quick: QUICK, smoke: SMOKE }[mode],
    parts,
    json: values.json,
    profile: values.profile,
    help: values.help,
    loadCore,
    gatewayCore,
  });
}

function readWords(words: readonly string[]) {
  try {
    return ok(
      parseArgs({
        args: [...words],
        options: {
          quick: { type: "boolean", default: false },
          smoke: { type: "boolean", default: false },
          only: { type: "string", multiple: true },
          json: { type: "boolean", default: false },
          profile: { type: "boolean", default: false },
          help: { type: "boolean", default: false },
          "load-core": { type: "string" },
          "gateway-core": { type: "string" },
        },
      }),
    );
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}

function readCore(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  return /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
}
