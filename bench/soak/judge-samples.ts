// In: what was sampled each second. Out: a line a minute, the slope, and whether memory is flat, with the reasons if not.
// Flat: after the first third, in which the code is compiled and the caches fill, the floor of the last third is at most 5%
// above that of the middle third and its median at most 10%, as many files and threads are open, and nothing was answered
// that should not be. The floor is the tenth percentile: what stays after a collection. Between two of them V8 lets a heap of
// 45 MB grow to 190, once in 20 to 60 s: a median also says where in that the thirds began and ended.
import { percentile } from "../load/rate-stream.ts";
import { median } from "../rows.ts";

export interface Sample {
  /** Seconds since the load began. */
  readonly atS: number;
  readonly rssMiB: number;
  readonly fds: number;
  readonly threads: number;
  readonly requestsPerS: number;
  readonly slowestMs: number;
  /** Of the supervisor's thread; NaN where nobody asked in this second. */
  readonly heapMiB: number;
  readonly externalMiB: number;
  readonly lagMs: number;
}

export interface Verdict {
  readonly flat: boolean;
  /** Least squares over the last two thirds. */
  readonly slopeMiBPerMinute: number;
  /** Floors. */
  readonly middleMiB: number;
  readonly lastMiB: number;
  readonly middleMedianMiB: number;
  readonly lastMedianMiB: number;
  readonly problems: readonly string[];
}

const FLOOR_RATIO_MAX = 1.05;
const MEDIAN_RATIO_MAX = 1.1;
const FLOOR_SHARE = 0.1;
/** Streams, tunnels and half requests come and go. */
const FDS_MORE_MAX = 10;
const THREADS_MORE_MAX = 1;

export interface Minute {
  readonly minute: number;
  readonly floorMiB: number;
  readonly rssMiB: number;
  readonly heapMiB: number;
  readonly externalMiB: number;
  readonly requestsPerS: number;
  readonly fds: number;
  readonly threads: number;
  readonly lagMs: number;
  readonly slowestMs: number;
}

export function minutesOf(samples: readonly Sample[]): Minute[] {
  const groups = new Map<number, Sample[]>();
  for (const sample of samples) {
    const minute = Math.floor(sample.atS / 60) + 1;
    groups.set(minute, [...(groups.get(minute) ?? []), sample]);
  }
  return [...groups].map(([minute, group]) => {
    const middle = (of: (sample: Sample) => number): number =>
      median(group.map(of).filter((value) => !Number.isNaN(value)));
    return {
      minute,
      floorMiB: floorOf(group),
      rssMiB: middle(({ rssMiB }) => rssMiB),
      heapMiB: middle(({ heapMiB }) => heapMiB),
      externalMiB: middle(({ externalMiB }) => externalMiB),
      requestsPerS: middle(({ requestsPerS }) => requestsPerS),
      fds: middle(({ fds }) => fds),
      threads: middle(({ threads }) => threads),
      lagMs: middle(({ lagMs }) => lagMs),
      slowestMs: Math.max(...group.map(({ slowestMs }) => slowestMs)),
    };
  });
}

export function judgeSamples(samples: readonly Sample[], findings: readonly string[]): Verdict {
  const third = Math.floor(samples.length / 3);
  const middle = samples.slice(third, 2 * third);
  const last = samples.slice(2 * third);
  const of = (list: readonly Sample[], value: (sample: Sample) => number): number => median(list.map(value));
  const middleMiB = floorOf(middle);
  const lastMiB = floorOf(last);
  const [middleMedianMiB, lastMedianMiB] = [of(middle, ({ rssMiB }) => rssMiB), of(last, ({ rssMiB }) => rssMiB)];
  const problems = [...findings];
  if (!(lastMedianMiB <= middleMedianMiB * MEDIAN_RATIO_MAX)) {
    const [before, after] = [Math.round(middleMedianMiB), Math.round(lastMedianMiB)];
    problems.push(`memory grows above its floor: median ${before} MiB in the middle third, ${after} in the last`);
  }
  if (!(lastMiB <= middleMiB * FLOOR_RATIO_MAX)) {
    problems.push(`memory grows: ${Math.round(middleMiB)} MiB in the middle third, ${Math.round(lastMiB)} in the last`);
  }
  for (const [what, value, more] of [
    ["open files", ({ fds }: Sample) => fds, FDS_MORE_MAX],
    ["threads", ({ threads }: Sample) => threads, THREADS_MORE_MAX],
  ] as const) {
    const [before, after] = [of(middle, value), of(last, value)];
    if (!(after <= before + more)) {
      problems.push(`${what} grow: ${before} in the middle third, ${after} in the last`);
    }
  }
  return {
    flat: problems.length === 0,
    slopeMiBPerMinute: slopeOf(samples.slice(third)) * 60,
    middleMiB,
    lastMiB,
    middleMedianMiB,
    lastMedianMiB,
    problems,
  };
}

function floorOf(samples: readonly Sample[]): number {
  const sorted = samples.map(({ rssMiB }) => rssMiB).toSorted((a, b) => a - b);
  return percentile(sorted, FLOOR_SHARE);
}

/** MiB a second. */
function slopeOf(samples: readonly Sample[]): number {
  const count = samples.length;
  const meanS = samples.reduce((sum, { atS }) => sum + atS, 0) / count;
  const meanMiB = samples.reduce((sum, { rssMiB }) => sum + rssMiB, 0) / count;
  let over = 0;
  let under = 0;
  for (const { atS, rssMiB } of samples) {
    over += (atS - meanS) * (rssMiB - meanMiB);
    under += (atS - meanS) ** 2;
  }
  return over / under;
}
