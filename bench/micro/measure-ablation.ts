// In: the plan and a core. Out: the rows of what each check costs alone, and with the load's figures what is left over.
import type { Plan } from "../arguments.ts";
import { createChildProcesses } from "../load/child-processes.ts";
import type { LoadFigures } from "../load/measure-load.ts";
import { type Row, row } from "../rows.ts";

const ENTRY = new URL("./run-checks.ts", import.meta.url).pathname;
const TIMEOUT_MS = 120_000;
/** Not a part of an exchange of the bench, or a part of another row. */
const NOT_ADDED = new Set(["ablation-signature", "policy-large"]);

export async function measureAblation(
  plan: Plan,
  cores: string | undefined,
  progress: (line: string) => void,
): Promise<Row[]> {
  progress("what each check costs alone");
  const processes = createChildProcesses();
  try {
    const output = await processes.run(process.execPath, [ENTRY, JSON.stringify(plan)], {
      cores,
      timeoutMs: TIMEOUT_MS,
    });
    const figures = Object.entries(JSON.parse(output) as Record<string, number>);
    return figures.map(([name, us]) =>
      name === "policy-large" ? row(name, us / 1000, "ms") : row(`ablation-${name}`, us, "us"),
    );
  } finally {
    await processes.close();
  }
}

/** Where the rest of the processor time goes: forwarding, as the bare proxy does it, and what no single check explains. */
export function restRows(load: LoadFigures, ablation: readonly Row[]): Row[] {
  if (ablation.length === 0) return [];
  const sum = ablation.reduce((total, one) => total + (NOT_ADDED.has(one.name) ? 0 : (one.figure ?? Number.NaN)), 0);
  return [
    row("ablation-forward", load.bareCpuUs, "us"),
    row("ablation-rest", load.gatewayCpuUs - load.bareCpuUs - sum, "us"),
  ];
}
