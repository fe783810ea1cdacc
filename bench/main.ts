// In: arguments. Out: rows as a table or as JSON on standard output, progress on standard error, and exit code 0.
// The figures never change the exit code: a slow machine is not a fault. Every child ends with this process.
import { availableParallelism } from "node:os";
import { type BenchOptions, parseBenchArguments, USAGE } from "./arguments.ts";
import { canPin } from "./load/child-processes.ts";
import { findLoadTools } from "./load/install-debian.ts";
import { measureLatency } from "./load/measure-latency.ts";
import { measureAllChecks, measureMtls, measureTwoThreads } from "./load/measure-load.ts";
import { profileGateway } from "./load/profile-gateway.ts";
import { measureLoadAblation } from "./load/measure-load-ablation.ts";
import { type Cores, createStage, type Stage } from "./load/stage.ts";
import { measureAblation, restRows } from "./micro/measure-ablation.ts";
import { machineFacts, type Report, type Row, tableOf } from "./rows.ts";

const progress = (line: string): void => void process.stderr.write(`bench: ${line}\n`);

function chooseCores(options: BenchOptions): { cores: Cores; facts: Record<string, string>; notes: string[] } {
  if (!canPin() || availableParallelism() < 2) {
    const note = "one core, or no taskset: load and gateway share cores, so the ratios say little";
    return { cores: { load: undefined, gateway: undefined, both: undefined }, facts: {}, notes: [note] };
  }
  const load = String(options.loadCore ?? 0);
  const gateway = String(options.gatewayCore ?? (load === "1" ? 0 : 1));
  return {
    cores: { load, gateway, both: `${load},${gateway}` },
    facts: { load_core: load, gateway_core: gateway },
    notes: [],
  };
}

async function measure(
  options: BenchOptions,
  cores: Cores,
  keep: (stage: Stage) => void,
): Promise<{ rows: Row[]; notes: string[] }> {
  const { plan, parts } = options;
  const tools = findLoadTools(options.mode !== "smoke", progress);
  const notes = [...tools.notes];
  /** A part that fails is named, and the others are still measured. */
  const attempt = async (name: string, run: () => Promise<Row[]>): Promise<Row[]> => {
    try {
      return await run();
    } catch (error) {
      notes.push(`${name} could not be measured: ${error instanceof Error ? error.message : String(error)}`);
      return [];
    }
  };
  const ablation = parts.has("ablation")
    ? await attempt("ablation", () => measureAblation(plan, cores.gateway, progress))
    : [];
  const loaded = parts.size > 1 || !parts.has("ablation") || plan.ablationRounds > 0;
  if (tools.wrk === undefined || tools.nginx === undefined || !loaded) return { rows: ablation, notes };

  const rows: Row[] = [];
  const stage = await createStage(tools, cores, parts.has("mtls-bound"));
  keep(stage);
  const gateway = await stage.startGateway(1);
  if (parts.has("all-checks") || parts.has("latency")) {
    const both = async (): Promise<Row[]> => {
      const bare = await stage.startBare("plain");
      const load = await measureAllChecks(stage, bare, gateway, plan, progress);
      rows.push(...load.rows, ...restRows(load, ablation));
      const { reachedPerS } = load;
      return parts.has("latency") ? measureLatency(stage, bare, gateway, { plan, reachedPerS, progress }) : [];
    };
    rows.push(...(await attempt("all-checks and latency", both)));
  }
  if (parts.has("mtls-bound")) {
    rows.push(...(await attempt("mtls-bound", () => measureMtls(stage, gateway, plan, progress))));
  }
  await gateway.stop();
  if (parts.has("two-threads")) {
    rows.push(...(await attempt("two-threads", () => measureTwoThreads(stage, plan, progress))));
  }
  if (parts.has("ablation") && plan.ablationRounds > 0) {
    rows.push(...(await attempt("ablation under load", () => measureLoadAblation(stage, plan, progress))));
  }
  return { rows: [...rows, ...ablation], notes };
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
  let stage: Stage | undefined;
  const stop = (): void => void (stage?.close() ?? Promise.resolve()).finally(() => process.exit(130));
  process.once("SIGINT", stop).once("SIGTERM", stop);
  const keep = (one: Stage): void => {
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
