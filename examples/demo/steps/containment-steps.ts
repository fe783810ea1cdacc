// In: the stage. Out: steps in which an operator quarantines, drains and blocks one agent each, by the real command.
import { setTimeout as wait } from "node:timers/promises";
import { createOwnAgent, type OwnAgent, verdictOf } from "../agents.ts";
import { INTERVIEW, SCORING, SOURCING } from "../demo-config.ts";
import type { Step } from "../run-steps.ts";
import type { Stage } from "../start-stage.ts";
import { seenSince } from "./token-steps.ts";

const CANDIDATE = "/ats/jobs/J43/candidates/C9";
/** Long enough for a call by a busy machine, short enough to wait for. */
const DRAIN_S = 3;
const CALLS = 8;

/** Why the operator does it; the logs have to tell it again. */
export const WHY = {
  quarantine: "reads more candidates than usual",
  drain: "its model is being replaced",
  block: "its key was found in a public repository",
} as const;

/** The API's answer to a change, as `--json` prints it. */
interface Applied {
  readonly entry: { readonly mode: string; readonly drain_until?: string } | null;
  readonly threads: readonly { readonly outcome: string }[];
  readonly took_ms: number;
}

async function call(stage: Stage, agent: OwnAgent): Promise<string> {
  return verdictOf(await agent.fetch(stage.gateway + CANDIDATE));
}

/** Calls on connections of their own, so that every thread gets some; the different answers. */
async function calls(stage: Stage, agent: OwnAgent): Promise<string> {
  const verdicts = await Promise.all(Array.from({ length: CALLS }, () => call(stage, agent)));
  return [...new Set(verdicts)].sort().join(" or ");
}

const quarantine: Step = {
  id: "quarantine",
  title: "A quarantined agent's calls land at the monitor.",
  expected: ["before: 200 from the tool", "after: 200 from the monitor", "the tool saw nothing", "the monitor saw 1"],
  async run(stage) {
    const agent = await createOwnAgent(stage.setup(SOURCING));
    const read = async (): Promise<string> => {
      const response = await agent.fetch(stage.gateway + CANDIDATE);
      const answer = (await response.json()) as { monitored?: boolean; candidate_id?: string };
      const from = answer.monitored === true ? "the monitor" : answer.candidate_id === "C9" ? "the tool" : "nowhere";
      return `${response.status} from ${from}`;
    };
    const before = await read();
    await stage.responder.ask("quarantine", "agent", agent.id, "--reason", WHY.quarantine);
    const [atTool, atMonitor] = [stage.ats.requests(), stage.monitor.requests()];
    const after = await read();
    const seen = stage.monitor.requests() - atMonitor;
    return {
      facts: [`before: ${before}`, `after: ${after}`, seenSince(stage, atTool), `the monitor saw ${seen}`],
    };
  },
};

const drain: Step = {
  id: "drain",
  title: "A drained agent goes on until the deadline.",
  expected: ["before the deadline: 200", "after it: 403 blocked"],
  async run(stage) {
    const agent = await createOwnAgent(stage.setup(INTERVIEW));
    await call(stage, agent);
    const args = ["drain", "agent", agent.id, "--reason", WHY.drain, "--within", `${DRAIN_S}s`];
    const { entry } = await stage.responder.ask<Applied>(...args);
    const deadlineMs = Date.parse(entry?.drain_until ?? "");
    if (Number.isNaN(deadlineMs)) throw new Error("the answer names no deadline");
    const before = await call(stage, agent);
    if (Date.now() >= deadlineMs)
      throw new Error("this machine is too slow: the deadline passed before the call ended");
    await wait(deadlineMs - Date.now() + 1);
    const after = await calls(stage, agent);
    return {
      facts: [`before the deadline: ${before}`, `after it: ${after}`],
      note: `deadline of ${DRAIN_S} s`,
    };
  },
};

const block: Step = {
  id: "block",
  title: "A blocked agent's next call is refused, on every thread.",
  expected: ["before: 200", "in force on 2 threads", "next calls: 403 blocked", "the tool saw nothing"],
  async run(stage) {
    const agent = await createOwnAgent(stage.setup(SCORING));
    const before = await calls(stage, agent);
    const applied = await stage.responder.ask<Applied>("block", "agent", agent.id, "--reason", WHY.block);
    const atTool = stage.ats.requests();
    const after = await calls(stage, agent);
    const acknowledged = applied.threads.filter(({ outcome }) => outcome === "acknowledged").length;
    return {
      facts: [
        `before: ${before}`,
        `in force on ${acknowledged} threads`,
        `next calls: ${after}`,
        seenSince(stage, atTool),
      ],
      note: `within ${applied.took_ms.toFixed(1)} ms`,
    };
  },
};

export const CONTAINMENT_STEPS: readonly Step[] = [quarantine, drain, block];
