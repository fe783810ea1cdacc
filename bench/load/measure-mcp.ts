// In: a stage. Out: the rows of MCP: calls beside plain requests, a filtered list, the delay of an event, streams at rest.
// A call and a plain request are made by the same agents on the same gateway with all checks, in pairs of rounds. List and
// events are measured through the gateway and directly at the tool, in pairs of runs; the row is the median difference.
import type { Plan } from "../arguments.ts";
import type { Measured } from "../create-report.ts";
import { failedRow, median, type Row, row } from "../rows.ts";
import { freePort } from "../../examples/demo/free-ports.ts";
import type { BenchAgent } from "./agents.ts";
import { measureEvents, measureLists, measureRest, type McpBench } from "./measure-mcp-live.ts";
import { callOf, LIST_OF_CALLED, MCP_SCOPE, mcpRoutes, writeMcpPolicyData } from "./mcp-messages.ts";
import { cpus, errorOf, type Progress, proofCounter, ratios } from "./rounds.ts";
import type { Round } from "./run-wrk.ts";
import type { Running, Stage } from "./stage.ts";

/** Each may hold fifty streams: enough for a thousand at rest with room to spare, and for the proofs of a round. */
const AGENTS = 25;
/** Lists before the first call; one would do. */
const LISTS_OF_CALLED = 50;
const TOOL = new URL("./mcp-tool.ts", import.meta.url).pathname;

export async function measureMcp(stage: Stage, plan: Plan, progress: Progress): Promise<Measured> {
  const agents = await stage.makeAgents(AGENTS, [MCP_SCOPE]);
  const port = await freePort();
  const toolArgs = [TOOL, "--port", String(port)];
  const tool = await stage.processes.start(process.execPath, toolArgs, { cores: stage.cores.load, ready: /ready/ });
  const toolOrigin = `http://127.0.0.1:${port}`;
  const overrides = { policy: { data: writeMcpPolicyData(stage.folder) } };
  const moreRoutes = mcpRoutes(stage.upstreamOrigin, toolOrigin);
  const startGateway = (): Promise<Running> => stage.startGateway(1, { overrides, moreRoutes });
  const bench: McpBench = { stage, plan, progress, agents, toolOrigin };
  const gateway = await startGateway();
  const rows = await measureCalls(bench, gateway);
  rows.push(...(await measureLists(bench, gateway)), ...(await measureEvents(bench, gateway)));
  await gateway.stop();
  rows.push(...(await measureRest(bench, startGateway)));
  await tool.stop();
  return { rows };
}

/** Rows `mcp-call-1k` and `mcp-call-64k`: processor time of a call over that of a plain request. */
async function measureCalls(bench: McpBench, gateway: Running): Promise<Row[]> {
  const { stage, plan, progress, agents } = bench;
  const plain = roundsOf((seconds, count) => stage.proofRound(gateway, "batched", seconds, count, agents));
  const small = roundsOf(callsOf(stage, gateway, agents, 1024));
  const large = roundsOf(callsOf(stage, gateway, agents, 65_536));
  const listed = await stage.messageRound(gateway, LIST_OF_CALLED, 1, LISTS_OF_CALLED, agents);
  if (plan.warmUpS > 0) {
    progress("warming up");
    for (const one of [plain, small]) await one.warmUp(plan.warmUpS);
    await large.warmUp(Math.ceil(plan.warmUpS / 3));
  }
  for (let pair = 1; pair <= plan.pairs; pair++) {
    for (const one of [plain, small, large]) await one.measure(plan.roundS);
    const us = [plain, small, large].map(({ rounds }) => Math.round(rounds.at(-1)?.cpuUsPerRequest ?? 0));
    progress(`calls, pair ${pair} of ${plan.pairs}: plain ${us[0]}, 1 KB ${us[1]}, 64 KB ${us[2]} us/req`);
  }
  const named = (name: string, { rounds }: typeof small): Row[] => {
    const error = errorOf(listed, ...plain.rounds, ...rounds);
    if (error !== undefined) return [failedRow(name, "ratio", error)];
    const ratio = ratios(rounds, plain.rounds, ({ cpuUsPerRequest }) => cpuUsPerRequest);
    const perS = median(rounds.map(({ requestsPerS }) => requestsPerS));
    return [
      row(name, ratio, "ratio"),
      row(`${name}-cpu`, cpus(rounds), "us/req"),
      row(`${name}-throughput`, perS, "req/s"),
    ];
  };
  return [
    ...named("mcp-call-1k", small),
    ...named("mcp-call-64k", large),
    row("mcp-plain-cpu", cpus(plain.rounds), "us/req"),
  ];
}

type SendRound = (seconds: number, proofs: number) => Promise<Round>;

function callsOf(stage: Stage, gateway: Running, agents: readonly BenchAgent[], argumentBytes: number): SendRound {
  const call = callOf(argumentBytes);
  return (seconds, count) => stage.messageRound(gateway, call, seconds, count, agents);
}

/** Rounds of one kind of request; each kind is as fast as it is, and needs as many proofs. */
function roundsOf(send: SendRound) {
  const proofs = proofCounter();
  const rounds: Round[] = [];
  const one = async (seconds: number): Promise<Round> => proofs.learn(await send(seconds, proofs.countFor(seconds)));
  return {
    rounds,
    warmUp: one,
    async measure(seconds: number): Promise<void> {
      rounds.push(await one(seconds));
    },
  };
}
