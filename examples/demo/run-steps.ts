// In: steps and the stage they play on. Out: for each what was expected and what was got, in bounded time.
// A step that fails or hangs does not stop the others; it is what the run reports.
import type { Stage } from "./start-stage.ts";

export interface Played {
  /** Compared with the step's `expected`, one by one. */
  readonly facts: readonly string[];
  /** Told beside the facts: figures and ids that differ from run to run. */
  readonly note?: string;
}

export interface Step {
  readonly id: string;
  readonly title: string;
  readonly expected: readonly string[];
  readonly run: (stage: Stage) => Promise<Played>;
}

export interface StepResult {
  readonly id: string;
  readonly title: string;
  readonly expected: string;
  readonly got: string;
  readonly ok: boolean;
}

/** Something that this machine does not have. It fails the run only where all has to be there: with `CI=true`. */
export class NotRun extends Error {}

/** Far more than any step takes on a slow machine. */
const STEP_TIMEOUT_MS = 30_000;

export async function runSteps(options: {
  readonly steps: readonly Step[];
  readonly stage: Stage;
  /** `performance.now()` at which the run ends. */
  readonly deadline: number;
  readonly onResult: (result: StepResult, index: number) => void;
}): Promise<StepResult[]> {
  const { steps, stage, deadline, onResult } = options;
  const results: StepResult[] = [];
  for (const [index, step] of steps.entries()) {
    stage.ledger.step = step.id;
    const leftMs = Math.min(STEP_TIMEOUT_MS, deadline - performance.now());
    const result = leftMs > 0 ? await play(step, stage, leftMs) : failed(step, "not reached: the time was used up");
    results.push(result);
    onResult(result, index);
  }
  return results;
}

export function failed(step: Step, got: string): StepResult {
  const { id, title, expected } = step;
  return { id, title, expected: expected.join("; "), got, ok: false };
}

async function play(step: Step, stage: Stage, timeoutMs: number): Promise<StepResult> {
  const { id, title, expected } = step;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`hung: no result in ${Math.round(timeoutMs / 1000)} s`)), timeoutMs);
  });
  try {
    const { facts, note } = await Promise.race([step.run(stage), late]);
    const got = facts.join("; ") + (note === undefined ? "" : ` (${note})`);
    return { id, title, expected: expected.join("; "), got, ok: facts.join("\n") === expected.join("\n") };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (error instanceof NotRun) return { ...failed(step, `not run: ${text}`), ok: process.env["CI"] !== "true" };
    return failed(step, text);
  } finally {
    clearTimeout(timer);
  }
}
