// In: a gateway and an MCP server of Node beside it. Out: rows `mcp-list-500`, `sse-delay-p99` and `streams-1000`.
// Server and client share the core of the load, so that a run through the gateway differs from a direct one by it alone.
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Plan } from "../arguments.ts";
import { failedRow, median, type Row, row } from "../rows.ts";
import { type BenchAgent, signProof } from "./agents.ts";
import { usageOf } from "./child-processes.ts";
import type { LoadRequest, McpLoadResult, McpLoadTask } from "./mcp-load.ts";
import { LIVE_PATH, listOf, ONE_TOOL, STREAM_HEADERS, TOOLS, VISIBLE_TOOLS, watchOf } from "./mcp-messages.ts";
import type { Progress } from "./rounds.ts";
import type { Message, Running, Stage } from "./stage.ts";

export interface McpBench {
  readonly stage: Stage;
  readonly plan: Plan;
  readonly progress: Progress;
  readonly agents: readonly BenchAgent[];
  readonly toolOrigin: string;
}

/** Streams at once, and how often one of them has an event: 200 a second in all, evenly spread. */
const STREAMS = 10;
const EVERY_MS = 50;
/** At most: connections are opened, code is compiled. Fewer where a run is short. */
const SKIPPED_LISTS = 20;
const SKIPPED_EVENTS = 10;
/** Streams that are opened and closed before memory is looked at, so that what is loaded once is not counted. */
const WARM_STREAMS = 50;
/** How long streams are at rest before they are weighed. */
const REST_MS = 3000;
const RUN_TIMEOUT_MS = 60_000;
const LOAD = new URL("./mcp-load.ts", import.meta.url).pathname;
const MB_PER_MIB = 1.048_576;

interface Pair {
  readonly direct: McpLoadResult;
  readonly through: McpLoadResult;
}

/** Row `mcp-list-500`: a list of 500 tools of which the agent sees 250; beside it a list of one, which tells the rest of the exchange. */
export async function measureLists(bench: McpBench, gateway: Running): Promise<Row[]> {
  const { plan, progress } = bench;
  const skip = Math.min(SKIPPED_LISTS, Math.floor(plan.lists / 4));
  const run = (origin: string, message: Message, expected: number): Promise<McpLoadResult> => {
    const messages = Array.from({ length: plan.lists }, () => message);
    return runLoad(bench, { kind: "list", origin, messages, expected, skip });
  };
  const whole: Pair[] = [];
  const single: Pair[] = [];
  for (let pair = 1; pair <= plan.livePairs; pair++) {
    const long = listOf();
    const short = listOf(ONE_TOOL);
    whole.push({
      direct: await run(bench.toolOrigin, long, TOOLS),
      through: await run(gateway.origin, long, VISIBLE_TOOLS),
    });
    single.push({ direct: await run(bench.toolOrigin, short, 1), through: await run(gateway.origin, short, 1) });
    progress(`list of ${TOOLS}, pair ${pair} of ${plan.livePairs}: ${textOf(whole.at(-1), "p50Us")}`);
  }
  return [
    added("mcp-list-500", whole, "p50Us"),
    added("mcp-list-500-p99", whole, "p99Us"),
    added("mcp-list-1", single, "p50Us"),
  ];
}

/** Row `sse-delay-p99`: from the moment that the tool writes an event to the moment that the client reads it. */
export async function measureEvents(bench: McpBench, gateway: Running): Promise<Row[]> {
  const { plan, progress } = bench;
  const count = Math.ceil((plan.eventsS * 1000) / EVERY_MS);
  const messages = Array.from({ length: STREAMS }, (_, index) =>
    watchOf(count, EVERY_MS, (index * EVERY_MS) / STREAMS),
  );
  const skip = Math.min(SKIPPED_EVENTS, Math.floor(count / 4));
  const run = (origin: string): Promise<McpLoadResult> =>
    runLoad(bench, { kind: "events", origin, messages, expected: count, skip });
  const pairs: Pair[] = [];
  for (let pair = 1; pair <= plan.livePairs; pair++) {
    pairs.push({ direct: await run(bench.toolOrigin), through: await run(gateway.origin) });
    progress(`events, pair ${pair} of ${plan.livePairs}: ${textOf(pairs.at(-1), "p99Us")}`);
  }
  return [
    added("sse-delay-p99", pairs, "p99Us"),
    added("sse-delay-p50", pairs, "p50Us"),
    row("sse-direct-p99", median(pairs.map(({ direct }) => direct.p99Us)) / 1000, "ms"),
    row("sse-events", pairs.at(-1)?.through.counted ?? 0, "events"),
  ];
}

