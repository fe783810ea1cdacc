// In: figures. Out: rows, as a readable table and as JSON. A row that could not be measured says why and has no figure.
import { availableParallelism, cpus, release } from "node:os";

export interface Row {
  readonly name: string;
  /** Null where the run had errors or could not be made; `error` then says what happened. */
  readonly figure: number | null;
  readonly unit: string;
  readonly error?: string;
}

export interface Report {
  readonly rows: readonly Row[];
  readonly machine: Readonly<Record<string, string | number>>;
  readonly notes: readonly string[];
}

export function row(name: string, figure: number, unit: string): Row {
  if (!Number.isFinite(figure)) return { name, figure: null, unit, error: "no figure: nothing was measured" };
  const digits = unit === "ratio" ? 3 : Math.abs(figure) < 10 ? 2 : Math.abs(figure) < 1000 ? 1 : 0;
  return { name, figure: Number(figure.toFixed(digits)), unit };
}

export function failedRow(name: string, unit: string, error: string): Row {
  return { name, figure: null, unit, error };
}

/** NaN where there are no values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle] ?? Number.NaN;
  return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

export function machineFacts(words: readonly string[], cores: Readonly<Record<string, string>>): Report["machine"] {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    kernel: `${process.platform} ${release()}`,
    node: process.version,
    date: new Date().toISOString(),
    arguments: words.join(" "),
    ...cores,
  };
}

export function tableOf(report: Report): string {
  const width = Math.max(...report.rows.map(({ name }) => name.length), 0);
  const figures = report.rows.map(({ figure }) => (figure === null ? "-" : String(figure)));
  const figureWidth = Math.max(...figures.map((text) => text.length), 0);
  const lines = report.rows.map(({ name, unit, error }, index) => {
    const end = error === undefined ? unit : `${unit}  (${error})`;
    return `  ${name.padEnd(width)}  ${(figures[index] ?? "").padStart(figureWidth)}  ${end}`;
  });
  const facts = Object.entries(report.machine).map(([name, value]) => `  ${name}: ${value}`);
  const notes = report.notes.map((note) => `  ${note}`);
  return `${["Machine", ...facts, "", "Rows", ...lines, ...(notes.length > 0 ? ["", "Notes", ...notes] : [])].join("\n")}\n`;
}
