// In: a property's name, and an input that broke it. Out: the file in which its inputs are kept, read and written.
// Every run of a property begins with them: what was found once is never found again by chance only.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const CASES_FOLDER = fileURLToPath(new URL("cases", import.meta.url));

export interface KeptCase {
  /** What was wrong when it was found. */
  readonly why: string;
  readonly input: unknown;
}

export function readCases(name: string, folder: string = CASES_FOLDER): readonly KeptCase[] {
  try {
    return JSON.parse(readFileSync(fileOf(name, folder), "utf8")) as readonly KeptCase[];
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

/** Adds a case, once. Returns the file. */
export function keepCase(name: string, found: KeptCase, folder: string = CASES_FOLDER): string {
  const file = fileOf(name, folder);
  const cases = readCases(name, folder);
  const input = JSON.stringify(found.input);
  if (!cases.some((one) => JSON.stringify(one.input) === input)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, `${JSON.stringify([...cases, found], null, 2)}\n`);
  }
  return file;
}

/** Names of the properties that have kept cases. */
export function namesWithCases(folder: string = CASES_FOLDER): string[] {
  return readdirSync(folder).map((file) => file.replace(/\.json$/, ""));
}

function fileOf(name: string, folder: string): string {
  return path.join(folder, `${name}.json`);
}
