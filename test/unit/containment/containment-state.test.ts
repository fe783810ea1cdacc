import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as fc from "fast-check";
import { type ContainmentState, createContainmentState } from "../../../src/containment/containment-state.ts";
import type { ContainmentDelta, ContainmentEntry, Level } from "../../../src/containment/state.ts";

const refs = {
  token: "iss j1",
  agent: "spiffe://d/agent/o/t/i",
  task: "spiffe://d/agent/o/t",
  chain: "iss s1",
  ancestors: ["spiffe://d/agent/o/t/root", "spiffe://d/agent/o/t/delegator"],
};

function entry(level: Level, mode: ContainmentEntry["mode"], drainUntilMs?: number): ContainmentEntry {
  const drain = drainUntilMs === undefined ? {} : { drainUntilMs };
  return { level, id: refs[level], mode, reason: "r", by: "admin", atMs: 0, ...drain };
}

function stateOf(...entries: ContainmentEntry[]): ContainmentState {
  const state = createContainmentState();
  state.load({ epoch: 1, entries });
  return state;
}

const arbitraryEntry: fc.Arbitrary<ContainmentEntry> = fc
  .record({
    level: fc.constantFrom<Level>("token", "agent", "task", "chain"),
    id: fc.constantFrom("a", "__proto__"),
    mode: fc.constantFrom<ContainmentEntry["mode"]>("draining", "quarantined", "blocked"),
    until: fc.integer({ min: 0, max: 20 }),
  })
  .map(({ level, id, mode, until }) => ({
    level,
    id,
    mode,
    reason: "r",
    by: "b",
    atMs: 0,
    ...(mode === "draining" ? { drainUntilMs: until } : {}),
  }));
const arbitraryChange = fc.oneof(
  arbitraryEntry.map((set) => ({ set })),
  arbitraryEntry.map(({ level, id }) => ({ release: { level, id } })),
);
const arbitraryRefs = fc.record({
  token: fc.constantFrom("a", "__proto__", "c"),
  agent: fc.constantFrom("a", "__proto__", "c"),
  task: fc.constantFrom("a", "__proto__", "c"),
  chain: fc.constantFrom("a", "__proto__", "c"),
  ancestors: fc.array(fc.constantFrom("a", "__proto__", "c"), { maxLength: 2 }),
});

function numbered(changes: readonly Omit<ContainmentDelta, "epoch">[]): ContainmentDelta[] {
  return changes.map((change, index) => ({ epoch: index + 1, ...change }));
}

/** A list that is searched: slow, and plain to see. */
function naiveEntries(deltas: readonly ContainmentDelta[]): ContainmentEntry[] {
  let entries: ContainmentEntry[] = [];
  for (const { set, release } of deltas) {
    const key = set ?? release;
    entries = entries.filter((one) => one.level !== key?.level || one.id !== key.id);
    if (set !== undefined) entries.push(set);
  }
  return entries;
}

