// In: arguments. Out: progress and a table on standard output; exit code 1 where a property is broken, 2 for a wrong command.
import { chooseNames, parseFuzzArguments, USAGE } from "./arguments.ts";
import { startCounting } from "./coverage.ts";
import { runFuzz } from "./run-fuzz.ts";
import type { Subject } from "./subject.ts";

function refuse(error: string): number {
  process.stderr.write(`fuzz: ${error}\n${USAGE}`);
  return 2;
}

/** Loaded late: keys are made for the properties, and counting has to begin before their code is compiled. */
async function createSubjects(): Promise<readonly Subject[]> {
  const createCoverage = await startCounting();
  const { ALL_PROPERTIES } = await import("../all-properties.ts");
  const { createPropertySubject } = await import("./property-subject.ts");
  const { createSocketSubject } = await import("../socket/socket-subject.ts");
  return [
    ...ALL_PROPERTIES.map((property) => createPropertySubject(property, { createCoverage })),
    createSocketSubject(),
  ];
}

async function main(words: readonly string[]): Promise<number> {
  const parsed = parseFuzzArguments(words);
  if (!parsed.ok) return refuse(parsed.error);
  const { help, list, only, minutes, seed } = parsed.value;
  if (help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const all = await createSubjects();
  const names = chooseNames(
    only,
    all.map(({ name }) => name),
  );
  if (!names.ok) return refuse(names.error);
  const subjects = all.filter(({ name }) => names.value.has(name));
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  if (list) {
    for (const { name, says } of subjects) say(`${name}: ${says}`);
    return 0;
  }
  try {
    return (await runFuzz({ subjects, minutes, seed, say })).length === 0 ? 0 : 1;
  } finally {
    for (const subject of subjects) await subject.close();
  }
}

process.exitCode = await main(process.argv.slice(2));
