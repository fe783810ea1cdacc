// In: a property. Out: the same property as something to run for long, guided by the code that its inputs reach.
// One batch has one seed. After a batch of a guided property, inputs that reached new code join what is mutated.
import fc from "fast-check";
import { readCases } from "../kept-cases.ts";
import { ACCEPTED, type AnyProperty } from "../property.ts";
import type { Coverage } from "./coverage.ts";
import { shrinkText } from "./shrink-text.ts";
import type { Finding, Subject } from "./subject.ts";

const BATCH_RUNS = 4000;
/** A check of one input that takes longer than this, twice, is a finding: hostile input must not buy time. */
const CHECK_MS_MAX = 1000;
/** More and longer texts to mutate make every batch slower. */
const CORPUS_MAX = 500;
const CORPUS_CHARS_MAX = 16_384;

/** Thrown for an input that is judged rightly, but too slowly. */
class SlowCheck extends Error {}

export interface SubjectOptions {
  /** Absent: nothing is guided. */
  readonly createCoverage?: (modules: readonly string[]) => Coverage;
  readonly casesFolder?: string;
  readonly checkMsMax?: number;
}

export function createPropertySubject(property: AnyProperty, options: SubjectOptions = {}): Subject {
  const { name, says, inputs, check, guide, isAsync } = property;
  const coverage = guide === undefined ? undefined : options.createCoverage?.(guide.modules);
  const checkMsMax = options.checkMsMax ?? CHECK_MS_MAX;
  let runs = 0;
  let accepted = 0;
  let kept = 0;
  let begun = false;
  let batch: unknown[] = [];

  function finish(label: string, startedAt: number): void {
    if (label === ACCEPTED) accepted++;
    refuseSlow(startedAt, checkMsMax);
  }

  function note(input: unknown): number {
    runs++;
    if (coverage !== undefined) batch.push(input);
    return performance.now();
  }

  const counted = isAsync
    ? fc.asyncProperty(inputs, async (input) => {
        const startedAt = note(input);
        finish(await check(input), startedAt);
      })
    : fc.property(inputs, (input) => {
        const startedAt = note(input);
        finish(check(input) as string, startedAt);
      });

  async function faultOf(input: unknown): Promise<string | undefined> {
    const startedAt = performance.now();
    try {
      await check(input);
      refuseSlow(startedAt, checkMsMax);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  async function findingOf(counterexample: unknown, error: unknown, seed: number): Promise<Finding | undefined> {
    const smallest =
      typeof counterexample === "string"
        ? await shrinkText(counterexample, async (text) => (await faultOf(text)) !== undefined)
        : counterexample;
    const message = await faultOf(smallest);
    // A busy machine makes any check slow, once.
    if (message === undefined && error instanceof SlowCheck) return undefined;
    return { name, input: smallest, message: message ?? "it failed once: it depends on what ran before", seed };
  }

  /** What the first texts reach is no new ground; nor is what another property ran meanwhile. */
  async function begin(): Promise<void> {
    if (coverage === undefined || guide === undefined) return;
    await coverage.takeNew();
    coverage.forget();
    if (begun || guide.textOf !== undefined) return;
    begun = true;
    for (const text of guide.corpus) await faultOf(text);
    await coverage.takeNew();
  }

  /** Finds the inputs that reach new code by running halves of the batch again. What is not reached by then waits. */
  async function learn(candidates: readonly unknown[], endsAt: number): Promise<void> {
    if (coverage === undefined || guide === undefined || candidates.length === 0) return;
    if (performance.now() > endsAt) return;
    for (const input of candidates) await faultOf(input);
    if ((await coverage.takeNew()) === 0) return;
    if (candidates.length > 1) {
      const half = candidates.length >> 1;
      coverage.forget();
      await learn(candidates.slice(0, half), endsAt);
      await learn(candidates.slice(half), endsAt);
      return;
    }
    const text = guide.textOf === undefined ? candidates[0] : guide.textOf(candidates[0]);
    if (typeof text !== "string" || text.length > CORPUS_CHARS_MAX || guide.corpus.length >= CORPUS_MAX) return;
    guide.corpus.push(text);
    kept++;
  }

  return {
    name,
    says,
    async replay() {
      for (const { input } of readCases(name, options.casesFolder)) {
        const message = await faultOf(input);
        if (message !== undefined) return { name, input, message };
      }
      return undefined;
    },
    async run(ms, seed) {
      const endsAt = performance.now() + ms;
      await begin();
      for (let number = 0; ; number++) {
        const restMs = endsAt - performance.now();
        if (restMs <= 0) return undefined;
        batch = [];
        const batchSeed = seedOf(seed, number);
        const limits = { interruptAfterTimeLimit: restMs, markInterruptAsFailure: false };
        const result = await fc.check(counted as fc.IRawProperty<[unknown]>, {
          seed: batchSeed,
          numRuns: BATCH_RUNS,
          ...limits,
        });
        if (result.counterexample !== null) {
          const finding = await findingOf(result.counterexample[0], result.errorInstance, batchSeed);
          if (finding !== undefined) return finding;
        }
        if (coverage !== undefined && (await coverage.takeNew()) > 0) {
          coverage.forget();
          await learn(batch, endsAt);
        }
      }
    },
    tally: () => ({ runs, accepted, kept, reached: coverage?.reached() }),
    close: () => Promise.resolve(),
  };
}

function refuseSlow(startedAt: number, msMax: number): void {
  const ms = Math.round(performance.now() - startedAt);
  if (ms >= msMax) throw new SlowCheck(`the check of one input took ${ms} ms`);
}

/** The first batch has the seed itself, so that a finding's seed leads straight to it. */
function seedOf(seed: number, number: number): number {
  return (seed + number * 0x9e3779b1) | 0;
}
