// In: `--minutes N`. Out: a line a minute, the slope, and the verdict: exit code 0 where memory is flat, 1 where it is not.
// A real gateway process under full load of every kind, with an hour's turnover in ten minutes (soak-config.ts).
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { generateKeyPairSync } from "node:crypto";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { freePort } from "../../examples/demo/free-ports.ts";
import { openIssuer } from "../load/agents.ts";
import { chooseCores } from "../load/choose-cores.ts";
import { type ChildProcesses, createChildProcesses } from "../load/child-processes.ts";
import { writeGatewayConfig } from "../load/gateway-config.ts";
import { judgeSamples, minutesOf, type Sample } from "./judge-samples.ts";
import { createOperators, type Operators } from "./operate.ts";
import { machineFacts } from "../rows.ts";
import type { LoadSecond, LoadTask } from "./run-load.ts";
import { GATEWAY_ENVIRONMENT, soakSections } from "./soak-config.ts";
import { auditBytesIn, fitsOnDisk, heldBy, isDiskShort, sizeOf, trimLogs } from "./watch-process.ts";

const USAGE = `npm run soak -- [options]
  --minutes N       how long the load lasts; default 10, which stands for an hour
  --agents-per-s N  new agents, each with a key and a token, a second; default 100
  --malloc-default  the gateway without the setting of malloc that its image has
  --folder PATH     where the gateway writes; default: the folder for temporary files
  --json            one line of JSON instead of the table
`;
const NODE = process.execPath;
const COMMAND = new URL("../../src/cli/main.ts", import.meta.url).pathname;
const TOOL = new URL("./tool.ts", import.meta.url).pathname;
const LOAD = new URL("./run-load.ts", import.meta.url).pathname;
const METRICS_EVERY_S = 5;
const OPERATE_EVERY_MS = 2000;
/** How long the gateway may take to be at rest once the load is over. */
const REST_MS = 20_000;

interface SoakOptions {
  readonly minutes: number;
  readonly agentsPerS: number;
  readonly folder: string;
  /** Without GATEWAY_ENVIRONMENT. */
  readonly mallocDefault: boolean;
  readonly json: boolean;
}

interface Soaked {
  readonly samples: readonly Sample[];
  readonly last: LoadSecond | undefined;
  readonly findings: readonly string[];
  readonly facts: Readonly<Record<string, number>>;
}

/** Lines of a stream of text; the last one may not be whole yet. */
function lineReader(take: (line: string) => void): (text: string) => void {
  let rest = "";
  return (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  };
}

async function startAll(processes: ChildProcesses, folder: string, options: SoakOptions) {
  const { cores } = chooseCores({ loadCore: undefined, gatewayCore: undefined });
  const ports = { upstream: await freePort(), traffic: await freePort(), tls: 0, admin: await freePort() };
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { jwks } = openIssuer(privateKey);
  const file = writeGatewayConfig({
    folder,
    ports,
    threads: 1,
    jwks,
    tls: undefined,
    overrides: soakSections({ traffic: ports.traffic, admin: ports.admin, tool: ports.upstream }),
  });
  const tool = [TOOL, "--port", String(ports.upstream), "--jwks", path.join(folder, "jwks.json")];
  await processes.start(NODE, tool, { cores: cores.load, ready: /ready/ });

  const complaints = new Map<string, number>();
  const gateway = await processes.start(NODE, [COMMAND, "start", "--config", file], {
    cores: cores.gateway,
    env: options.mallocDefault ? {} : GATEWAY_ENVIRONMENT,
    ready: /"ready"/,
    onOutput: lineReader((line) => {
      const { level, message, why } = JSON.parse(line) as { level?: string; message?: string; why?: string };
      if (level !== "warn" && level !== "error") return;
      const complaint = why === undefined ? String(message) : `${message}, ${why}`;
      complaints.set(complaint, (complaints.get(complaint) ?? 0) + 1);
    }),
  });
  const seconds: LoadSecond[] = [];
  const task: LoadTask = {
    port: ports.traffic,
    issuerPem: privateKey.export({ format: "pem", type: "pkcs8" }),
    agentsPerS: options.agentsPerS,
  };
  const load = await processes.start(NODE, [LOAD, JSON.stringify(task)], {
    cores: cores.load,
    ready: /"answers"/,
    onOutput: lineReader((line) => seconds.push(JSON.parse(line) as LoadSecond)),
  });
  const data = path.join(folder, "data");
  const operators = createOperators(
    `http://127.0.0.1:${ports.admin}`,
    readFileSync(path.join(data, "operator.key"), "utf8").trim(),
  );
  return { gateway, load, operators, seconds, complaints, data };
}

