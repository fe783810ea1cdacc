// In: a stage. Out: rows `many-agents-warm` and `many-agents-cold`: throughput with very many agents over that with "one".
// "One" is the sixteen agents of the other rows, since one key may hold 8192 proofs in 13 s. Each of the many has a key
// and a token of its own. Cold: their first requests, on a gateway as it ships, whose cache cannot keep them all. Warm: any
// of them again, on a gateway that was told to keep them all. Rounds of many and of one alternate.
import type { Plan } from "../arguments.ts";
import { failedRow, type Row, row } from "../rows.ts";
import type { BenchAgent } from "./agents.ts";
import { usageOf } from "./child-processes.ts";
import { errorOf, figuresOf, type Progress, proofCounter, ratios } from "./rounds.ts";
import { CONNECTIONS, type Round } from "./run-wrk.ts";
import { type Running, type Stage, withGateway } from "./stage.ts";

/** Of a round that is not measured: its proofs are all sent long before the first is too old. */
const FILL_ROUND_S = 6;
/** A busy machine may answer nothing within a second, and a short crowd is met in one. */
const SILENT_ROUNDS_MAX = 5;

interface Crowd {
  readonly stage: Stage;
  readonly plan: Plan;
  readonly progress: Progress;
  readonly agents: readonly BenchAgent[];
  readonly counter: ReturnType<typeof proofCounter>;
}

interface Pairs {
  readonly many: Round[];
  readonly one: Round[];
}

export async function measureManyAgents(
  stage: Stage,
  plan: Plan,
  progress: Progress,
): Promise<{ rows: Row[]; notes: string[] }> {
  progress(`making ${plan.manyAgents} agents`);
  const agents = await stage.makeAgents(plan.manyAgents);
  const crowd: Crowd = { stage, plan, progress, agents, counter: proofCounter() };
  const cacheEntries = agents.length + stage.agents.length;
  const overrides = { limits: { token_cache_entries: cacheEntries } };
  const cold = await withGateway(stage, {}, (gateway) => measureCold(crowd, gateway));
  const warm = await withGateway(stage, { overrides }, (gateway) => measureWarm(crowd, gateway));
  const notes = [
    `many-agents: ${agents.length} agents beside ${stage.agents.length}. Memory is bounded by limits.token_cache_entries ` +
      `(the default for the cold row, ${cacheEntries} for the warm one), for each data thread: ` +
      `${Math.round(cold.startMiB)} MiB before the first agent, ${Math.round(cold.endMiB)} after all of them with the default, ` +
      `${Math.round(warm.endMiB)} where all of them are kept`,
  ];
  return {
    rows: [
      ...rowsOf("many-agents-warm", warm.pairs, warm.endMiB),
      ...rowsOf("many-agents-cold", cold.pairs, cold.endMiB),
      row("many-agents-start-memory", cold.startMiB, "MiB"),
      row("many-agents-count", agents.length, "agents"),
      row("many-agents-warm-token-cache", cacheEntries, "entries"),
    ],
    notes,
  };
}

function rowsOf(name: string, { many, one }: Pairs, memoryMiB: number): Row[] {
  const error = errorOf(...many, ...one);
  if (error !== undefined) return [failedRow(name, "ratio", error)];
  return [
    row(
      name,
      ratios(many, one, ({ requestsPerS }) => requestsPerS),
      "ratio",
    ),
    ...figuresOf(name, many).slice(0, 2),
    row(`${name}-memory`, memoryMiB, "MiB"),
    ...figuresOf(`${name}-one`, one).slice(0, 2),
  ];
}

