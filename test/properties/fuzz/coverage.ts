// In: source modules, by path. Out: how much code of theirs was reached for the first time since the last call.
// V8's own block counts, by the inspector of this very thread: nothing is instrumented.
import { Session } from "node:inspector/promises";

export interface Coverage {
  /** Characters of source that no call before this one has seen run; the counts start anew. */
  takeNew(): Promise<number>;
  /** Undoes the last `takeNew`, so that its new ground can be found again, input by input. */
  forget(): void;
  /** Share of the source of the modules' functions that has run, 0 to 1. */
  reached(): number;
}

/**
 * Counting begins here and goes on until the process ends. A function that was compiled before has no counters inside, so
 * this comes before the first call of what is measured.
 */
export async function startCounting(): Promise<(modules: readonly string[]) => Coverage> {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  return (modules) => createCoverage(session, modules);
}

/** For each character of a module: whether it stands in a function, and whether it ran. */
interface Script {
  readonly code: Uint8Array;
  readonly ran: Uint8Array;
}

function createCoverage(session: Session, modules: readonly string[]): Coverage {
  const scripts = new Map<string, Script>();
  let last: { ran: Uint8Array; at: number }[] = [];

  return {
    async takeNew() {
      last = [];
      const { result } = await session.post("Profiler.takePreciseCoverage");
      for (const { url, functions } of result) {
        if (!modules.some((name) => url.endsWith(`/${name}`))) continue;
        // What begins with the text is the module itself, which runs once and never again.
        const ranges = functions
          .map((one) => one.ranges)
          .filter(([whole]) => whole?.startOffset !== 0)
          .flat();
        const length = Math.max(0, ...ranges.map(({ endOffset }) => endOffset));
        const { code, ran } = scripts.get(url) ?? { code: new Uint8Array(length), ran: new Uint8Array(length) };
        scripts.set(url, { code, ran });
        // Outer ranges come before the ones inside of them, and the innermost one says whether a character ran.
        const now = new Uint8Array(length);
        for (const { startOffset, endOffset, count } of ranges) {
          now.fill(count > 0 ? 1 : 0, startOffset, endOffset);
          code.fill(1, startOffset, endOffset);
        }
        for (let at = 0; at < length; at++) {
          if (now[at] === 0 || ran[at] === 1) continue;
          ran[at] = 1;
          last.push({ ran, at });
        }
      }
      return last.length;
    },
    forget() {
      for (const { ran, at } of last) ran[at] = 0;
      last = [];
    },
    reached() {
      const all = [...scripts.values()];
      const sum = (bytes: Uint8Array): number => bytes.reduce((total, one) => total + one, 0);
      const characters = all.reduce((total, { code }) => total + sum(code), 0);
      return characters === 0 ? 0 : all.reduce((total, { ran }) => total + sum(ran), 0) / characters;
    },
  };
}
