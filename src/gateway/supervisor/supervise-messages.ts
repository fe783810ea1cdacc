// In: what the data threads say. Out: log lines, alerts, containment by obligation, the agents seen, the metrics.
import type { AuditWriter } from "../../audit/audit-writer.ts";
import type { Clock } from "../../lib/clock.ts";
import type { ServiceLog } from "../../telemetry/service-log.ts";
import type { MetricsRegistry } from "../../telemetry/metric-snapshot.ts";
import { createMetricsRegistry } from "../../telemetry/metrics-registry.ts";
import { type ContainmentManager, strictness } from "./containment-manager.ts";
import type { PolicySwitch } from "./policy-switch.ts";
import type { SeenAgentsTable } from "./seen-agents-table.ts";
import type { DataThread, ThreadPool } from "./thread-pool.ts";
import type { FromThread } from "../thread-messages.ts";
import type { ToolManager } from "./tool-manager.ts";

export interface ThreadMessages {
  readonly metrics: MetricsRegistry;
  onMessage(thread: DataThread, message: FromThread): void;
  onEnd(thread: DataThread): void;
  /** Asks every thread for its counts; resolves when all have answered, or after a short while with what came. */
  collect(pool: ThreadPool): Promise<void>;
}

/** A thread that is busy for longer is left out of this scrape; its counts come with the next one. */
const COLLECT_MS_MAX = 500;

export function createThreadMessages(options: {
  readonly log: ServiceLog;
  readonly audit: AuditWriter;
  readonly containment: ContainmentManager;
  readonly seen: SeenAgentsTable;
  readonly clock: Clock;
  readonly policySwitch: PolicySwitch;
  readonly tools: ToolManager;
  readonly stdout: (lines: string) => void;
}): ThreadMessages {
  const { log, audit, containment, seen, clock, policySwitch } = options;
  const metrics = createMetricsRegistry();
  let serial = 0;
  let collecting: { serial: number; missing: Set<number>; done: () => void } | undefined;

  /** An obligation contains, and never loosens what an operator has set. */
  async function containByPolicy(message: Extract<FromThread, { type: "contain" }>): Promise<void> {
    const level = "agent";
    const present = containment.find(level, message.agent);
    // A quarantine in place of a drain would lose its deadline: an agent that is being drained is blocked instead.
    const mode = present?.mode === "draining" ? "blocked" : message.mode;
    if (present !== undefined && strictness(present, clock.nowMs()) >= (mode === "blocked" ? 3 : 2)) return;
    const reason = message.reason.slice(0, 500);
    const applied = await containment.contain({ level, id: message.agent, mode, reason }, message.by);
    const fields = { agent: message.agent, mode, by: message.by, reason };
    if (applied.ok) log.warn("an agent was contained by the policy", fields);
    else log.error("an agent was contained by the policy, but not for good", { ...fields, error: applied.error });
    audit.record({
      type: "containment",
      at: new Date(clock.nowMs()).toISOString(),
      ...fields,
      outcome: applied.ok ? "done" : "failed",
    });
  }

  /** What an answer was called. The thread waits for the answer, and the agent for the thread. */
  async function labelByPolicy(
    thread: DataThread,
    { serial: waits, wish }: Extract<FromThread, { type: "label" }>,
  ): Promise<void> {
    const result = await containment.label(wish);
    const outcome = result.ok ? result.value : "failed";
    const { agent, chain, task, labels, by } = wish;
    if (waits !== 0) {
      const at = new Date(clock.nowMs()).toISOString();
      audit.record({ type: "label", at, agent, chain, task, labels, by, outcome });
      thread.send({ type: "labelled", serial: waits, outcome });
    }
    if (outcome === "done") return;
    const error = result.ok ? "there are as many labels as there may be" : result.error;
    log.error("a session could not be labelled", { chain, task, labels: labels.join(" "), by, error });
  }

  return {
    metrics,
    onMessage(thread, message) {
      switch (message.type) {
        case "policy":
          policySwitch.onMessage(thread, message);
          break;
        case "contain":
          void containByPolicy(message);
          break;
        case "label":
          void labelByPolicy(thread, message);
          break;
        case "alert":
          log.warn("alert", { severity: message.severity, ...message.fields });
          break;
        case "tools":
          options.tools.report(message);
          break;
        case "agents":
          seen.add(message.seen);
          break;
        case "report":
          thread.exchanges = message.exchanges;
          thread.streams = message.streams;
          metrics.update(thread.serial, message.metrics);
          if (collecting?.serial === message.serial && collecting.missing.delete(thread.serial)) {
            if (collecting.missing.size === 0) collecting.done();
          }
          break;
        case "log":
          options.stdout(message.lines);
          break;
        case "service":
          log[message.level](message.message, message.fields);
          break;
        case "listening":
        case "failed":
        case "drained":
          break;
      }
    },
    onEnd(thread) {
      metrics.threadEnded(thread.serial);
      if (collecting?.missing.delete(thread.serial) === true && collecting.missing.size === 0) collecting.done();
    },
    async collect(pool) {
      const serving = pool.all.filter((thread) => thread.state === "serving" || thread.state === "draining");
      if (serving.length === 0) return;
      serial++;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, COLLECT_MS_MAX);
        const done = (): void => {
          clearTimeout(timer);
          resolve();
        };
        // A second scrape at the same time takes over; the first one then ends by its timer at the latest.
        collecting = { serial, missing: new Set(serving.map((thread) => thread.serial)), done };
        for (const thread of serving) thread.send({ type: "report", serial });
      });
    },
  };
}
