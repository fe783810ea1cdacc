import assert from "node:assert/strict";
import { test } from "node:test";
import { createContainmentState } from "../../../../src/containment/containment-state.ts";
import { attachEpoch, createEpochBuffer } from "../../../../src/containment/epoch.ts";
import type { ContainmentDelta, ContainmentEntry } from "../../../../src/containment/state.ts";
import { createContainmentGate } from "../../../../src/gateway/thread/containment-gate.ts";
import type { Agent } from "../../../../src/token/agent.ts";

const ID = "spiffe://acme.example/agent/o/t/i";
const TASK = "spiffe://acme.example/agent/o/t";
const agent = { refs: { token: "i j", agent: ID, task: TASK, chain: "i s", ancestors: [] } } as unknown as Agent;
const delegate = { refs: { ...agent.refs, token: "i k", agent: `${TASK}/d`, ancestors: [ID] } } as unknown as Agent;

function entry(mode: ContainmentEntry["mode"]): ContainmentEntry {
  return { level: "agent", id: ID, mode, drainUntilMs: 1000, reason: "r", by: "b", atMs: 0 };
}

function gate(entriesMax?: number) {
  const epoch = attachEpoch(createEpochBuffer(1));
  const waiting: ContainmentDelta[] = [];
  const made = createContainmentGate({
    state: createContainmentState(),
    epoch,
    readControl: () => {
      for (const delta of waiting.splice(0)) made.apply(delta);
    },
    nowMs: () => 0,
    ...(entriesMax === undefined ? {} : { entriesMax }),
  });
  return { made, epoch, waiting };
}

test("a thread reads what was sent before it judges, and refuses where the message is missing", () => {
  const { made, epoch, waiting } = gate();
  waiting.push({ epoch: 1, set: entry("blocked") });
  epoch.publish(1);
  assert.equal(made.check(made.verdictFor(agent))?.reason, "containment.blocked");
  epoch.publish(2);
  assert.equal(made.check(made.verdictFor(agent))?.reason, "containment.stale");
});

test("what the policy contains here stays until the supervisor's change, and a weaker change does not take its place", () => {
  const { made } = gate();
  made.containHere(ID, "quarantined");
  assert.equal(made.verdictFor(agent).mode, "quarantined");
  assert.equal(made.verdictFor(delegate).mode, "quarantined", "and so is what it delegated to");
  made.apply({ epoch: 1, set: entry("draining") });
  assert.equal(made.verdictFor(agent).mode, "quarantined", "the drain was on its way before");
  made.apply({ epoch: 2, set: entry("quarantined") });
  made.apply({ epoch: 3, release: { level: "agent", id: ID } });
  assert.equal(made.verdictFor(agent).mode, "active", "a release releases");
});

test("the supervisor is told once of what the policy contains, and again where it asks for more", () => {
  const { made } = gate();
  assert.deepEqual([made.containHere(ID, "quarantined"), made.containHere(ID, "quarantined")], ["new", "known"]);
  made.apply({ epoch: 1, set: entry("quarantined") });
  assert.equal(made.containHere(ID, "quarantined"), "known");
  assert.deepEqual([made.containHere(ID, "blocked"), made.containHere(ID, "quarantined")], ["new", "known"]);
  made.apply({ epoch: 2, set: entry("blocked") });
  made.apply({ epoch: 3, release: { level: "agent", id: ID } });
  assert.equal(made.containHere(ID, "quarantined"), "new");
});

test("where there are as many entries as there may be, the policy adds none, but tightens those that are there", () => {
  const { made } = gate(2);
  made.apply({ epoch: 1, set: entry("draining") });
  assert.equal(made.containHere("other", "quarantined"), "new");
  assert.equal(made.containHere("one more", "blocked"), "full");
  assert.equal(made.verdictFor({ refs: { ...agent.refs, agent: "one more" } } as Agent).mode, "active");
  assert.deepEqual([made.containHere("other", "blocked"), made.containHere(ID, "blocked")], ["new", "new"]);
  made.apply({ epoch: 2, set: { ...entry("blocked"), id: "other" } });
  made.apply({ epoch: 3, release: { level: "agent", id: "other" } });
  assert.equal(made.containHere("one more", "blocked"), "full", "the first one is here and on its way");
});