/** A gateway as it ships meets each agent once. */
async function measureCold(
  crowd: Crowd,
  gateway: Running,
): Promise<{ pairs: Pairs; startMiB: number; endMiB: number }> {
  const { stage, plan, progress, agents, counter } = crowd;
  if (plan.warmUpS > 0) await one(crowd, gateway, plan.warmUpS);
  const startMiB = usageOf(gateway.pid).rssMiB;
  const pairs: Pairs = { many: [], one: [] };
  // Agents enough for all rounds, however fast the machine is.
  const fitting = Math.floor(agents.length / plan.pairs / counter.countFor(1));
  const roundS = Math.max(1, Math.min(plan.roundS, fitting));
  let next = 0;
  for (let pair = 1; pair <= plan.pairs && next < agents.length; pair++) {
    const batch = agents.slice(next, next + counter.countFor(roundS));
    const round = counter.learn(await stage.proofRound(gateway, "batched", roundS, batch.length, batch));
    next += sentOf(round, batch);
    pairs.many.push(round);
    pairs.one.push(await one(crowd, gateway, roundS));
    tell(progress, `cold, pair ${pair} of ${plan.pairs}`, pairs);
  }
  await meet(crowd, gateway, agents.slice(next));
  return { pairs, startMiB, endMiB: usageOf(gateway.pid).rssMiB };
}

/** A gateway that can keep all tokens met each agent before. */
async function measureWarm(crowd: Crowd, gateway: Running): Promise<{ pairs: Pairs; endMiB: number }> {
  const { stage, plan, progress, agents, counter } = crowd;
  progress(`${agents.length} agents become known`);
  await meet(crowd, gateway, agents);
  if (plan.warmUpS > 0) await one(crowd, gateway, 1);
  const pairs: Pairs = { many: [], one: [] };
  for (let pair = 1; pair <= plan.pairs; pair++) {
    const count = counter.countFor(plan.roundS);
    const some = pickSome(agents, count);
    pairs.many.push(counter.learn(await stage.proofRound(gateway, "batched", plan.roundS, count, some)));
    pairs.one.push(await one(crowd, gateway, plan.roundS));
    tell(progress, `warm, pair ${pair} of ${plan.pairs}`, pairs);
  }
  return { pairs, endMiB: usageOf(gateway.pid).rssMiB };
}

async function one({ stage, counter }: Crowd, gateway: Running, seconds: number): Promise<Round> {
  return counter.learn(await stage.proofRound(gateway, "batched", seconds, counter.countFor(seconds)));
}

/** Each of the agents makes one request; nothing is measured. */
async function meet({ stage, counter }: Crowd, gateway: Running, agents: readonly BenchAgent[]): Promise<void> {
  let next = 0;
  let silent = 0;
  while (next < agents.length) {
    const seconds = Math.min(FILL_ROUND_S, Math.ceil((agents.length - next) / counter.perS()));
    const batch = agents.slice(next, next + counter.countFor(seconds));
    const round = counter.learn(await stage.proofRound(gateway, "batched", seconds, batch.length, batch));
    silent = round.requests === 0 ? silent + 1 : 0;
    if (round.requests === 0 && silent < SILENT_ROUNDS_MAX) continue;
    if (round.error !== undefined) throw new Error(round.error);
    next += sentOf(round, batch);
  }
}

/** wrk sends in their order and stops after a time: the agents behind these are still unknown to the gateway. */
function sentOf(round: Round, batch: readonly BenchAgent[]): number {
  return Math.min(batch.length, round.requests + 2 * CONNECTIONS);
}

/** Different agents at random, in no order that a cache could like. */
function pickSome(agents: readonly BenchAgent[], count: number): BenchAgent[] {
  const order = Array.from(agents);
  const most = Math.min(count, order.length);
  for (let index = 0; index < most; index++) {
    const other = index + Math.floor(Math.random() * (order.length - index));
    [order[index], order[other]] = [order[other] as BenchAgent, order[index] as BenchAgent];
  }
  return order.slice(0, most);
}

function tell(progress: Progress, what: string, { many, one: few }: Pairs): void {
  const [manyRate, oneRate] = [many, few].map((list) => Math.round(list.at(-1)?.requestsPerS ?? 0));
  progress(`many agents ${what}: many ${manyRate}, one ${oneRate} req/s`);
}
