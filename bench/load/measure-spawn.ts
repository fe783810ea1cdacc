// In: cores and a plan. Out: rows `spawn-p99`, `spawn-rate` and `spawn-100k`: from the launch to a token that the gateway takes.
// The whole gateway with its issuer is on one core, the orchestrator and its agents on the other. Runs with an empty and
// with a full database alternate, each on a gateway of its own, so that a slow minute of the machine meets both.
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { ensureQuickstartKeys } from "../../src/agent/quickstart-keys.ts";
import { freePort } from "../../examples/demo/free-ports.ts";
import type { Plan } from "../arguments.ts";
import type { Measured } from "../create-report.ts";
import { failedRow, median, row } from "../rows.ts";
import { TRUST_DOMAIN } from "./agents.ts";
import { type ChildProcesses, createChildProcesses, usageOf } from "./child-processes.ts";
import type { Cores } from "./choose-cores.ts";
import { fillAgents } from "./fill-agents.ts";
import { BATCHED_PATH, writeGatewayConfig } from "./gateway-config.ts";
import type { Progress } from "./rounds.ts";
import type { SpawnResult, SpawnTask } from "./spawn-load.ts";

const APPLICATION = "hiring";
/** Launches a second, of the bar. */
const RATE_PER_S = 50;
/** Enough to keep the issuer busy, and less than it would refuse. */
const ORCHESTRATORS = 16;
/** So long the generator is new itself, and slower than what it measures. */
const SKIP_S_MAX = 1.5;
/** For the start of the generator, and for what is still under way at its end. */
const EXTRA_MS = 30_000;

const NODE = process.execPath;
const COMMAND = new URL("../../src/cli/main.ts", import.meta.url).pathname;
const GENERATOR = new URL("./spawn-load.ts", import.meta.url).pathname;

interface SpawnStage {
  readonly folder: string;
  readonly processes: ChildProcesses;
  readonly cores: Cores;
  readonly toolPort: number;
}

interface Issuing {
  readonly pid: number;
  /** The first `skipS` of the seconds are not counted. */
  run(pace: SpawnTask["pace"], seconds: number, skipS: number): Promise<SpawnResult>;
}

export async function measureSpawn(given: {
  readonly plan: Plan;
  readonly cores: Cores;
  readonly progress: Progress;
  readonly keep: (one: { close(): Promise<void> }) => void;
}): Promise<Measured> {
  const { plan, cores, progress } = given;
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-spawn-"));
  const processes = createChildProcesses();
  const tool = createServer((_request, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  }).listen(0, "127.0.0.1");
  const close = async (): Promise<void> => {
    tool.close();
    await processes.close();
    rmSync(folder, { recursive: true, force: true });
  };
  given.keep({ close });
  try {
    await once(tool, "listening");
    const address = tool.address();
    const toolPort = typeof address === "object" && address !== null ? address.port : 0;
    const stage: SpawnStage = { folder, processes, cores, toolPort };
    const few = await startIssuing(stage, 0);
    progress(`putting ${plan.manyAgents} agents into the database`);
    const many = await startIssuing(stage, plan.manyAgents);
    return await measureBoth(few, many, plan, progress);
  } finally {
    await close();
  }
}