async function soak(processes: ChildProcesses, folder: string, options: SoakOptions): Promise<Soaked> {
  const { gateway, load, operators, seconds, complaints, data } = await startAll(processes, folder, options);
  const audit = path.join(data, "audit", "audit.jsonl");
  const logs = ["access.jsonl", "decision.jsonl"].map((name) => path.join(data, "logs", name));
  const samples: Sample[] = [];
  const findings: string[] = [];
  const startMs = performance.now();
  const endMs = startMs + options.minutes * 60_000;
  let over = false;
  const operating = operate(operators, () => (over ? undefined : (seconds.at(-1)?.victim ?? "")));
  let shown = 0;
  while (performance.now() < endMs) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const ended = gateway.ended() ?? load.ended();
    if (ended !== undefined) {
      over = true;
      throw new Error(`the gateway or its load ended early with ${ended}`);
    }
    const second = seconds.at(-1);
    const atS = (performance.now() - startMs) / 1000;
    // While it is being killed it may not answer; the next look tells how it ended.
    const asked = samples.length % METRICS_EVERY_S === 0;
    const metrics = asked ? await operators.metrics().catch(() => undefined) : undefined;
    const metric = (name: string, unit: number): number => (metrics?.get(name) ?? Number.NaN) / unit;
    const held = heldBy(gateway.pid);
    if (held === undefined) continue;
    samples.push({
      atS,
      ...held,
      requestsPerS: second?.answers ?? 0,
      slowestMs: second?.slowestMs ?? 0,
      heapMiB: metric("nodejs_heap_size_used_bytes", 2 ** 20),
      externalMiB: metric("nodejs_external_memory_bytes", 2 ** 20),
      lagMs: metric("nodejs_eventloop_lag_p99_seconds", 1e-3),
    });
    trimLogs(logs);
    if (isDiskShort(folder)) {
      findings.push("stopped early: the disk is nearly full");
      break;
    }
    if (!options.json && Math.floor(atS / 60) > shown) {
      process.stdout.write(lineOf(minutesOf(samples)[shown]));
      shown += 1;
    }
  }
  over = true;
  await operating;
  const last = seconds.at(-1);
  await load.stop();
  const rest = await untilAtRest(operators);
  findings.push(...rest, ...operators.problems.map((problem) => `an operator's call: ${problem}`));
  for (const [what, count] of Object.entries(last?.unexpected ?? {}))
    findings.push(`unexpected: ${what}, ${count} times`);
  for (const [what, count] of complaints) findings.push(`the gateway complained ${count} times: ${what}`);
  const atRest = heldBy(gateway.pid);
  await gateway.stop();
  if (!options.json && samples.length > 0) process.stdout.write(lineOf(minutesOf(samples)[shown]));
  return {
    samples,
    last,
    findings,
    facts: {
      agents: last?.agents ?? 0,
      operator_steps: operators.steps,
      audit_mib: Math.round(sizeOf(audit) / 2 ** 20),
      rest_rss_mib: Math.round(atRest?.rssMiB ?? Number.NaN),
      rest_fds: atRest?.fds ?? Number.NaN,
    },
  };
}

/** Until there is no victim any more. */
async function operate(operators: Operators, victimNow: () => string | undefined): Promise<void> {
  for (let victim = victimNow(); victim !== undefined; victim = victimNow()) {
    await operators.step(victim);
    await new Promise((resolve) => setTimeout(resolve, OPERATE_EVERY_MS));
  }
}

