import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import type { FeedEvent, RevokedEvent, SupersededEvent } from "../../../src/containment/revocation.ts";
import { createRevocationState, type RevocationState } from "../../../src/containment/revocation-state.ts";
import type { Level } from "../../../src/containment/state.ts";

const LEEWAY_MS = 60_000;
const refs = { token: "iss j1", agent: "a/t/i", task: "a/t", chain: "iss s1", ancestors: ["a/t/root", "a/t/mid"] };

const revoked = (level: Level, id: string, untilMs = 1000): RevokedEvent => ({
  kind: "revoked",
  level,
  id,
  untilMs,
  reason: "stolen",
});
const superseded = (changes: Partial<SupersededEvent> = {}): SupersededEvent => ({
  kind: "superseded",
  token: refs.token,
  agent: refs.agent,
  fromMs: 100,
  untilMs: 500,
  agentExpiresMs: 2000,
  ...changes,
});

function stateOf(...events: FeedEvent[]): RevocationState {
  const state = createRevocationState();
  assert.equal(state.apply({ epoch: 1, events }), "applied");
  return state;
}

suite("what the issuer has ended or replaced", () => {
  test("a revoked token, agent, delegator, chain or task ends the token, and nothing else does", () => {
    const hits: readonly (readonly [Level, string])[] = [
      ["token", refs.token],
      ["agent", refs.agent],
      ["agent", "a/t/root"],
      ["agent", "a/t/mid"],
      ["chain", refs.chain],
      ["task", refs.task],
    ];
    for (const [level, id] of hits) {
      const end = stateOf(revoked(level, id)).endOf(refs, 0);
      assert.deepEqual(end, { why: "revoked", detail: `${level} ${id}: stolen` });
    }
    const others: readonly (readonly [Level, string])[] = [
      ["token", "iss j2"],
      ["token", refs.chain],
      ["agent", "a/t/other"],
      ["chain", refs.token],
      ["task", "a/t/root"],
    ];
    for (const [level, id] of others) assert.equal(stateOf(revoked(level, id)).endOf(refs, 0), null, `${level} ${id}`);
    assert.equal(createRevocationState().endOf(refs, 0), null);
  });

  test("a renewed token serves its grace, then it is superseded; streams of its agent may live as long as the new one", () => {
    const state = stateOf(superseded());
    assert.equal(state.endOf(refs, 99), null);
    assert.equal(state.endOf(refs, 100)?.why, "superseded");
    assert.equal(state.endOf({ ...refs, token: "iss j2" }, 100), null);
    assert.equal(state.renewedUntilMs(refs.agent), 2000);
    assert.equal(state.renewedUntilMs("a/t/other"), 0);
    state.apply({ epoch: 2, events: [superseded({ token: "iss j2", agentExpiresMs: 1500 })] });
    assert.equal(state.renewedUntilMs(refs.agent), 2000, "an event that comes late takes nothing back");
    state.apply({ epoch: 3, events: [revoked("agent", refs.agent)] });
    assert.equal(state.endOf(refs, 0)?.why, "revoked");
  });

  test("what can match no token any more is dropped, and nothing before", () => {
    const state = stateOf(revoked("agent", refs.agent, 1000), superseded({ untilMs: 1000, agentExpiresMs: 3000 }));
    assert.equal(state.size, 3);
    state.forget(1000 + LEEWAY_MS - 1);
    assert.equal(state.endOf(refs, 1000 + LEEWAY_MS - 1)?.why, "revoked");
    state.forget(1000 + LEEWAY_MS);
    assert.equal(state.endOf(refs, 1000 + LEEWAY_MS), null);
    assert.equal(state.size, 0);
    assert.equal(state.renewedUntilMs(refs.agent), 0);
  });

  test("the same revocation again keeps the later end", () => {
    for (const ends of [
      [1000, 9000],
      [9000, 1000],
    ]) {
      const state = createRevocationState();
      for (const [index, end] of ends.entries()) {
        state.apply({ epoch: index + 1, events: [revoked("agent", refs.agent, end)] });
      }
      state.forget(8000 + LEEWAY_MS);
      assert.equal(state.endOf(refs, 0)?.why, "revoked");
      assert.equal(state.size, 1);
    }
  });

  test("a part of the feed that is not the next one is a gap and alters nothing", () => {
    const state = stateOf();
    for (const epoch of [0, 1, 3]) {
      assert.equal(state.apply({ epoch, events: [revoked("agent", refs.agent)] }), "gap");
      assert.equal(state.endOf(refs, 0), null);
    }
    assert.equal(state.epoch, 1);
  });

  test("without room everything is refused until the last one left out has run out, also after a snapshot", () => {
    const state = createRevocationState(2);
    state.apply({ epoch: 1, events: [revoked("agent", "x", 100), revoked("agent", "y", 100)] });
    assert.equal(state.endOf(refs, 0), null);
    state.apply({ epoch: 2, events: [revoked("agent", "x", 200)] });
    assert.equal(state.endOf(refs, 0), null, "one that is known needs no room");
    state.apply({ epoch: 3, events: [revoked("agent", refs.agent, 1000)] });
    const late = createRevocationState(2);
    late.load(state.snapshot());
    for (const one of [state, late]) {
      assert.equal(one.size, 2);
      assert.equal(one.endOf(refs, 0)?.why, "full");
      one.forget(500 + LEEWAY_MS);
      assert.equal(one.size, 0);
      assert.equal(one.endOf(refs, 999 + LEEWAY_MS)?.why, "full", "also when there is room again");
      one.forget(1000 + LEEWAY_MS);
      assert.equal(one.endOf(refs, 1000 + LEEWAY_MS), null);
    }
  });

  const id = fc.constantFrom("p", "q", "__proto__");
  const event: fc.Arbitrary<FeedEvent> = fc.oneof(
    fc.record({
      kind: fc.constant("revoked" as const),
      level: fc.constantFrom<Level>("token", "agent", "task", "chain"),
      id,
      untilMs: fc.integer({ min: 0, max: 20 }),
      reason: fc.constant("r"),
    }),
    fc.record({
      kind: fc.constant("superseded" as const),
      token: id,
      agent: id,
      fromMs: fc.integer({ min: 0, max: 20 }),
      untilMs: fc.constant(20),
      agentExpiresMs: fc.integer({ min: 0, max: 40 }),
    }),
  );
  const who = fc.record({ token: id, agent: id, task: id, chain: id, ancestors: fc.array(id, { maxLength: 2 }) });

  test("a search through all events finds the same, and so does a thread that started from a snapshot anywhere", () => {
    fc.assert(
      fc.property(fc.array(event), fc.nat(), who, fc.nat(20), (events, cut, whom, nowMs) => {
        const whole = createRevocationState();
        const late = createRevocationState();
        const at = cut % (events.length + 1);
        for (const [index, one] of events.entries()) {
          if (index === at) late.load(whole.snapshot());
          whole.apply({ epoch: index + 1, events: [one] });
          if (index >= at) assert.equal(late.apply({ epoch: index + 1, events: [one] }), "applied");
        }
        if (at === events.length) late.load(whole.snapshot());
        const isRevoked = events.some(
          (one) =>
            one.kind === "revoked" &&
            (whom[one.level] === one.id ||
              (one.level === "agent" && whom.ancestors.some((ancestor) => ancestor === one.id))),
        );
        const renewal = events.findLast((one) => one.kind === "superseded" && one.token === whom.token);
        const isSuperseded = renewal?.kind === "superseded" && nowMs >= renewal.fromMs;
        const expected = isRevoked ? "revoked" : isSuperseded ? "superseded" : undefined;
        assert.equal(whole.endOf(whom, nowMs)?.why, expected);
        assert.equal(late.endOf(whom, nowMs)?.why, expected);
      }),
    );
  });
});