suite("containment state", () => {
  test("an agent that nothing names is active, and a draining one is allowed until its deadline", () => {
    assert.equal(createContainmentState().modeFor(refs, 0).mode, "active");
    const state = stateOf(entry("agent", "draining", 100));
    assert.equal(state.modeFor(refs, 99).mode, "draining");
    const drained = state.modeFor(refs, 100);
    assert.deepEqual([drained.mode, drained.reason], ["blocked", "containment.drained"]);
  });

  test("an explicit block is named before a drain that ran out, whatever their levels", () => {
    const verdict = stateOf(entry("token", "draining", 1), entry("task", "blocked")).modeFor(refs, 50);
    assert.deepEqual([verdict.reason, verdict.entry?.level], ["containment.blocked", "task"]);
  });

  test("the strictest wins, whichever of the levels it stands at", () => {
    const levels: Level[] = ["token", "agent", "task", "chain"];
    for (const strict of levels) {
      const others = levels.filter((level) => level !== strict).map((level) => entry(level, "draining", 100));
      for (const mode of ["blocked", "quarantined"] as const) {
        const verdict = stateOf(entry(strict, mode), ...others).modeFor(refs, 0);
        assert.deepEqual([verdict.mode, verdict.entry?.level], [mode, strict]);
      }
    }
  });

  test("what is said of an agent reaches everyone that it delegated to, and nobody that delegated to it", () => {
    for (const id of refs.ancestors) {
      const verdict = stateOf({ ...entry("agent", "blocked"), id }).modeFor(refs, 0);
      assert.deepEqual([verdict.mode, verdict.entry?.id], ["blocked", id]);
    }
    const [root = ""] = refs.ancestors;
    const delegator = { ...refs, token: "iss j0", agent: root, ancestors: [] };
    assert.equal(stateOf(entry("agent", "blocked")).modeFor(delegator, 0).mode, "active");
    assert.equal(stateOf({ ...entry("token", "blocked"), id: root }).modeFor(refs, 0).mode, "active");
  });

  test("a drain without a deadline, or with one that is no number, is blocked", () => {
    assert.equal(stateOf(entry("agent", "draining")).modeFor(refs, 0).mode, "blocked");
    assert.equal(stateOf(entry("agent", "draining", Number.NaN)).modeFor(refs, 0).mode, "blocked");
  });

  test("a change that is not the next one, or not exactly one, is a gap and alters nothing", () => {
    const state = stateOf(entry("agent", "blocked"));
    const set = entry("agent", "draining", 9);
    const release = { level: "agent", id: refs.agent } as const;
    for (const delta of [{ epoch: 1, set }, { epoch: 3, set }, { epoch: 2 }, { epoch: 2, set, release }]) {
      assert.equal(state.apply(delta), "gap");
      assert.deepEqual([state.epoch, state.modeFor(refs, 0).mode], [1, "blocked"]);
    }
    assert.equal(state.apply({ epoch: 2, release }), "applied");
    assert.equal(state.modeFor(refs, 0).mode, "active");
  });

  test("an older snapshot does not undo what is in force", () => {
    const state = stateOf();
    state.apply({ epoch: 2, set: entry("agent", "blocked") });
    assert.equal(state.load({ epoch: 1, entries: [] }), "stale");
    assert.equal(state.modeFor(refs, 0).mode, "blocked");
  });

  test("the mode is the strictest that a plain search over all entries finds", () => {
    fc.assert(
      fc.property(fc.array(arbitraryChange), arbitraryRefs, fc.integer({ min: 0, max: 20 }), (changes, who, nowMs) => {
        const deltas = numbered(changes);
        const state = createContainmentState();
        for (const delta of deltas) assert.equal(state.apply(delta), "applied");
        const order = ["active", "draining", "quarantined", "blocked"];
        const modes = naiveEntries(deltas)
          .filter(
            (one) =>
              who[one.level] === one.id ||
              (one.level === "agent" && who.ancestors.some((ancestor) => ancestor === one.id)),
          )
          .map((one) => (one.mode === "draining" && nowMs >= (one.drainUntilMs ?? 0) ? "blocked" : one.mode));
        const expected = modes.toSorted((a, b) => order.indexOf(b) - order.indexOf(a))[0] ?? "active";
        assert.equal(state.modeFor(who, nowMs).mode, expected);
      }),
    );
  });

  test("a snapshot taken anywhere and the deltas after it give the same state as all deltas", () => {
    fc.assert(
      fc.property(fc.array(arbitraryChange), fc.nat(), arbitraryRefs, fc.nat(20), (changes, cut, who, nowMs) => {
        const deltas = numbered(changes);
        const at = cut % (deltas.length + 1);
        const whole = createContainmentState();
        const late = createContainmentState();
        deltas.slice(0, at).forEach((delta) => whole.apply(delta));
        late.load({ epoch: whole.epoch, entries: whole.entries() });
        for (const delta of deltas.slice(at)) assert.equal(late.apply(delta), whole.apply(delta));
        assert.equal(late.epoch, whole.epoch);
        assert.deepEqual(late.modeFor(who, nowMs), whole.modeFor(who, nowMs));
        const sorted = (state: ContainmentState) =>
          state
            .entries()
            .map((one) => JSON.stringify(one))
            .toSorted();
        assert.deepEqual(sorted(late), sorted(whole));
      }),
    );
  });
});
