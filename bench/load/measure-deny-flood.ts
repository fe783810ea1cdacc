// In: a stage and what the gateway reached. Out: row `deny-flood`: the successes a second that proven callers get while nine
// of ten requests are unproven, over what they get alone.
// The proven load is a quarter of what the gateway reached, at a constant rate, and the flood nine times as much, over nine
// times as many connections: more than the gateway can refuse one by one, so that what it does for the proven counts.
// The flood comes from another address, and in runs of its own from the very address of the proven; the row is the worse.
import { copyFileSync } from "node:fs";
import path from "node:path";
import type { Plan } from "../arguments.ts";
import { failedRow, median, type Row, row } from "../rows.ts";
import { usageOf } from "./child-processes.ts";
import { BATCHED_PATH } from "./gateway-config.ts";
import type { StreamResult } from "./rate-stream.ts";
import { runConstantRate } from "./run-constant-rate.ts";
import type { Running, Stage } from "./stage.ts";
import { FLOOD_MIX, writeFlood } from "./write-flood.ts";

const SHARE_OF_REACHED = 0.25;
/** 90% of all requests. */
const FLOOD_TIMES = 9;
const CONNECTIONS = 32;
const SKIP_S = 0.5;

interface Pair {
  readonly alone: StreamResult;
  readonly proven: StreamResult;
  readonly flood: StreamResult;
  /** What one refusal took of the gateway's processor time. */
  readonly refusalUs: number;
}

interface Given {
  readonly plan: Plan;
  readonly reachedPerS: number;
  readonly progress: (line: string) => void;
}

export async function measureDenyFlood(
  stage: Stage,
  gateway: Running,
  given: Given,
): Promise<{ rows: Row[]; notes: string[] }> {
  const ratePerS = Math.floor(given.reachedPerS * SHARE_OF_REACHED);
  if (!(ratePerS > 0)) return { rows: [failedRow("deny-flood", "ratio", "no reached rate")], notes: [] };
  const other = await measureFrom(stage, gateway, given, ratePerS, "other-peer");
  const same = await measureFrom(stage, gateway, given, ratePerS, "same-peer");
  const otherRatio = ratioOf(other);
  const sameRatio = ratioOf(same);
  const pairs = [...other, ...same];
  const problem = problemOf(pairs);
  const statuses = [other, same].map((pairs) => JSON.stringify(pairs.at(-1)?.flood.statuses ?? {}));
  return {
    rows: [
      problem === undefined
        ? row("deny-flood", Math.min(otherRatio, sameRatio), "ratio")
        : failedRow("deny-flood", "ratio", problem),
      row("deny-flood-other-peer", otherRatio, "ratio"),
      row("deny-flood-same-peer", sameRatio, "ratio"),
      row("deny-flood-rate", ratePerS, "req/s"),
      row("deny-flood-offered", ratePerS * FLOOD_TIMES, "req/s"),
      ...detailsOf("other-peer", other),
      ...detailsOf("same-peer", same),
    ],
    notes: [
      `deny-flood: ${FLOOD_MIX}; answers to the flood of the last run: ${statuses[0]} from another address, ` +
        `${statuses[1]} from the same one`,
    ],
  };
}