/** Without load nothing may be in flight and no stream open. */
async function untilAtRest(operators: Operators): Promise<string[]> {
  const endMs = performance.now() + REST_MS;
  let held = "";
  while (performance.now() < endMs) {
    const metrics = await operators.metrics();
    const inFlight = metrics.get("cordon_exchanges_in_flight");
    const streams = metrics.get("cordon_open_streams");
    if (inFlight === 0 && streams === 0) return [];
    held = `${inFlight} exchanges in flight and ${streams} streams open`;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  return [`not at rest after the load: ${held}`];
}

const HEADS = [
  "minute",
  "floor MiB",
  "RSS MiB",
  "heap MiB",
  "external",
  "req/s",
  "files",
  "threads",
  "lag ms",
  "slowest ms",
];

function lineOf(minute: ReturnType<typeof minutesOf>[number] | undefined): string {
  if (minute === undefined) return "";
  const { floorMiB, rssMiB, heapMiB, externalMiB, requestsPerS, fds, threads, lagMs, slowestMs } = minute;
  const figures = [minute.minute, floorMiB, rssMiB, heapMiB, externalMiB, requestsPerS, fds, threads, lagMs, slowestMs];
  return `${figures.map((figure, index) => String(Math.round(figure * 10) / 10).padStart(HEADS[index]?.length ?? 0)).join("  ")}\n`;
}

function readOptions(words: readonly string[]): SoakOptions | undefined {
  try {
    const { values } = parseArgs({
      args: [...words],
      options: {
        minutes: { type: "string", default: "10" },
        "agents-per-s": { type: "string", default: "100" },
        folder: { type: "string", default: tmpdir() },
        "malloc-default": { type: "boolean", default: false },
        json: { type: "boolean", default: false },
      },
    });
    const minutes = Number(values.minutes);
    const agentsPerS = Number(values["agents-per-s"]);
    if (!(minutes > 0 && minutes <= 600) || !(agentsPerS >= 1 && agentsPerS <= 1000)) return undefined;
    return { minutes, agentsPerS, folder: values.folder, mallocDefault: values["malloc-default"], json: values.json };
  } catch {
    return undefined;
  }
}

async function main(words: readonly string[]): Promise<number> {
  const options = readOptions(words);
  if (options === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  if (!fitsOnDisk(options.folder, options.minutes)) {
    const gib = Math.ceil(auditBytesIn(options.minutes) / 2 ** 30) + 1;
    process.stderr.write(`soak: the audit log may need ${gib} GiB in ${options.folder}; name another by --folder\n`);
    return 2;
  }
  const folder = mkdtempSync(path.join(options.folder, "cordon-soak-"));
  const processes = createChildProcesses();
  const stop = (): void => void processes.close().finally(() => process.exit(130));
  process.once("SIGINT", stop).once("SIGTERM", stop);
  if (!options.json) process.stdout.write(`${HEADS.join("  ")}\n`);
  try {
    const { samples, last, findings, facts } = await soak(processes, folder, options);
    const verdict = judgeSamples(samples, findings);
    if (options.json) {
      const machine = machineFacts(words, {});
      process.stdout.write(
        `${JSON.stringify({ minutes: minutesOf(samples), verdict, facts, seen: last?.seen, machine })}\n`,
      );
    } else {
      const more = Object.entries({ ...facts, ...last?.seen }).map(([name, value]) => `  ${name}: ${value}`);
      process.stdout.write(
        `${more.join("\n")}\nslope ${verdict.slopeMiBPerMinute.toFixed(2)} MiB a minute over the last two thirds; ` +
          `floor of the last third ${Math.round(verdict.lastMiB)} MiB, of the middle third ${Math.round(verdict.middleMiB)} MiB; ` +
          `medians ${Math.round(verdict.lastMedianMiB)} and ${Math.round(verdict.middleMedianMiB)} MiB\n` +
          `${verdict.flat ? "flat" : `not flat:\n  ${verdict.problems.join("\n  ")}`}\n`,
      );
    }
    return verdict.flat ? 0 : 1;
  } catch (error) {
    process.stderr.write(`soak: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await processes.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main(process.argv.slice(2));
