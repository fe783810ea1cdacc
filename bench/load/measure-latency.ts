// In: a stage and what the gateway reached. Out: the latency rows, at half of that rate, for gateway and bare proxy alike.
// Measured from the moment a request was due (constant-rate.ts), in runs that alternate; a row is the median of its runs.
import { writeFileSync } from "node:fs";
import path from "node:path";
import type { Plan } from "../arguments.ts";
import { failedRow, median, type Row, row } from "../rows.ts";
import type { ConstantRateResult, ConstantRateTask } from "./constant-rate.ts";
import { BATCHED_PATH } from "./gateway-config.ts";
import type { Running, Stage } from "./stage.ts";

const GENERATOR = new URL("./constant-rate.ts", import.meta.url).pathname;
const SKIP_S = 0.5;

export async function measureLatency(
  stage: Stage,
  bare: Running,
  gateway: Running,
  given: { readonly plan: Plan; readonly reachedPerS: number; readonly progress: (line: string) => void },
): Promise<Row[]> {
  const { plan, reachedPerS, progress } = given;
  const ratePerS = Math.floor(reachedPerS / 2);
  if (!(ratePerS > 0))
    return [failedRow("latency-p50", "ms", "no reached rate"), failedRow("latency-p99", "ms", "no reached rate")];
  const seconds = plan.latencyS + SKIP_S;
  const bareHeads = path.join(stage.folder, "heads-bare");
  const sample = (await stage.sampleHeaders(gateway)).join("|");
  writeFileSync(bareHeads, `GET ${BATCHED_PATH} HTTP/1.1|Host: ${bare.host}|${sample}||`);
  const results: { bare: ConstantRateResult[]; gateway: ConstantRateResult[] } = { bare: [], gateway: [] };
  const run = async (
    target: Running,
    headsFile: string,
    proofsFile: string | undefined,
  ): Promise<ConstantRateResult> => {
    const task: ConstantRateTask = {
      host: "127.0.0.1",
      port: target.port,
      ratePerS,
      seconds,
      skipS: SKIP_S,
      headsFile,
      proofsFile,
    };
    const output = await stage.processes.run(process.execPath, [GENERATOR, JSON.stringify(task)], {
      cores: stage.cores.load,
      timeoutMs: (seconds + 30) * 1000,
    });
    return JSON.parse(output) as ConstantRateResult;
  };
  for (let pair = 1; pair <= plan.latencyPairs; pair++) {
    results.bare.push(await run(bare, bareHeads, undefined));
    const files = await stage.proofFiles(gateway, "batched", Math.ceil(ratePerS * seconds) + 1);
    results.gateway.push(await run(gateway, files.heads, files.proofs));
    const [bareLast, gatewayLast] = [results.bare.at(-1), results.gateway.at(-1)];
    progress(
      `latency at ${ratePerS} req/s, pair ${pair} of ${plan.latencyPairs}: ` +
        `bare p50 ${Math.round(bareLast?.p50Us ?? 0)} p99 ${Math.round(bareLast?.p99Us ?? 0)} us, ` +
        `gateway p50 ${Math.round(gatewayLast?.p50Us ?? 0)} p99 ${Math.round(gatewayLast?.p99Us ?? 0)} us`,
    );
  }
  const errors = [...results.bare, ...results.gateway].reduce((sum, one) => sum + one.errors, 0);
  if (errors > 0) {
    const text = `${errors} requests failed or were not answered`;
    return [failedRow("latency-p50", "ms", text), failedRow("latency-p99", "ms", text)];
  }
  const ms = (list: readonly ConstantRateResult[], of: (one: ConstantRateResult) => number): number =>
    median(list.map(of)) / 1000;
  const p50 = (one: ConstantRateResult): number => one.p50Us;
  const p99 = (one: ConstantRateResult): number => one.p99Us;
  return [
    row("latency-p50", ms(results.gateway, p50) - ms(results.bare, p50), "ms"),
    row("latency-p99", ms(results.gateway, p99) - ms(results.bare, p99), "ms"),
    row("latency-rate", ratePerS, "req/s"),
    row("gateway-p50", ms(results.gateway, p50), "ms"),
    row("gateway-p99", ms(results.gateway, p99), "ms"),
    row("bare-p50", ms(results.bare, p50), "ms"),
    row("bare-p99", ms(results.bare, p99), "ms"),
    row(
      "generator-late-p99",
      ms(results.gateway, (one) => one.lateP99Us),
      "ms",
    ),
  ];
}
