// In: time and seeds. Out: mutated requests sent to a whole gateway, in batches, and the first disagreement made small.
import fc from "fast-check";
import type { Finding, Subject } from "../fuzz/subject.ts";
import { shrinkText } from "../fuzz/shrink-text.ts";
import { readCases } from "../kept-cases.ts";
import { attempts, SOCKET } from "./attempts.ts";
import { checkSeen, type Disagreement, SAYS } from "./check-seen.ts";
import { type Stage, startStage } from "./stage.ts";

const BATCH = 100;
/** A new gateway now and then: its log files would grow with the run. */
const ATTEMPTS_PER_GATEWAY = 5000;
/** One try costs as much as its silence: a smaller finding is not worth more time. */
const TRIES_MAX = 60;
/** Gateway, client and tool in one process, while thousands of agents come and go. */
const RSS_BYTES_MAX = 1024 * 1024 * 1024;

export function createSocketSubject(casesFolder?: string): Subject {
  let stage: Stage | undefined;
  let sent = 0;
  let runs = 0;
  let accepted = 0;

  async function disagreements(batch: readonly string[]): Promise<Disagreement[]> {
    if (sent >= ATTEMPTS_PER_GATEWAY) {
      await stage?.close();
      stage = undefined;
      sent = 0;
    }
    stage ??= await startStage();
    sent += batch.length;
    const seen = await stage.send(batch);
    runs += batch.length;
    accepted += new Set(
      seen.forwarded.flatMap(({ headers }) =>
        headers.filter(([name]) => name === "x-cordon-agent").map(([, id]) => id),
      ),
    ).size;
    const found = checkSeen(seen);
    const { rss } = process.memoryUsage();
    if (rss > RSS_BYTES_MAX) found.push({ attempt: undefined, message: `the process holds ${rss} bytes` });
    return found;
  }

  async function findingOf(found: readonly Disagreement[], batch: readonly string[], seed: number): Promise<Finding> {
    const [first] = found;
    const message = first?.message ?? "";
    const breaks = async (text: string): Promise<boolean> => (await disagreements([text])).length > 0;
    // Where no single attempt is to blame, each is tried alone.
    const blamed = [...new Set(found.flatMap(({ attempt }) => attempt ?? []))];
    for (const one of blamed.length === 0 ? batch : blamed) {
      if (!(await breaks(one))) continue;
      return { name: SOCKET, input: [await shrinkText(one, breaks, TRIES_MAX)], message, seed };
    }
    return { name: SOCKET, input: blamed.length === 0 ? batch : blamed, message: `${message} (once)`, seed };
  }

  return {
    name: SOCKET,
    says: SAYS,
    async replay() {
      for (const { input } of readCases(SOCKET, casesFolder)) {
        const [found] = await disagreements(input as readonly string[]);
        if (found !== undefined) return { name: SOCKET, input, message: found.message };
      }
      return undefined;
    },
    async run(ms, seed) {
      const endsAt = performance.now() + ms;
      for (let number = 0; performance.now() < endsAt; number++) {
        const batch = fc.sample(attempts, { numRuns: BATCH, seed: seed + number * BATCH });
        const found = await disagreements(batch);
        if (found.length > 0) return findingOf(found, batch, seed + number * BATCH);
      }
      return undefined;
    },
    tally: () => ({ runs, accepted, kept: 0, reached: undefined }),
    async close() {
      await stage?.close();
      stage = undefined;
    },
  };
}
