// In: results of steps, one after the other. Out: rows of a table with wrapped cells, for a terminal.
import type { StepResult } from "./run-steps.ts";

const WIDTHS = [2, 4, 30, 34, 36] as const;
const GAP = "  ";

export function tableHead(): string {
  return row(["#", "", "step", "expected", "got"]) + row(WIDTHS.map((width) => "-".repeat(width)));
}

export function tableRow(result: StepResult, index: number): string {
  return row([String(index + 1), result.ok ? "ok" : "FAIL", result.title, result.expected, result.got]);
}

function row(cells: readonly string[]): string {
  const columns = cells.map((cell, index) => wrap(cell, WIDTHS[index] ?? 0));
  const height = Math.max(...columns.map((lines) => lines.length));
  const lines = Array.from({ length: height }, (_, line) =>
    columns
      .map((column, index) => (column[line] ?? "").padEnd(WIDTHS[index] ?? 0))
      .join(GAP)
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

/** Breaks at blanks; a word that is longer than the column is cut into pieces. */
function wrap(text: string, width: number): string[] {
  const words = text.split(/\s+/).flatMap((word) => word.match(new RegExp(`.{1,${width}}`, "gu")) ?? [""]);
  const lines: string[] = [""];
  for (const word of words) {
    const last = lines.at(-1) ?? "";
    if (last === "") lines[lines.length - 1] = word;
    else if (last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
