// In: the running parts. Out: the ControlPlane that the operators' API calls. The main thread only reads and tells.
import type { ContainmentStore } from "../../admin/containment-store.ts";
import type { ControlPlane } from "../../admin/control-plane.ts";
import type { AuditWriter } from "../../audit/audit-writer.ts";
import { maskConfig } from "../../config/mask-config.ts";
import type { Config } from "../../config/schema.ts";
import type { EpochWords } from "../../containment/epoch.ts";
import type { Clock, ClockBase } from "../../lib/clock.ts";
import { err, ok } from "../../lib/result.ts";
import { attachReplayTable } from "../../token/replay-table.ts";
import type { ContainmentManager } from "./containment-manager.ts";
import type { PolicyManager } from "./policy-manager.ts";
import type { SupervisedIssuer } from "./supervise-issuer.ts";
import type { SeenAgentsTable } from "./seen-agents-table.ts";
import type { ThreadMessages } from "./supervise-messages.ts";
import type { ThreadPool } from "./thread-pool.ts";
import type { SharedMemory } from "../thread-messages.ts";
import type { ToolManager } from "./tool-manager.ts";

export interface ControlOptions {
  readonly config: Config;
  readonly version: string;
  readonly base: ClockBase;
  readonly clock: Clock;
  readonly pool: ThreadPool;
  readonly epoch: EpochWords;
  readonly containment: ContainmentManager;
  readonly store: ContainmentStore;
  readonly policy: PolicyManager;
  readonly seen: SeenAgentsTable;
  readonly audit: AuditWriter;
  readonly issuer: SupervisedIssuer | undefined;
  readonly messages: ThreadMessages;
  readonly tools: ToolManager;
  readonly shared: SharedMemory;
  /** URLs of the traffic listeners. */
  readonly traffic: readonly string[];
  readonly startedAt: string;
  readonly stopping: () => boolean;
}

const NO_ISSUER = Object.freeze({
  status: 404,
  code: "no_issuer",
  detail: "This gateway has no issuer of its own; configure `broker` to have one.",
});

export function createControl(options: ControlOptions): ControlPlane {
  const { config, clock, pool, epoch, containment, policy, audit, issuer, messages } = options;
  const replay = attachReplayTable(options.shared.replay, options.shared.replayKey);

  function ready(): { ready: boolean; reasons: string[] } {
    const reasons: string[] = [];
    if (options.stopping()) reasons.push("shutting down");
    if (!pool.all.some((thread) => thread.state === "serving")) reasons.push("no data thread serves");
    if (policy.current === null) reasons.push("no policy is loaded");
    if (containment.unsaved > 0) reasons.push("a containment change is enforced but not on disk");
    if (!audit.health().ok) reasons.push("the audit log cannot be written");
    return { ready: reasons.length === 0, reasons };
  }

  const clockDriftMs = (): number => Math.round(Date.now() - clock.nowMs());

  return {
    async status() {
      await messages.collect(pool);
      const now = ready();
      const entries = containment.entries();
      const count = (mode: string): number => entries.filter((entry) => entry.mode === mode).length;
      const health = audit.health();
      return {
        version: options.version,
        started_at: options.startedAt,
        uptime_s: Math.floor((clock.nowMs() - options.base.wallMs) / 1000),
        ...now,
        draining: options.stopping(),
        listeners: config.listeners.map((listener, index) => ({
          name: listener.name,
          url: options.traffic[index] ?? "",
        })),
        threads: pool.all.map((thread) => ({
          id: thread.index,
          state: thread.state,
          exchanges: thread.exchanges,
          open_streams: thread.streams,
          epoch: Math.max(0, epoch.acknowledged(thread.index)),
        })),
        policy: policy.current?.revision ?? null,
        containment: {
          epoch: containment.epoch,
          blocked: count("blocked"),
          quarantined: count("quarantined"),
          draining: count("draining"),
        },
        replay: {
          used: Math.round(replay.fill() * config.proof.replay_slots),
          slots: config.proof.replay_slots,
        },
        audit: { healthy: health.ok, detail: health.lastError ?? `${health.seq} records on disk` },
        issuer: issuer === undefined ? null : { running: issuer.running },
        clock_drift_ms: clockDriftMs(),
      };
    },
    config: () => maskConfig(config),
    policy: () => policy.info(),
    reloadPolicy: (by) => policy.reload(by),
    putPolicyData: (json, by) => policy.putData(json, by),
    resetPolicyData: (by) => policy.resetData(by),
    contain: (change, by) => containment.contain(change, by),
    release: (level, id, reason, by) => containment.release(level, id, reason, by),
    containments: () => containment.entries(),
    containmentHistory: (limit, beforeEpoch) => options.store.history(limit, beforeEpoch),
    labels: () => containment.labels(),
    async removeLabels(id) {
      const found = containment.labels().filter(({ chain, task }) => chain === id || task === id);
      const removed = await containment.unlabel(found);
      return removed.ok ? ok(found.length) : removed;
    },
    issuer: async (method, params) => (issuer === undefined ? err(NO_ISSUER) : issuer.call(method, params)),
    toolServers: () => options.tools.list(),
    waitingTools: (route) => options.tools.show(route),
    acceptTools: (route, tool, digest, by) => options.tools.accept(route, tool, digest, by),
    async agents() {
      await messages.collect(pool);
      return options.seen.list((refs) => containment.modeFor(refs));
    },
    async metrics() {
      await messages.collect(pool);
      const health = audit.health();
      return messages.metrics.render({
        replayTableFillRatio: replay.fill(),
        policyRevision: policy.current?.revision,
        containmentEpoch: containment.epoch,
        auditSeq: health.seq,
        auditHealthy: health.ok,
        threads: pool.all.filter((thread) => thread.state === "serving").length,
        threadsReplaced: pool.replaced,
        issuerAway: issuer?.running === false,
        clockDriftMs: clockDriftMs(),
      });
    },
    ready,
  };
}
