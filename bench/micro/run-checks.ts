// In: the plan as JSON. Out: one line of JSON, the processor time of each check in microseconds.
// The entry of a process of its own, so that it can be put on the gateway's core and nothing else warms or fills it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Plan } from "../arguments.ts";
import { createChecks } from "./checks.ts";
import { cpuUsPerCall } from "./cpu-per-call.ts";

const plan = JSON.parse(process.argv[2] ?? "{}") as Plan;
const folder = mkdtempSync(path.join(tmpdir(), "cordon-micro-"));
try {
  const { checks, close } = await createChecks(folder);
  const figures: Record<string, number> = {};
  for (const [name, measured] of checks) figures[name] = await cpuUsPerCall(measured, plan);
  await close();
  process.stdout.write(`${JSON.stringify(figures)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
