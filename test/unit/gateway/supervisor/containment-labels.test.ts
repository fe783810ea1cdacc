import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { createContainmentStore } from "../../../../src/admin/containment-store.ts";
import { openControlDatabase } from "../../../../src/admin/control-database.ts";
import { attachEpoch, createEpochBuffer } from "../../../../src/containment/epoch.ts";
import type { ContainmentDelta } from "../../../../src/containment/state.ts";
import { createContainmentManager } from "../../../../src/gateway/supervisor/containment-manager.ts";
import { createContainmentGate } from "../../../../src/gateway/thread/containment-gate.ts";
import { createLabelGate } from "../../../../src/gateway/thread/label-gate.ts";
import { createContainmentState } from "../../../../src/containment/containment-state.ts";
import type { ThreadPool } from "../../../../src/gateway/supervisor/thread-pool.ts";
import type { FromThread } from "../../../../src/gateway/thread-messages.ts";
import { agent } from "../../telemetry/entries.ts";

const HOUR_MS = 3_600_000;

function open(t: TestContext, labelledSessionsMax?: number) {
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-labels-"));
  const db = openControlDatabase(path.join(folder, "control.sqlite"));
  const store = createContainmentStore(db);
  const epoch = attachEpoch(createEpochBuffer(1));
  const sent: ContainmentDelta[] = [];
  const pool = { all: [], broadcast: ({ delta }: { delta: ContainmentDelta }) => sent.push(delta) };
  let nowMs = 1000;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  const options = { store, epoch, clock, pool: () => pool as unknown as ThreadPool };
  const manager = createContainmentManager(
    labelledSessionsMax === undefined ? options : { ...options, labelledSessionsMax },
  );
  t.after(() => {
    manager.close();
    db.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { db, store, epoch, sent, manager, at: (ms: number) => (nowMs = ms) };
}

const wish = (chain: string, labels: string[] = ["tainted"]) => ({
  chain,
  task: `t-${chain}`,
  labels,
  untilMs: 5000,
  by: "policy:d1",
});

test("labels are on disk when they are given, and there again for the next process", async (t) => {
  const { manager, store, sent } = open(t);
  assert.deepEqual(await manager.label(wish("s1", ["b"])), { ok: true, value: "done" });
  assert.deepEqual(await manager.label(wish("s1", ["a", "b"])), { ok: true, value: "done" });
  assert.deepEqual(
    store.load().labels?.map(({ labels, by }) => [labels, by]),
    [[["a", "b"], "policy:d1"]],
  );
  assert.deepEqual(
    sent.map(({ epoch, label }) => [epoch, label?.labels]),
    [
      [1, ["b"]],
      [2, ["a", "b"]],
    ],
  );
  assert.deepEqual(await manager.label(wish("s1", ["a"])), { ok: true, value: "done" });
  assert.equal(sent.length, 2, "what is known is not written again");
});

test("labels that cannot be written are in force nowhere", async (t) => {
  const { db, manager, sent } = open(t);
  db.exec("DROP TABLE session_label");
  assert.equal((await manager.label(wish("s1"))).ok, false);
  assert.deepEqual([sent, manager.labels()], [[], []]);
});

test("there are as many labels of a session, and labelled sessions, as there may be, and none is forgotten for a new one", async (t) => {
  const { manager } = open(t, 2);
  const names = Array.from({ length: 16 }, (_, index) => `l${index}`);
  assert.deepEqual(await manager.label(wish("s1", names)), { ok: true, value: "done" });
  assert.deepEqual(await manager.label(wish("s1", ["one-more"])), { ok: true, value: "full" });
  assert.deepEqual(await manager.label(wish("s2")), { ok: true, value: "done" });
  assert.deepEqual(await manager.label(wish("s3")), { ok: true, value: "full" });
  assert.deepEqual(await manager.label(wish("s2", ["other"])), { ok: true, value: "done" });
  assert.equal(manager.labels().length, 2);
});

test("labels that an operator removed are on disk no more, and in force nowhere", async (t) => {
  const { manager, store, sent } = open(t);
  await manager.label(wish("s1"));
  assert.equal((await manager.unlabel([{ chain: "s1", task: "t-s1" }])).ok, true);
  assert.deepEqual([store.load().labels, manager.labels(), sent.length], [[], [], 2]);
});

test("an agent that is seen under a label after it was renewed keeps it for an hour beyond its new end", () => {
  const epoch = attachEpoch(createEpochBuffer(1));
  const state = createContainmentState();
  const containment = createContainmentGate({ state, epoch, readControl: () => undefined, nowMs: () => 0 });
  const notified: FromThread[] = [];
  const gate = createLabelGate({ containment, notify: (message) => notified.push(message) });
  const issued = (expiresAtMs: number) => ({
    ...agent,
    expiresAtMs,
    claims: { ...agent.claims, intent: { ...agent.claims.intent, expires_at: new Date(expiresAtMs).toISOString() } },
  });
  void gate.give(issued(HOUR_MS), ["tainted"], "policy:d1");
  const [given] = notified;
  assert.ok(given?.type === "label");
  assert.equal(given.wish.untilMs, 2 * HOUR_MS);
  gate.answered(given.serial, "done");
  state.labels.set({ ...given.wish, atMs: 0 });
  assert.deepEqual(gate.see(issued(HOUR_MS))?.claims.session.labels, ["tainted"]);
  assert.equal(notified.length, 1);
  for (let call = 0; call < 3; call += 1) gate.see(issued(3 * HOUR_MS));
  const [, extended, ...others] = notified;
  assert.ok(extended?.type === "label");
  assert.deepEqual([extended.serial, extended.wish.untilMs, others], [0, 4 * HOUR_MS, []]);
});

test("a label that this thread knows before every other one can is waited for", async () => {
  const epoch = attachEpoch(createEpochBuffer(1));
  const state = createContainmentState();
  const containment = createContainmentGate({ state, epoch, readControl: () => undefined, nowMs: () => 0 });
  const notified: FromThread[] = [];
  const gate = createLabelGate({ containment, notify: (message) => notified.push(message) });
  const label = { chain: agent.refs.chain, task: "t", labels: ["tainted"], untilMs: 10, by: "policy:d1", atMs: 0 };
  assert.equal(state.apply({ epoch: 1, label }), "applied");
  const waiting = gate.give(agent, ["tainted"], "policy:d2");
  assert.ok(waiting !== null, "the number is not published yet");
  gate.answered(1, "failed");
  assert.equal((await waiting)?.reason, "response.not_labelled");
  epoch.publish(1);
  assert.equal(gate.give(agent, ["tainted"], "policy:d3"), null);
});
