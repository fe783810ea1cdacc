// In: subjects, a time and a seed. Out: what was found, each finding kept as a case; progress goes to `say`.
import { textTable } from "../../../src/cli/text-table.ts";
import { keepCase } from "../kept-cases.ts";
import type { Finding, Subject } from "./subject.ts";

/** Every subject gets its turn several times, so that a stop at any moment has seen them all. */
const TURNS_MIN = 3;
const TURN_MS_MAX = 5000;

/** The file of the case has all of it. */
const INPUT_CHARS_SHOWN = 1500;

export interface FuzzRun {
  readonly subjects: readonly Subject[];
  readonly minutes: number;
  readonly seed: number;
  readonly casesFolder?: string;
  readonly say: (line: string) => void;
}

export async function runFuzz({ subjects, minutes, seed, casesFolder, say }: FuzzRun): Promise<Finding[]> {
  const findings: Finding[] = [];
  const broken = new Set<string>();
  const note = (finding: Finding | undefined): void => {
    if (finding === undefined) return;
    findings.push(finding);
    broken.add(finding.name);
    say(describe(finding, casesFolder));
  };
  const startedAt = performance.now();
  const endsAt = startedAt + minutes * 60_000;
  say(`seed ${seed}, ${minutes} minutes, ${subjects.length} properties`);
  for (const subject of subjects) note(await subject.replay());

  const turnMs = Math.min(TURN_MS_MAX, (minutes * 60_000) / (subjects.length * TURNS_MIN));
  for (let round = 0; performance.now() < endsAt && broken.size < subjects.length; round++) {
    for (const subject of subjects) {
      const restMs = endsAt - performance.now();
      if (restMs <= 0) break;
      // A property that is broken stays so; the time is better spent on the others.
      if (!broken.has(subject.name)) note(await subject.run(Math.min(turnMs, restMs), seed + round));
    }
    const runs = subjects.reduce((sum, subject) => sum + subject.tally().runs, 0);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    say(`${seconds} s, round ${round + 1}: ${runs} runs, ${findings.length} findings`);
  }
  say(table(subjects, broken));
  return findings;
}

function describe(finding: Finding, casesFolder: string | undefined): string {
  const { name, input, message, seed } = finding;
  const lines = [`FOUND ${name}: ${message}`, `  input ${JSON.stringify(input)?.slice(0, INPUT_CHARS_SHOWN)}`];
  if (seed === undefined) {
    lines.push("  a kept case that is broken again");
  } else {
    lines.push(`  kept in ${keepCase(name, { why: message.split("\n")[0] ?? "", input }, casesFolder)}`);
    lines.push(`  found by: npm run fuzz -- --only ${name} --seed ${seed}`);
  }
  lines.push(`  see it again: npm run fuzz -- --only ${name} --minutes 0`);
  return lines.join("\n");
}

function table(subjects: readonly Subject[], broken: ReadonlySet<string>): string {
  const rows = subjects.map((subject) => {
    const { runs, accepted, kept, reached } = subject.tally();
    const share = runs === 0 ? "-" : `${Math.round((100 * accepted) / runs)}%`;
    const guided = reached === undefined ? ["-", "-"] : [String(kept), `${Math.round(100 * reached)}%`];
    return [subject.name, String(runs), share, ...guided, broken.has(subject.name) ? "BROKEN" : "holds"];
  });
  return textTable(["property", "runs", "accepted", "new ground", "source run", ""], rows);
}
