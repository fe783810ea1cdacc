// In: a stage and what the gateway reached. Out: the latency rows, at half of that rate, for gateway and bare proxy alike.
// Measured from the moment a request was due (rate-stream.ts), in pairs of runs. What the gateway adds is the median of
// the differences within pairs, so that a slow moment of the machine meets both sides of it.
import { writeFileSync } from "node:fs";
import path from "node:path";
import type { Plan } from "../arguments.ts";
import { failedRow, median, type Row, row } from "../rows.ts";
import { BATCHED_PATH } from "./gateway-config.ts";
import type { StreamResult } from "./rate-stream.ts";
import { runConstantRate } from "./run-constant-rate.ts";
import type { Running, Stage } from "./stage.ts";

const CONNECTIONS = 64;
const SKIP_S = 0.5;

export async function measureLatency(
  stage: Stage,
  bare: Running,
  gateway: Running,
  given: { readonly plan: Plan; readonly reachedPerS: number; readonly progress: (line: string) => void },
): Promise<Row[]> {
  const { plan, reachedPerS, progress } = given;
  const ratePerS = Math.floor(reachedPerS / 2);
  if (!(ratePerS > 0)) return failed("no reached rate");
  const seconds = plan.latencyS + SKIP_S;
  const bareHeads = path.join(stage.folder, "heads-bare");
  const sample = (await stage.sampleHeaders(gateway)).join("|");
  writeFileSync(bareHeads, `GET ${BATCHED_PATH} HTTP/1.1|Host: ${bare.host}|${sample}||`);

  const run = async (target: Running, headsFile: string, proofsFile: string | undefined): Promise<StreamResult> => {
    const stream = { ratePerS, connections: CONNECTIONS, headsFile, proofsFile };
    const task = { host: "127.0.0.1", port: target.port, seconds, skipS: SKIP_S, streams: [stream] };
    const [result] = await runConstantRate(stage, task);
    if (result === undefined) throw new Error("the generator said nothing");
    return result;
  };
  const pairs: { bare: StreamResult; gateway: StreamResult }[] = [];
  for (let pair = 1; pair <= plan.latencyPairs; pair++) {
    const bareResult = await run(bare, bareHeads, undefined);
    const files = await stage.proofFiles(gateway, "batched", Math.ceil(ratePerS * seconds) + 1);
    const gatewayResult = await run(gateway, files.heads, files.proofs);
    pairs.push({ bare: bareResult, gateway: gatewayResult });
    progress(
      `latency at ${ratePerS} req/s, pair ${pair} of ${plan.latencyPairs}: ` +
        `bare p50 ${Math.round(bareResult.p50Us)} p99 ${Math.round(bareResult.p99Us)} us, ` +
        `gateway p50 ${Math.round(gatewayResult.p50Us)} p99 ${Math.round(gatewayResult.p99Us)} us`,
    );
  }
  const all = pairs.flatMap((pair) => [pair.bare, pair.gateway]);
  const wrong = all.reduce((sum, one) => sum + one.refusals + one.closed + one.unanswered, 0);
  if (wrong > 0) return failed(`${wrong} requests failed or were not answered`);
  const ms = (of: (pair: { bare: StreamResult; gateway: StreamResult }) => number): number =>
    median(pairs.map(of)) / 1000;
  return [
    row(
      "latency-p50",
      ms((pair) => pair.gateway.p50Us - pair.bare.p50Us),
      "ms",
    ),
    row(
      "latency-p99",
      ms((pair) => pair.gateway.p99Us - pair.bare.p99Us),
      "ms",
    ),
    row("latency-rate", ratePerS, "req/s"),
    row(
      "gateway-p50",
      ms((pair) => pair.gateway.p50Us),
      "ms",
    ),
    row(
      "gateway-p99",
      ms((pair) => pair.gateway.p99Us),
      "ms",
    ),
    row(
      "bare-p50",
      ms((pair) => pair.bare.p50Us),
      "ms",
    ),
    row(
      "bare-p99",
      ms((pair) => pair.bare.p99Us),
      "ms",
    ),
    row(
      "generator-late-p99",
      ms((pair) => pair.gateway.lateP99Us),
      "ms",
    ),
  ];
}

function failed(why: string): Row[] {
  return [failedRow("latency-p50", "ms", why), failedRow("latency-p99", "ms", why)];
}