/** Row `streams-1000`: resident memory of a gateway with all streams open, less that before them. A new gateway each round. */
export async function measureRest(bench: McpBench, startGateway: () => Promise<Running>): Promise<Row[]> {
  const { plan, progress } = bench;
  const grownMb: number[] = [];
  for (let round = 1; round <= plan.streamRounds; round++) {
    const gateway = await startGateway();
    const opened = await openStreams(bench, gateway, WARM_STREAMS);
    await opened.stop();
    await wait(REST_MS / 3);
    const beforeMiB = usageOf(gateway.pid).rssMiB;
    const open = await openStreams(bench, gateway, plan.openStreams);
    await wait(REST_MS);
    const afterMiB = usageOf(gateway.pid).rssMiB;
    const ended = open.ended();
    await open.stop();
    await gateway.stop();
    if (ended !== undefined) return [failedRow("streams-1000", "MB", ended)];
    grownMb.push((afterMiB - beforeMiB) * MB_PER_MIB);
    progress(`${plan.openStreams} streams: ${Math.round(beforeMiB)} MiB before, ${Math.round(afterMiB)} after`);
  }
  return [row("streams-1000", median(grownMb), "MB"), row("streams-1000-count", plan.openStreams, "streams")];
}

async function openStreams({ stage, agents }: McpBench, gateway: Running, count: number) {
  const messages = Array.from({ length: count }, () => ({ path: LIVE_PATH, headers: STREAM_HEADERS, body: "" }));
  const task = writeTask(stage, agents, { kind: "rest", origin: gateway.origin, messages, expected: 0, skip: 0 });
  const args = [LOAD, JSON.stringify(task)];
  return stage.processes.start(process.execPath, args, { cores: stage.cores.load, ready: /^open \d+$/m });
}

interface LoadWish extends Pick<McpLoadTask, "kind" | "expected" | "skip"> {
  readonly origin: string;
  readonly messages: readonly Message[];
}

async function runLoad({ stage, agents }: McpBench, wish: LoadWish): Promise<McpLoadResult> {
  const args = [LOAD, JSON.stringify(writeTask(stage, agents, wish))];
  const output = await stage.processes.run(process.execPath, args, {
    cores: stage.cores.load,
    timeoutMs: RUN_TIMEOUT_MS,
  });
  return JSON.parse(output) as McpLoadResult;
}

/** Credentials also for a direct run, so that both sides send the same bytes. */
function writeTask(stage: Stage, agents: readonly BenchAgent[], wish: LoadWish): McpLoadTask {
  const { kind, origin, messages, expected, skip } = wish;
  const url = origin + LIVE_PATH;
  const iat = Math.floor(Date.now() / 1000);
  const requests = messages.map(({ headers, body }, index): LoadRequest => {
    const agent = agents[index % agents.length];
    if (agent === undefined) throw new Error("no agents");
    const method = body === "" ? "GET" : "POST";
    const dpop = signProof(agent, { jti: randomUUID(), htm: method, htu: url, iat });
    return { method, headers: { ...headers, Authorization: `DPoP ${agent.token}`, DPoP: dpop }, body };
  });
  const requestsFile = path.join(stage.folder, "mcp-requests.json");
  writeFileSync(requestsFile, JSON.stringify(requests), { mode: 0o600 });
  return { kind, url, requestsFile, expected, skip };
}

type Of = "p50Us" | "p99Us";

/** What the gateway adds, in milliseconds; no figure where any run of either side failed. */
function added(name: string, pairs: readonly Pair[], of: Of): Row {
  const error = pairs.flatMap(({ direct, through }) => [direct, through]).find((one) => one.error !== undefined)?.error;
  if (error !== undefined) return failedRow(name, "ms", error);
  return row(name, median(pairs.map(({ direct, through }) => through[of] - direct[of])) / 1000, "ms");
}

function textOf(pair: Pair | undefined, of: Of): string {
  const us = (one: McpLoadResult | undefined): string => one?.error ?? `${Math.round(one?.[of] ?? 0)} us`;
  return `direct ${us(pair?.direct)}, through the gateway ${us(pair?.through)}`;
}
