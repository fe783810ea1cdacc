// In: a stage. Out: the rows under load: throughput, processor time and memory beside the bare proxy.
// Rounds of the bare proxy and of the gateway alternate, and a ratio is made within a pair: both meet the same machine
// and the same requests. The credentials are most of a request's bytes, and the bare proxy reads and forwards them.
import type { Plan } from "../arguments.ts";
import { failedRow, type Row, row } from "../rows.ts";
import { BATCHED_PATH } from "./gateway-config.ts";
import { cpus, errorOf, figuresOf, type Progress, proofCounter, ratios, throughputs } from "./rounds.ts";
import type { Round } from "./run-wrk.ts";
import { type Running, type Stage, withGateway } from "./stage.ts";

export interface LoadFigures {
  readonly rows: readonly Row[];
  /** Requests a second that the gateway reached with all checks; NaN where the rounds failed. */
  readonly reachedPerS: number;
  readonly bareCpuUs: number;
  readonly gatewayCpuUs: number;
}

/** Rows `all-checks` and `strict`: the same gateway, one route recorded in batches, one that waits for the disk. */
export async function measureAllChecks(
  stage: Stage,
  bare: Running,
  gateway: Running,
  plan: Plan,
  progress: Progress,
): Promise<LoadFigures> {
  const proofs = proofCounter();
  const plainTarget = { url: `${bare.origin}${BATCHED_PATH}`, pid: bare.pid };
  const bareTarget = { ...plainTarget, headers: await stage.sampleHeaders(gateway) };
  const prove = async (route: "batched" | "strict", seconds: number): Promise<Round> =>
    proofs.learn(await stage.proofRound(gateway, route, seconds, proofs.countFor(seconds)));
  const floor = await stage.startBare("one-signature");
  const floorTarget = { ...bareTarget, url: `${floor.origin}${BATCHED_PATH}`, pid: floor.pid };
  const piped = plan.otherBareProxies ? await stage.startBare("pipeline") : undefined;
  const pipedRound = async (seconds: number): Promise<Round[]> =>
    piped === undefined
      ? []
      : [await stage.plainRound({ ...bareTarget, url: `${piped.origin}${BATCHED_PATH}`, pid: piped.pid }, seconds)];
  if (plan.warmUpS > 0) {
    progress("warming up");
    await stage.plainRound(bareTarget, plan.warmUpS);
    await stage.plainRound(floorTarget, 1);
    await pipedRound(plan.warmUpS);
    await prove("batched", plan.warmUpS);
    await prove("strict", 1);
  }
  const rounds: Record<"bare" | "floor" | "all" | "strict" | "plain" | "piped", Round[]> = {
    bare: [],
    floor: [],
    all: [],
    strict: [],
    plain: [],
    piped: [],
  };
  for (let pair = 1; pair <= plan.pairs; pair++) {
    rounds.bare.push(await stage.plainRound(bareTarget, plan.roundS));
    rounds.all.push(await prove("batched", plan.roundS));
    rounds.strict.push(await prove("strict", plan.roundS));
    rounds.floor.push(await stage.plainRound(floorTarget, plan.roundS));
    if (plan.otherBareProxies) rounds.plain.push(await stage.plainRound(plainTarget, plan.roundS));
    rounds.piped.push(...(await pipedRound(plan.roundS)));
    const [bareRate, allRate, strictRate] = [rounds.bare, rounds.all, rounds.strict].map((list) =>
      Math.round(list.at(-1)?.requestsPerS ?? 0),
    );
    progress(`pair ${pair} of ${plan.pairs}: bare ${bareRate}, all-checks ${allRate}, strict ${strictRate} req/s`);
  }
  await floor.stop();
  await piped?.stop();
  const rate = ({ requestsPerS }: Round): number => requestsPerS;
  const error = errorOf(...rounds.bare, ...rounds.all);
  const strictError = error ?? errorOf(...rounds.strict);
  return {
    rows: [
      error === undefined
        ? row("all-checks", ratios(rounds.all, rounds.bare, rate), "ratio")
        : failedRow("all-checks", "ratio", error),
      ...(error === undefined ? figuresOf("all-checks", rounds.all) : []),
      ...figuresOf("bare", rounds.bare),
      row("floor-one-signature", ratios(rounds.floor, rounds.bare, rate), "ratio"),
      row("floor-one-signature-cpu", cpus(rounds.floor), "us/req"),
      ...(plan.otherBareProxies ? otherBareRows(rounds, rate) : []),
      strictError === undefined
        ? row("strict", ratios(rounds.strict, rounds.all, rate), "ratio")
        : failedRow("strict", "ratio", strictError),
      ...(strictError === undefined ? figuresOf("strict", rounds.strict).slice(0, 2) : []),
    ],
    reachedPerS: error === undefined ? throughputs(rounds.all) : Number.NaN,
    bareCpuUs: cpus(rounds.bare),
    gatewayCpuUs: error === undefined ? cpus(rounds.all) : Number.NaN,
  };
}

