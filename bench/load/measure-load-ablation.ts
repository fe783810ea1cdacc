// In: a stage. Out: the processor time that a step costs under load: that of the gateway as it ships, less one without the step.
// A loop of one function alone has warm caches and a compiled world for itself; within an exchange the same function costs
// more. Only what the configuration can leave out can be measured so.
import type { Plan } from "../arguments.ts";
import { failedRow, median, type Row, row } from "../rows.ts";
import type { Stage } from "./stage.ts";

const PROOFS_PER_S = 6000;

const VARIANTS: readonly { readonly name: string; readonly overrides: Readonly<Record<string, unknown>> }[] = [
  { name: "as-shipped", overrides: {} },
  { name: "both-logs", overrides: { logs: { access: "off", decision: "off" } } },
  // What a slower beat of the writer of the audit log would save; its records are all still written.
  { name: "frequent-commits", overrides: { audit: { commit_interval_ms: 100 } } },
];

export async function measureLoadAblation(stage: Stage, plan: Plan, progress: (line: string) => void): Promise<Row[]> {
  const rows: Row[] = [];
  let shippedUs = Number.NaN;
  for (const { name, overrides } of VARIANTS) {
    const gateway = await stage.startGateway(1, { overrides });
    await stage.proofRound(gateway, "batched", plan.warmUpS, plan.warmUpS * PROOFS_PER_S);
    const figures: number[] = [];
    let error: string | undefined;
    for (let round = 0; round < plan.ablationRounds; round++) {
      const result = await stage.proofRound(gateway, "batched", plan.roundS, plan.roundS * PROOFS_PER_S);
      error ??= result.error;
      figures.push(result.cpuUsPerRequest);
    }
    await gateway.stop();
    const us = median(figures);
    progress(`ablation under load, ${name}: ${Math.round(us)} us/req`);
    if (name === "as-shipped") shippedUs = us;
    else if (error !== undefined) rows.push(failedRow(`ablation-load-${name}`, "us", error));
    else rows.push(row(`ablation-load-${name}`, shippedUs - us, "us"));
  }
  return rows;
}