async function measureBoth(few: Issuing, many: Issuing, plan: Plan, progress: Progress): Promise<Measured> {
  const flatOut = { orchestrators: ORCHESTRATORS };
  const rates: SpawnResult[] = [];
  const skipS = Math.min(SKIP_S_MAX, plan.spawnS / 2);
  const warmUpS = Math.max(plan.warmUpS / 2, plan.spawnS / 2);
  for (const one of [many, few]) await one.run(flatOut, warmUpS, 0);
  rates.push(await few.run(flatOut, plan.spawnS + skipS, skipS));
  progress(`spawn: ${Math.round(rates[0]?.perS ?? 0)} a second`);
  const pairs: { few: SpawnResult; many: SpawnResult }[] = [];
  for (let pair = 1; pair <= plan.spawnPairs; pair++) {
    const atRate = async (one: Issuing) => one.run({ ratePerS: RATE_PER_S }, plan.spawnS + skipS, skipS);
    const now = { few: await atRate(few), many: await atRate(many) };
    pairs.push(now);
    const of = ({ p50Us, p99Us }: SpawnResult) => `p50 ${Math.round(p50Us)} p99 ${Math.round(p99Us)} us`;
    progress(
      `spawn at ${RATE_PER_S}/s, pair ${pair} of ${plan.spawnPairs}: empty ${of(now.few)}, full ${of(now.many)}`,
    );
  }
  const all = [...rates, ...pairs.flatMap((pair) => [pair.few, pair.many])];
  const error = errorOf(all);
  if (error !== undefined) {
    const failed = (name: string, unit: string) => failedRow(name, unit, error);
    return { rows: [failed("spawn-p99", "ms"), failed("spawn-rate", "spawns/s"), failed("spawn-100k", "ms")] };
  }
  const ms = (of: (pair: (typeof pairs)[number]) => number) => median(pairs.map(of)) / 1000;
  return {
    rows: [
      row(
        "spawn-p99",
        ms((pair) => pair.few.p99Us),
        "ms",
      ),
      row(
        "spawn-p50",
        ms((pair) => pair.few.p50Us),
        "ms",
      ),
      row("spawn-rate", median(rates.map(({ perS }) => perS)), "spawns/s"),
      row(
        "spawn-100k",
        ms((pair) => pair.many.p99Us),
        "ms",
      ),
      row(
        "spawn-100k-p50",
        ms((pair) => pair.many.p50Us),
        "ms",
      ),
      row("spawn-100k-ratio", median(pairs.map((pair) => pair.many.p99Us / pair.few.p99Us)), "ratio"),
      row("spawn-100k-agents", plan.manyAgents, "agents"),
      row("spawn-100k-memory", usageOf(many.pid).rssMiB, "MiB"),
      row(
        "spawn-generator-late-p99",
        ms((pair) => Math.max(pair.few.lateP99Us, pair.many.lateP99Us)),
        "ms",
      ),
    ],
  };
}

/** A spawn that failed, or a token that the gateway does not take, makes the run worthless. */
function errorOf(results: readonly SpawnResult[]): string | undefined {
  for (const { failures, status } of results) {
    const [code] = Object.keys(failures);
    if (code !== undefined) return `${failures[code]} spawns failed: ${code}`;
    if (status !== 200) return `the gateway answered a new token with ${status}`;
  }
  return undefined;
}

/** A gateway with its issuer, and so many agents that live already. */
async function startIssuing(stage: SpawnStage, agents: number): Promise<Issuing> {
  const { processes, cores } = stage;
  const folder = path.join(stage.folder, `agents-${agents}`);
  const [files] = ensureQuickstartKeys(path.join(folder, "keys"), [APPLICATION]);
  if (files === undefined) throw new Error("no key was made");
  const [traffic, brokerPort] = [await freePort(), await freePort()];
  const issuer = `http://127.0.0.1:${brokerPort}`;
  const audience = `http://127.0.0.1:${traffic}`;
  const dataFolder = path.join(folder, "data");
  if (agents > 0) {
    const names = { application: APPLICATION, trustDomain: TRUST_DOMAIN, issuer, audience };
    await fillAgents({ dataFolder, count: agents, ...names });
  }
  const file = writeGatewayConfig({
    folder,
    ports: { traffic, tls: 0, upstream: stage.toolPort },
    threads: 1,
    jwks: { keys: [] },
    tls: undefined,
    overrides: {
      public_origins: [audience],
      issuers: [
        {
          issuer,
          audience: [audience],
          trust_domain: TRUST_DOMAIN,
          jwks: { url: `${issuer}/jwks`, allow_private_addresses: true },
        },
      ],
      broker: {
        port: brokerPort,
        issuer,
        trust_domain: TRUST_DOMAIN,
        applications: [
          {
            name: APPLICATION,
            jwks: files.publicFile,
            orchestrations: ["hiring"],
            scope: ["read:candidates:*"],
            principals: ["user:*"],
            agents_max: 140_000,
          },
        ],
      },
    },
  });
  const args = [COMMAND, "start", "--config", file];
  const { pid } = await processes.start(NODE, args, { cores: cores.gateway, ready: /"ready"/ });
  return {
    pid,
    async run(pace, seconds, skipS) {
      const task: SpawnTask = {
        issuer,
        application: APPLICATION,
        keyFile: files.privateFile,
        pace,
        seconds,
        skipS,
        url: `${audience}${BATCHED_PATH}`,
      };
      const timeoutMs = seconds * 1000 + EXTRA_MS;
      const output = await processes.run(NODE, [GENERATOR, JSON.stringify(task)], { cores: cores.load, timeoutMs });
      return JSON.parse(output) as SpawnResult;
    },
  };
}