/** The bare proxy without credentials, and the one that is written by `request` and `pipeline` with them: reported, no bar. */
function otherBareRows(
  rounds: Readonly<Record<"bare" | "plain" | "piped", readonly Round[]>>,
  rate: (round: Round) => number,
): Row[] {
  return [
    ...figuresOf("bare-without-headers", rounds.plain).slice(0, 2),
    row("bare-pipeline", ratios(rounds.piped, rounds.bare, rate), "ratio"),
    ...figuresOf("bare-pipeline", rounds.piped).slice(0, 2),
  ];
}

/** Requests a second that a warm gateway reaches, where only the rows that build on it are asked for. */
export async function measureReached(
  stage: Stage,
  bare: Running,
  gateway: Running,
  plan: Plan,
  progress: Progress,
): Promise<number> {
  const proofs = proofCounter();
  if (plan.warmUpS > 0) {
    progress("warming up");
    const target = { url: `${bare.origin}${BATCHED_PATH}`, pid: bare.pid, headers: await stage.sampleHeaders(gateway) };
    await stage.plainRound(target, plan.warmUpS);
    await stage.proofRound(gateway, "batched", plan.warmUpS, proofs.countFor(plan.warmUpS));
  }
  const round = await stage.proofRound(gateway, "batched", plan.roundS, proofs.countFor(plan.roundS));
  return round.error === undefined ? round.requestsPerS : Number.NaN;
}

/** Row `mtls-bound`: certificate-bound tokens over TLS, beside the bare proxy over TLS that asks for the certificate too. */
export async function measureMtls(stage: Stage, gateway: Running, plan: Plan, progress: Progress): Promise<Row[]> {
  if (stage.tls === undefined) return [failedRow("mtls-bound", "ratio", "nginx has no stream module")];
  const bare = await stage.startBare("tls");
  const headers = stage.certificateHeaders(gateway);
  const bareTarget = { url: `http://127.0.0.1:${stage.tls.bare}${BATCHED_PATH}`, pid: bare.pid, headers };
  const target = { url: `http://127.0.0.1:${stage.tls.gateway}${BATCHED_PATH}`, pid: gateway.pid, headers };
  if (plan.warmUpS > 0) {
    await stage.plainRound(bareTarget, plan.warmUpS);
    await stage.plainRound(target, plan.warmUpS);
  }
  const rounds: { bare: Round[]; bound: Round[] } = { bare: [], bound: [] };
  for (let pair = 1; pair <= plan.pairs; pair++) {
    rounds.bare.push(await stage.plainRound(bareTarget, plan.roundS));
    rounds.bound.push(await stage.plainRound(target, plan.roundS));
    const [bareRate, boundRate] = [rounds.bare, rounds.bound].map((list) => Math.round(list.at(-1)?.requestsPerS ?? 0));
    progress(`pair ${pair} of ${plan.pairs}: bare TLS ${bareRate}, mtls-bound ${boundRate} req/s`);
  }
  await bare.stop();
  const error = errorOf(...rounds.bare, ...rounds.bound);
  if (error !== undefined) return [failedRow("mtls-bound", "ratio", error)];
  return [
    row(
      "mtls-bound",
      ratios(rounds.bound, rounds.bare, ({ requestsPerS }) => requestsPerS),
      "ratio",
    ),
    ...figuresOf("mtls-bound", rounds.bound).slice(0, 2),
    ...figuresOf("bare-tls", rounds.bare).slice(0, 2),
  ];
}

/**
 * Row `two-threads`: processor time a request with two data threads over that with one. Both may use both cores, and
 * share them with the load: on two cores there is no other way to let two threads run at once.
 */
export async function measureTwoThreads(stage: Stage, plan: Plan, progress: Progress): Promise<Row[]> {
  const proofs = proofCounter();
  const rounds: { one: Round[]; two: Round[] } = { one: [], two: [] };
  for (const [threads, list] of [
    [1, rounds.one],
    [2, rounds.two],
  ] as const) {
    await withGateway(stage, { threads, cores: stage.cores.both }, async (gateway) => {
      if (plan.warmUpS > 0) await stage.proofRound(gateway, "batched", plan.warmUpS, proofs.countFor(plan.warmUpS));
      for (let pair = 1; pair <= plan.threadRounds; pair++) {
        list.push(proofs.learn(await stage.proofRound(gateway, "batched", plan.roundS, proofs.countFor(plan.roundS))));
      }
    });
    progress(`${threads} data thread(s): ${Math.round(throughputs(list))} req/s, ${Math.round(cpus(list))} us/req`);
  }
  const error = errorOf(...rounds.one, ...rounds.two);
  if (error !== undefined) return [failedRow("two-threads", "ratio", error)];
  return [
    row("two-threads", cpus(rounds.two) / cpus(rounds.one), "ratio"),
    row("two-threads-cpu", cpus(rounds.two), "us/req"),
    row("one-thread-cpu", cpus(rounds.one), "us/req"),
    row("two-threads-throughput", throughputs(rounds.two), "req/s"),
  ];
}
