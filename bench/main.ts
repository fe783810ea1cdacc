// In: arguments. Out: rows as a table or as JSON on standard output, progress on standard error, and exit code 0.
// The figures never change the exit code: a slow machine is not a fault. Every child ends with this process.
import { type BenchOptions, parseBenchArguments, USAGE } from "./arguments.ts";
import { createReport } from "./create-report.ts";
import { chooseCores, type Cores } from "./load/choose-cores.ts";
import { findLoadTools } from "./load/install-debian.ts";
import { measureDenyFlood } from "./load/measure-deny-flood.ts";
import { measureLatency } from "./load/measure-latency.ts";
import { measureAllChecks, measureMtls, measureReached, measureTwoThreads } from "./load/measure-load.ts";
import { measureMcp } from "./load/measure-mcp.ts";
import { measureManyAgents } from "./load/measure-many-agents.ts";
import { measureSpawn } from "./load/measure-spawn.ts";
import { profileGateway } from "./load/profile-gateway.ts";
import { measureLoadAblation } from "./load/measure-load-ablation.ts";
import { createStage, type Stage } from "./load/stage.ts";
import { measureAblation, restRows } from "./micro/measure-ablation.ts";
import { measureChain } from "./micro/measure-chain.ts";
import { machineFacts, type Report, type Row, tableOf } from "./rows.ts";

const progress = (line: string): void => void process.stderr.write(`bench: ${line}\n`);

async function measure(
  options: BenchOptions,
  cores: Cores,
  keep: (one: Pick<Stage, "close">) => void,
): Promise<{ rows: Row[]; notes: string[] }> {
  const { plan, parts } = options;
  const tools = findLoadTools(options.mode !== "smoke", progress);
  const report = createReport(parts, tools.notes);
  let ablation: readonly Row[] = [];
  if (parts.has("ablation")) {
    await report.attempt(["ablation"], async () => {
      ablation = await measureAblation(plan, cores.gateway, progress);
      return { rows: [] };
    });
  }
  if (parts.has("chain")) await report.attempt(["chain"], () => measureChain(plan, cores.gateway, progress));
  if (parts.has("spawn")) await report.attempt(["spawn"], () => measureSpawn({ plan, cores, progress, keep }));
  const needsStage = [...parts].some((part) => part !== "ablation" && part !== "chain" && part !== "spawn");
  const loaded = needsStage || (parts.has("ablation") && plan.ablationRounds > 0);
  if (tools.wrk === undefined || tools.nginx === undefined || !loaded) return report.finish(ablation);

  const stage = await createStage(tools, cores, parts.has("mtls-bound"));
  keep(stage);
  const gateway = await stage.startGateway(1);
  if (parts.has("all-checks") || parts.has("latency") || parts.has("deny-flood")) {
    let reachedPerS = Number.NaN;
    await report.attempt(["all-checks", "latency", "deny-flood"], async () => {
      const bare = await stage.startBare("plain");
      if (parts.has("all-checks")) {
        const load = await measureAllChecks(stage, bare, gateway, plan, progress);
        report.add([...load.rows, ...restRows(load, ablation)]);
        reachedPerS = load.reachedPerS;
      } else {
        reachedPerS = await measureReached(stage, bare, gateway, plan, progress);
      }
      const given = { plan, reachedPerS, progress };
      return { rows: parts.has("latency") ? await measureLatency(stage, bare, gateway, given) : [] };
    });
    const given = { plan, reachedPerS, progress };
    if (parts.has("deny-flood")) await report.attempt(["deny-flood"], () => measureDenyFlood(stage, gateway, given));
  }
  if (parts.has("mtls-bound")) {
    await report.attempt(["mtls-bound"], async () => ({ rows: await measureMtls(stage, gateway, plan, progress) }));
  }
  await gateway.stop();
  if (parts.has("many-agents")) {
    await report.attempt(["many-agents"], () => measureManyAgents(stage, plan, progress));
  }
  if (parts.has("two-threads")) {
    await report.attempt(["two-threads"], async () => ({ rows: await measureTwoThreads(stage, plan, progress) }));
  }
  if (parts.has("mcp")) await report.attempt(["mcp"], () => measureMcp(stage, plan, progress));
  if (parts.has("ablation") && plan.ablationRounds > 0) {
    await report.attempt([], async () => ({ rows: await measureLoadAblation(stage, plan, progress) }));
  }
  return report.finish(ablation);
}

async function main(words: readonly string[]): Promise<number> {
  const parsed = parseBenchArguments(words);
  if (!parsed.ok) {
    process.stderr.write(`bench: ${parsed.error}\n${USAGE}`);
    return 2;
  }
  const options = parsed.value;
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { cores, facts, notes } = chooseCores(options);
  let stage: Pick<Stage, "close"> | undefined;
  const stop = (): void => void (stage?.close() ?? Promise.resolve()).finally(() => process.exit(130));
  process.once("SIGINT", stop).once("SIGTERM", stop);
  const keep = (one: Pick<Stage, "close">): void => {
    stage = one;
  };
  try {
    if (options.profile) {
      process.stdout.write(await profileGateway(options, cores, keep, progress));
      return 0;
    }
    const measured = await measure(options, cores, keep);
    const report: Report = {
      rows: measured.rows,
      machine: machineFacts(words, facts),
      notes: [...notes, ...measured.notes],
    };
    process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : tableOf(report));
    return 0;
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await stage?.close();
  }
}

process.exitCode = await main(process.argv.slice(2));
