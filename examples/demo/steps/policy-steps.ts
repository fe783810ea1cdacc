// In: the stage. Out: steps in which an edit of the policy and an update of its data change decisions of a running gateway.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { PolicyInfo, Status } from "../../../src/admin/control-plane.ts";
import { createOwnAgent, verdictOf } from "../agents.ts";
import { SOURCING } from "../demo-config.ts";
import { NotRun, type Step } from "../run-steps.ts";
import type { Stage } from "../start-stage.ts";
import { screeningAgent } from "./token-steps.ts";

const READ = "/ats/jobs/J42/candidates/C1";
const HELD = "/ats/jobs/J42/candidates/C2";
/** What a security team would add when a candidate withdraws. */
const HOLD = `
deny contains {"code": "hiring.candidate_is_on_hold"} if {
	applies
	input.resource.params.candidate_id == "C2"
}
`;
const POLL_MS = 100;

const policyEdit: Step = {
  id: "policy-edit",
  title: "A saved policy edit changes a decision, without a restart.",
  expected: ["before: 200", "edited: 403 access_denied", "edit undone: 200", "other calls: 200", "same start"],
  async run(stage) {
    if (stage.policyFolder === undefined) throw new NotRun(stage.opaMissing);
    const agent = screeningAgent(stage);
    const read = async (path: string) => verdictOf(await agent.get(stage.gateway + path));
    const meanwhile: string[] = [];
    const file = join(stage.policyFolder, "examples", "hiring.rego");
    const original = readFileSync(file, "utf8");
    const first = await stage.admin.get<PolicyInfo>("/v1/policy");
    const { started_at: started } = await stage.admin.get<Status>("/v1/status");

    // Other calls go on while the policy is switched: none may be dropped.
    const untilRevision = async (isIt: (revision: string) => boolean): Promise<string> => {
      for (;;) {
        const info = await stage.admin.get<PolicyInfo>("/v1/policy");
        if (info.last_error !== undefined) throw new Error(`the edit was refused: ${info.last_error}`);
        if (isIt(info.bundle)) return info.bundle;
        meanwhile.push(await read(READ));
        await wait(POLL_MS);
      }
    };
    const before = await read(HELD);
    const savedAt = performance.now();
    writeFileSync(file, original + HOLD);
    const revision = await untilRevision((one) => one !== first.bundle);
    const liveMs = Math.round(performance.now() - savedAt);
    const edited = await read(HELD);
    writeFileSync(file, original);
    await untilRevision((one) => one === first.bundle);
    const undone = await read(HELD);
    const { started_at: still } = await stage.admin.get<Status>("/v1/status");
    return {
      facts: [
        `before: ${before}`,
        `edited: ${edited}`,
        `edit undone: ${undone}`,
        `other calls: ${[...new Set(meanwhile)].join(" or ")}`,
        still === started ? "same start" : "restarted",
      ],
      note: `tested, built and live in ${liveMs} ms as ${revision}; ${meanwhile.length} calls meanwhile`,
    };
  },
};

const jobCloses: Step = {
  id: "job-closes",
  title: "A job closes by a data update, and access ends.",
  expected: ["open: 200", "closed: 403 access_denied", "agent of another job: 200"],
  async run(stage) {
    const agent = screeningAgent(stage);
    const other = await createOwnAgent(stage.setup(SOURCING));
    const open = await verdictOf(await agent.get(stage.gateway + READ));
    const info = await closeJob(stage, "J42");
    const closed = await verdictOf(await agent.get(stage.gateway + READ));
    const elsewhere = await verdictOf(await other.fetch(`${stage.gateway}/ats/jobs/J43/candidates/C9`));
    return {
      facts: [`open: ${open}`, `closed: ${closed}`, `agent of another job: ${elsewhere}`],
      note: `data ${info.data}`,
    };
  },
};

async function closeJob(stage: Stage, job: string): Promise<PolicyInfo> {
  const data = JSON.parse(readFileSync(stage.policyData, "utf8")) as { jobs: Record<string, object> };
  const file = join(dirname(stage.policyData), "policy-data-closed.json");
  writeFileSync(file, JSON.stringify({ ...data, jobs: { ...data.jobs, [job]: { ...data.jobs[job], open: false } } }));
  return stage.admin.ask<PolicyInfo>("policy", "data", "put", file);
}

export const POLICY_STEPS: readonly Step[] = [policyEdit, jobCloses];
