// In: the parts that were asked for, and what each of them gave. Out: all rows and notes.
// A part that fails is named, and the others are still measured. Every row that a bar speaks of is there at the end.
import { NAMED_ROWS, type Part } from "./arguments.ts";
import { failedRow, type Row } from "./rows.ts";

/** What a row says whose part was asked for and never came. */
export const NOT_MEASURED = "not measured";

export interface Measured {
  readonly rows: readonly Row[];
  readonly notes?: readonly string[];
}

export function createReport(asked: ReadonlySet<Part>, firstNotes: readonly string[]) {
  const rows: Row[] = [];
  const notes = [...firstNotes];
  const failures = new Map<Part, string>();

  return {
    add(more: readonly Row[]): void {
      rows.push(...more);
    },
    async attempt(parts: readonly Part[], run: () => Promise<Measured>): Promise<void> {
      try {
        const measured = await run();
        rows.push(...measured.rows);
        notes.push(...(measured.notes ?? []));
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        const failed = parts.filter((part) => asked.has(part));
        notes.push(`${failed.join(", ") || "a part"} could not be measured: ${why}`);
        for (const part of failed) failures.set(part, why);
      }
    },
    /** `last` stands behind all others. */
    finish(last: readonly Row[]): { rows: Row[]; notes: string[] } {
      const there = new Set([...rows, ...last].map(({ name }) => name));
      const missing = [...asked].flatMap((part) =>
        Object.entries(NAMED_ROWS[part])
          .filter(([name]) => !there.has(name))
          .map(([name, unit]) => failedRow(name, unit, failures.get(part) ?? firstNotes[0] ?? NOT_MEASURED)),
      );
      return { rows: [...rows, ...missing, ...last], notes };
    },
  };
}
