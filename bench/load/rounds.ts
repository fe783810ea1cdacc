// In: rounds of load. Out: medians, ratios within pairs, and how many proofs the next round needs.
// A ratio is made within a pair and the row is the median of the pairs, so that a slow minute of the machine meets both sides.
import { median, type Row, row } from "../rows.ts";
import type { Round } from "./run-wrk.ts";

export type Progress = (line: string) => void;

/** Proofs for a round: more than it can use, also where the last one was the warm-up. Where they run out, wrk idles. */
const PROOFS_MARGIN = 2;
/** Before anything is known; no core of today checks more proofs than that in a second. */
const FIRST_GUESS_PER_S = 6000;

/** Remembers what the gateway reaches, so that as many proofs are signed as are needed. */
export function proofCounter() {
  let perS = FIRST_GUESS_PER_S;
  return {
    perS: () => perS,
    countFor: (seconds: number) => Math.ceil(perS * Math.max(1, seconds) * PROOFS_MARGIN),
    learn(round: Round): Round {
      if (round.error === undefined) perS = Math.max(500, round.requestsPerS);
      return round;
    },
  };
}

export function errorOf(...rounds: readonly Round[]): string | undefined {
  return rounds.find(({ error }) => error !== undefined)?.error;
}

export const throughputs = (rounds: readonly Round[]) => median(rounds.map(({ requestsPerS }) => requestsPerS));
export const cpus = (rounds: readonly Round[]) => median(rounds.map(({ cpuUsPerRequest }) => cpuUsPerRequest));

export function ratios(over: readonly Round[], under: readonly Round[], of: (round: Round) => number): number {
  return median(over.map((round, index) => of(round) / of(under[index] as Round)));
}

export function figuresOf(name: string, rounds: readonly Round[]): Row[] {
  return [
    row(`${name}-throughput`, throughputs(rounds), "req/s"),
    row(`${name}-cpu`, cpus(rounds), "us/req"),
    row(`${name}-memory`, rounds.at(-1)?.rssMiB ?? Number.NaN, "MiB"),
  ];
}
