// In: one JSON argument: where to send which streams of requests, each at a rate of its own. Out: one line of JSON, a
// result for each stream. Open loop: a server that stalls pays for every request that was due meanwhile, so there is no
// coordinated omission (rate-stream.ts). One process sends all streams: two that poll the clock would hinder each other.
import { readFileSync } from "node:fs";
import { setPriority } from "node:os";
import { createRateStream, type RateStream, type StreamResult, type Target } from "./rate-stream.ts";

export interface StreamFiles extends Omit<RateStream, "heads" | "proofs"> {
  readonly headsFile: string;
  readonly proofsFile: string | undefined;
}

export interface ConstantRateTask extends Target {
  readonly seconds: number;
  /** The start of the run that is not counted: connections are opened, caches are warmed. */
  readonly skipS: number;
  readonly streams: readonly StreamFiles[];
}

/** How long after the last due moment answers are waited for. */
const TAIL_MS = 3000;
/** From the last connection to the first request. */
const START_MS = 20;

async function run(task: ConstantRateTask): Promise<StreamResult[]> {
  const { seconds, skipS } = task;
  const streams = task.streams.map(({ headsFile, proofsFile, ...stream }) => {
    const heads = readLines(headsFile).map((line) => line.replaceAll("|", "\r\n"));
    const proofs = proofsFile === undefined ? undefined : readLines(proofsFile);
    return createRateStream(task, { ...stream, heads, proofs }, seconds, skipS);
  });
  for (const stream of streams) await stream.open();
  const startMs = performance.now() + START_MS;
  for (const stream of streams) stream.begin(startMs);
  await new Promise<void>((resolve) => {
    const tick = (): void => {
      const nowMs = performance.now();
      for (const stream of streams) stream.tick(nowMs);
      const late = nowMs > startMs + seconds * 1000 + TAIL_MS;
      if (late || streams.every((stream) => stream.isSettled())) resolve();
      else setImmediate(tick);
    };
    tick();
  });
  return streams.map((stream) => stream.close());
}

function readLines(file: string): string[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");
}

// It polls the clock without a pause, so that it sends in time; the upstream on the same core goes first.
setPriority(19);
const results = await run(JSON.parse(process.argv[2] ?? "{}") as ConstantRateTask);
process.stdout.write(`${JSON.stringify(results)}\n`);
