// In: `--json`, `--keep`. Out: a table of steps, what was expected and what was got; exit code 0 only when all agree.
// Everything runs on free ports of loopback and in a temporary folder, which is removed at the end.
import { parseArgs } from "node:util";
import { failed, runSteps, type Step, type StepResult } from "./run-steps.ts";
import { type Stage, startStage } from "./start-stage.ts";
import { tableHead, tableRow } from "./step-table.ts";
import { AGENT_STEPS } from "./steps/agent-steps.ts";
import { CONTAINMENT_STEPS } from "./steps/containment-steps.ts";
import { logStep } from "./steps/log-step.ts";
import { mcpDriftStep } from "./steps/mcp-drift-step.ts";
import { mcpTaintStep } from "./steps/mcp-taint-step.ts";
import { MCP_STEPS } from "./steps/mcp-step.ts";
import { POLICY_STEPS } from "./steps/policy-steps.ts";
import { TOKEN_STEPS } from "./steps/token-steps.ts";

/** About four times what a small machine takes. */
const RUN_TIMEOUT_MS = 100_000;
const STEPS: readonly Step[] = [
  ...TOKEN_STEPS,
  ...AGENT_STEPS,
  ...MCP_STEPS,
  mcpTaintStep,
  mcpDriftStep,
  ...POLICY_STEPS,
  ...CONTAINMENT_STEPS,
  logStep,
];

const { values } = parseArgs({
  options: { json: { type: "boolean", default: false }, keep: { type: "boolean", default: false } },
});
const startedAt = performance.now();
const say = (text: string): void => {
  if (!values.json) process.stdout.write(text);
};

let stage: Stage | undefined;
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.once(signal, () => {
    void (stage?.close() ?? Promise.resolve()).finally(() => process.exit(code));
  });
}

const results = await run();
await stage?.close();
if (values.json) process.stdout.write(`${JSON.stringify({ steps: results }, null, 2)}\n`);
const agreed = results.filter(({ ok }) => ok).length;
say(`\n${agreed} of ${results.length} steps agree; ${((performance.now() - startedAt) / 1000).toFixed(1)} s.\n`);
process.exitCode = agreed === results.length ? 0 : 1;

async function run(): Promise<StepResult[]> {
  say("Starting a gateway with two threads, its issuer, four tools and a monitor, all on loopback.\n\n");
  try {
    stage = await startStage({ keep: values.keep });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    process.stderr.write(`The demo cannot start: ${why}\n`);
    return STEPS.map((step) => failed(step, "not reached: the start failed"));
  }
  say(tableHead());
  return runSteps({
    steps: STEPS,
    stage,
    deadline: startedAt + RUN_TIMEOUT_MS,
    onResult: (result, index) => say(tableRow(result, index)),
  });
}
