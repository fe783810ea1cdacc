import assert from "node:assert/strict";
import { test } from "node:test";
import { createLabelState, type LabelEntry, labelRefsOf } from "../../../src/containment/label-state.ts";
import { agent } from "../telemetry/entries.ts";

const entry = (changes: Partial<LabelEntry> = {}): LabelEntry => ({
  chain: "i s1",
  task: "t1 i user:a",
  labels: ["tainted"],
  untilMs: 1000,
  by: "policy:d1",
  atMs: 0,
  ...changes,
});

test("an agent is under the labels of its chain and of its task, sorted, and under no others", () => {
  const state = createLabelState();
  state.set(entry({ labels: ["b", "c"] }));
  state.set(entry({ chain: "i s2", labels: ["a", "c"], untilMs: 500 }));
  assert.deepEqual(state.of({ chain: "i s1", task: "other" }, 0).labels, ["b", "c"]);
  const both = state.of({ chain: "i s9", task: "t1 i user:a" }, 0);
  assert.deepEqual(both, { labels: ["a", "b", "c"], untilMs: 500 });
  assert.deepEqual(state.of({ chain: "i s9", task: "other" }, 0).labels, []);
});

test("a label is over when it has run out, and lasts as long as the last entry that gives it", () => {
  const state = createLabelState();
  state.set(entry());
  state.set(entry({ chain: "i s2", untilMs: 2000 }));
  const refs = { chain: "i s1", task: "t1 i user:a" };
  assert.equal(state.of(refs, 999).untilMs, 2000);
  assert.deepEqual(state.of(refs, 1999).labels, ["tainted"]);
  assert.deepEqual(state.of(refs, 2000).labels, []);
  state.forget(1000);
  assert.equal(state.size, 1);
  state.forget(2000);
  assert.equal(state.size, 0);
});

test("what is set again takes the place of what was there, and what is removed is gone by both names", () => {
  const state = createLabelState();
  state.set(entry());
  state.set(entry({ labels: ["other"] }));
  assert.equal(state.size, 1);
  assert.deepEqual(state.of(entry(), 0).labels, ["other"]);
  state.remove(entry());
  assert.deepEqual([state.size, state.entries().length, state.of(entry(), 0).labels], [0, 0, []]);
});

test("the labels of an agent hang on its chain, and on its task together with its principal", () => {
  const { chain, task } = agent.refs;
  const { issuer, type, id } = agent.claims.principal;
  assert.deepEqual(labelRefsOf(agent), { chain, task: `${task} ${issuer} ${type}:${id}` });
});
