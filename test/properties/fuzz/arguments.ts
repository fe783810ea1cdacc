// In: the words of the command line. Out: what to fuzz and for how long, or one line that says what is wrong.
// Trusts: nothing; an unknown option is refused, so that a mistyped run is not taken for the wanted one.
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { err, ok, type Result } from "../../../src/lib/result.ts";

export interface FuzzOptions {
  readonly minutes: number;
  /** Names of properties or units; all where it is empty. */
  readonly only: readonly string[];
  readonly seed: number;
  readonly list: boolean;
  readonly help: boolean;
}

export const USAGE = `npm run fuzz -- [options]
  --minutes N   how long, in all (default 1; 0: the kept cases alone)
  --only NAME   one property (\`proof.forged\`), one unit (\`proof\`), or \`socket\`; may be repeated
  --seed S      a whole number: the same inputs again; without it a new one is chosen and printed
  --list        the properties and what they say
  --help        this text

Each property is given a share of the time, again and again. The inputs of parsers are guided: one that reaches code that
none before it reached is mutated further. \`socket\` sends requests to a whole gateway in front of a recording tool.

What breaks a property is made small, printed with its seed, and kept in test/properties/cases. \`npm test\` and every
later run begin with the kept cases. To see one again:  npm run fuzz -- --only NAME --minutes 0

Exit codes: 0 nothing was found, 1 a property is broken, 2 the command is wrong.
`;

/** A day: longer runs are better started anew, with another seed. */
const MINUTES_MAX = 1440;
const SEED_MAX = 2 ** 31 - 1;

export function parseFuzzArguments(words: readonly string[]): Result<FuzzOptions, string> {
  const parsed = readWords(words);
  if (!parsed.ok) return parsed;
  const { minutes: minutesText, seed: seedText, only, list, help } = parsed.value.values;
  const minutes = /^\d+(\.\d+)?$/.test(minutesText) ? Number(minutesText) : Number.NaN;
  if (!(minutes <= MINUTES_MAX)) return err(`--minutes ${minutesText}: a number from 0 to ${MINUTES_MAX}`);
  const seed =
    seedText === undefined ? randomInt(SEED_MAX) : /^-?\d{1,10}$/.test(seedText) ? Number(seedText) : Number.NaN;
  if (!(Math.abs(seed) <= SEED_MAX + 1)) return err(`--seed ${seedText}: a whole number of 32 bits`);
  return ok({ minutes, only: only ?? [], seed, list, help });
}

/** The names that are wanted: each is a name, or the unit in front of the dot of several. */
export function chooseNames(only: readonly string[], names: readonly string[]): Result<ReadonlySet<string>, string> {
  const chosen = new Set<string>(only.length === 0 ? names : []);
  for (const wanted of only) {
    const matching = names.filter((name) => name === wanted || name.startsWith(`${wanted}.`));
    if (matching.length === 0) return err(`--only ${wanted}: none of ${names.join(", ")}`);
    for (const name of matching) chosen.add(name);
  }
  return ok(chosen);
}

function readWords(words: readonly string[]) {
  try {
    return ok(
      parseArgs({
        args: [...words],
        options: {
          minutes: { type: "string", default: "1" },
          only: { type: "string", multiple: true },
          seed: { type: "string" },
          list: { type: "boolean", default: false },
          help: { type: "boolean", default: false },
        },
      }),
    );
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}