/** Pairs of the proven load alone and with the flood. Each pair has addresses of its own, so none pays for the last one. */
async function measureFrom(
  stage: Stage,
  gateway: Running,
  { plan, progress }: Given,
  ratePerS: number,
  from: "other-peer" | "same-peer",
): Promise<Pair[]> {
  const seconds = plan.floodS + SKIP_S;
  const count = Math.ceil(ratePerS * seconds) + 1;
  const pairs: Pair[] = [];
  for (let number = 1; number <= plan.floodPairs; number++) {
    const provenFrom = from === "same-peer" ? `127.0.2.${number}` : `127.0.3.${number}`;
    const floodFrom = from === "same-peer" ? provenFrom : `127.0.4.${number}`;
    const task = { host: "127.0.0.1", port: gateway.port, seconds, skipS: SKIP_S };
    const proven = async () => {
      const files = await stage.proofFiles(gateway, "batched", count);
      const place = { ratePerS, connections: CONNECTIONS, localAddress: provenFrom };
      return { ...place, headsFile: files.heads, proofsFile: files.proofs };
    };

    const first = await proven();
    const before = usageOf(gateway.pid).cpuUs;
    const [alone] = await runConstantRate(stage, { ...task, streams: [first] });
    const between = usageOf(gateway.pid).cpuUs;
    if (alone === undefined) throw new Error("the generator said nothing");
    const used = {
      heads: keep(stage, first.headsFile),
      proofs: keep(stage, first.proofsFile),
      count: alone.requests,
    };
    const second = await proven();
    const headsFile = path.join(stage.folder, "flood");
    writeFlood(headsFile, {
      count: count * FLOOD_TIMES,
      host: gateway.host,
      path: BATCHED_PATH,
      htu: `${gateway.origin}${BATCHED_PATH}`,
      agents: stage.agents,
      used,
    });
    const flooding = {
      ratePerS: ratePerS * FLOOD_TIMES,
      connections: CONNECTIONS * FLOOD_TIMES,
      localAddress: floodFrom,
      headsFile,
      proofsFile: undefined,
    };
    const beforeFlood = usageOf(gateway.pid).cpuUs;
    const [provenResult, flood] = await runConstantRate(stage, { ...task, streams: [second, flooding] });
    const after = usageOf(gateway.pid).cpuUs;
    if (provenResult === undefined || flood === undefined) throw new Error("the generator said nothing");
    const refusals = flood.refusals + flood.closed;
    const provenUs = (between - before) * (provenResult.successes / Math.max(1, alone.successes));
    pairs.push({ alone, proven: provenResult, flood, refusalUs: (after - beforeFlood - provenUs) / refusals });
    progress(
      `deny-flood, ${from}, pair ${number} of ${plan.floodPairs}: proven ${Math.round(alone.successPerS)} alone, ` +
        `${Math.round(provenResult.successPerS)} with ${Math.round(flood.refusedPerS)} of ${flooding.ratePerS} refused req/s`,
    );
  }
  return pairs;
}

/** The same file name is written again for the next round. */
function keep(stage: Stage, file: string): string {
  const copy = path.join(stage.folder, `used-${path.basename(file)}`);
  copyFileSync(file, copy);
  return copy;
}

function problemOf(pairs: readonly Pair[]): string | undefined {
  const got = pairs.reduce((sum, { flood }) => sum + flood.successes, 0);
  if (got > 0) return `${got} requests of the flood succeeded`;
  const wrong = pairs.reduce((sum, { alone }) => sum + alone.refusals + alone.closed + alone.unanswered, 0);
  return wrong > 0 ? `${wrong} requests of the proven load alone failed or were not answered` : undefined;
}

function ratioOf(pairs: readonly Pair[]): number {
  return median(pairs.map(({ alone, proven }) => proven.successPerS / alone.successPerS));
}

function detailsOf(from: string, pairs: readonly Pair[]): Row[] {
  const middle = (of: (pair: Pair) => number): number => median(pairs.map(of));
  const name = `deny-flood-${from}`;
  const alone = middle((pair) => pair.alone.p99Us) / 1000;
  const flooded = middle((pair) => pair.proven.p99Us) / 1000;
  const refused = middle((pair) => pair.flood.refusedPerS);
  const refusalUs = middle((pair) => pair.refusalUs);
  return [
    row(`${name}-p99-alone`, alone, "ms"),
    row(`${name}-p99`, flooded, "ms"),
    row(`${name}-refused`, refused, "req/s"),
    row(`${name}-refusal-cpu`, refusalUs, "us/req"),
  ];
}
