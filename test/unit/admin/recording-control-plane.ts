// A control plane that does nothing but remember what it was asked: the API's tests assert that nothing was changed.
import type { ContainmentEntry } from "../../../src/containment/state.ts";
import type { Applied, ControlPlane } from "../../../src/admin/control-plane.ts";
import { err, ok } from "../../../src/lib/result.ts";

export interface RecordingControlPlane extends ControlPlane {
  readonly changes: { readonly name: string; readonly values: readonly unknown[] }[];
  isReady: boolean;
  failWith: Error | undefined;
}

const AT = "2026-01-01T00:00:00.000Z";

export function createRecordingControlPlane(): RecordingControlPlane {
  const changes: RecordingControlPlane["changes"] = [];
  const entries = new Map<string, ContainmentEntry>();
  const policy = { bundle: "r1", data: "", source: "default", loaded_at: AT };
  let epoch = 0;

  function applied(entry: ContainmentEntry | null): Applied {
    epoch += 1;
    return { epoch, entry, threads: [{ id: 0, outcome: "acknowledged" }], took_ms: 1.5 };
  }

  const plane: RecordingControlPlane = {
    changes,
    isReady: true,
    failWith: undefined,
    status: () => ({
      version: "0.1.0",
      started_at: AT,
      uptime_s: 61,
      ready: plane.isReady,
      reasons: plane.isReady ? [] : ["no policy is loaded"],
      draining: false,
      listeners: [{ name: "agents", url: "http://127.0.0.1:8080" }],
      threads: [{ id: 0, state: "serving", exchanges: 2, open_streams: 1, epoch }],
      policy: { bundle: "r1", data: "" },
      containment: { epoch, blocked: 0, quarantined: 0, draining: 0 },
      replay: { used: 1, slots: 65_536 },
      audit: { healthy: true, detail: "" },
      issuer: null,
      clock_drift_ms: 0,
    }),
    labels: () => [],
    removeLabels: async (id) => {
      changes.push({ name: "removeLabels", values: [id] });
      return ok(1);
    },
    toolServers: () => [],
    waitingTools: () => ok([]),
    acceptTools: (...values) => {
      changes.push({ name: "acceptTools", values });
      return ok(["echo"]);
    },
    config: () => ({ version: 1, gateway: "cordon", admin: { port: 9080 } }),
    policy: () => policy,
    reloadPolicy: async (by) => {
      changes.push({ name: "reloadPolicy", values: [by] });
      return ok(policy);
    },
    resetPolicyData: async (by) => {
      changes.push({ name: "resetPolicyData", values: [by] });
      return ok(policy);
    },
    putPolicyData: async (json, by) => {
      changes.push({ name: "putPolicyData", values: [json, by] });
      return json.includes("refuse-me")
        ? err("The data does not pass the policy's checks.")
        : ok({ ...policy, data: "d1" });
    },
    contain: async (change, by) => {
      changes.push({ name: "contain", values: [change, by] });
      if (plane.failWith !== undefined) throw plane.failWith;
      const { level, id, mode, reason, drainS } = change;
      const entry = { level, id, mode, reason, by, atMs: 1000, ...(drainS && { drainUntilMs: 1000 + drainS * 1000 }) };
      entries.set(`${level} ${id}`, entry);
      return ok(applied(entry));
    },
    release: async (level, id, reason, by) => {
      changes.push({ name: "release", values: [level, id, reason, by] });
      entries.delete(`${level} ${id}`);
      return ok(applied(null));
    },
    containments: () => [...entries.values()],
    containmentHistory: (limit) =>
      [
        { epoch: 1, level: "agent" as const, id: "a", mode: "active" as const, reason: "r", by: "admin", atMs: 0 },
      ].slice(0, limit),
    issuer: async (method, params) => {
      changes.push({ name: method, values: [params] });
      return err({ status: 404, code: "no_issuer", detail: "This gateway has no issuer of its own." });
    },
    agents: () => [
      {
        id: "spiffe://acme.example/agent/o/t/i",
        task: "spiffe://acme.example/agent/o/t",
        chain: "https://issuer.example s1",
        principal: "user:alice",
        key_thumbprint: "k".repeat(43),
        last_seen: AT,
        exchanges: 3,
        mode: "active",
      },
    ],
    metrics: async () => "cordon_up 1\n",
    ready: () => ({ ready: plane.isReady, reasons: plane.isReady ? [] : ["no policy is loaded"] }),
  };
  return plane;
}
