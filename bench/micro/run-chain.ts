// In: the plan as JSON. Out: one line of JSON: what the token room takes for a chain of five hops, in microseconds.
// First: a token that was never seen, with its issuer's signature and those of five delegators. Warm: the whole proof of
// the caller, token and DPoP, for a token that is known, in turn with the same for an agent that nobody delegated to.
import type { Plan } from "../arguments.ts";
import { createChainChecks } from "./chain-checks.ts";
import { cpuUsPerCall } from "./cpu-per-call.ts";
import { median } from "../rows.ts";

export interface ChainFigures {
  readonly firstUs: number;
  readonly warmUs: number;
  readonly warmDepth0Us: number;
  readonly ratio: number;
  readonly tokenBytes: number;
}

const plan = JSON.parse(process.argv[2] ?? "{}") as Plan;
const { first, warm, warmDepth0, tokenBytes } = createChainChecks(plan.chainTokens);
const firstUs = await cpuUsPerCall(first, plan);
const pairs: { five: number; none: number }[] = [];
// In pairs, one sample each, so that a slow moment of the machine meets both sides.
for (let pair = 0; pair < plan.microSamples; pair++) {
  const one = { microMs: plan.microMs, microSamples: 1 };
  const order = pair % 2 === 0 ? [warm, warmDepth0] : [warmDepth0, warm];
  const figures = new Map<typeof warm, number>();
  for (const check of order) figures.set(check, await cpuUsPerCall(check, one));
  pairs.push({ five: figures.get(warm) ?? Number.NaN, none: figures.get(warmDepth0) ?? Number.NaN });
}
const figures: ChainFigures = {
  firstUs,
  warmUs: median(pairs.map(({ five }) => five)),
  warmDepth0Us: median(pairs.map(({ none }) => none)),
  ratio: median(pairs.map(({ five, none }) => five / none)),
  tokenBytes,
};
process.stdout.write(`${JSON.stringify(figures)}\n`);
