// The life of a token by a clock that the test turns: no test waits for time to pass.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { CordonError, type CordonErrorCode } from "../../../src/agent/cordon-error.ts";
import { createTokenKeeper, type HeldToken } from "../../../src/agent/create-token-keeper.ts";

const LIFETIME_MS = 300_000;

type Renewal = (current: HeldToken) => Promise<HeldToken>;

function held(accessToken: string, lifetimeMs = LIFETIME_MS, final = false): HeldToken {
  return { accessToken, scope: ["read:candidates:J42"], lifetimeMs, final };
}

function startKeeper(t: TestContext, renew: Renewal, first = held("t0")) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  let asleepMs = 0;
  const ends: CordonErrorCode[] = [];
  const last: CordonErrorCode[] = [];
  const asked: string[] = [];
  const keeper = createTokenKeeper({
    first,
    renew: (current) => {
      asked.push(current.accessToken);
      return renew(current);
    },
    onEnd: ({ code }) => ends.push(code),
    onLastToken: ({ code }) => last.push(code),
    stopwatch: () => {
      const startMs = Date.now() + asleepMs;
      return () => Date.now() + asleepMs - startMs;
    },
  });
  t.after(() => keeper.close());
  return {
    keeper,
    asked,
    ends,
    last,
    pass: async (ms: number) => {
      t.mock.timers.tick(ms);
      // A renewal that has its answer is a few turns of the microtask queue away.
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    },
    sleep: (ms: number) => {
      asleepMs += ms;
    },
  };
}

/** Answers of the issuer, in order; the last one again and again. */
function answers(...list: (HeldToken | CordonError)[]): Renewal {
  let at = 0;
  return async () => {
    const answer = list[Math.min(at++, list.length - 1)];
    if (answer instanceof CordonError) throw answer;
    assert.ok(answer);
    return answer;
  };
}

const unreachable = new CordonError("issuer_unreachable", "gone");

test("a token is renewed by itself between 75% of its life and its end, and not before", async (t) => {
  const { keeper, asked, pass } = startKeeper(t, answers(held("t1"), held("t2")));
  await pass(LIFETIME_MS * 0.75);
  assert.deepEqual(asked, []);
  assert.equal(await keeper.accessToken(), "t0");
  await pass(LIFETIME_MS * 0.13);
  assert.deepEqual(asked, ["t0"]);
  assert.equal(await keeper.accessToken(), "t1");
  await pass(LIFETIME_MS * 0.88);
  assert.deepEqual(asked, ["t0", "t1"]);
  assert.equal(await keeper.accessToken(), "t2");
});

test("the time of renewal differs from agent to agent", async (t) => {
  const times = new Set<number>();
  for (let agent = 0; agent < 8; agent++) {
    const { asked, pass, keeper } = startKeeper(t, answers(held("t1")));
    let ms = LIFETIME_MS * 0.75;
    await pass(ms);
    for (; asked.length === 0; ms += 1000) await pass(1000);
    times.add(ms);
    keeper.close();
    t.mock.timers.reset();
  }
  assert.ok(times.size > 1);
});

test("a crowd that asks near the end waits for one renewal, and all get the new token", async (t) => {
  const reply = Promise.withResolvers<HeldToken>();
  const { keeper, asked, sleep } = startKeeper(t, () => reply.promise);
  sleep(LIFETIME_MS - 2000);
  const crowd = Array.from({ length: 50 }, () => keeper.accessToken());
  reply.resolve(held("t1"));
  assert.deepEqual(new Set(await Promise.all(crowd)), new Set(["t1"]));
  assert.equal(asked.length, 1);
});

test("while the old token serves, nobody waits for a slow renewal", async (t) => {
  const { keeper, asked, pass } = startKeeper(t, () => new Promise(() => undefined));
  await pass(LIFETIME_MS * 0.88);
  assert.deepEqual(asked, ["t0"]);
  assert.equal(await keeper.accessToken(), "t0");
});

test("after a suspend the age is looked at on the next call, though no timer has fired", async (t) => {
  const { keeper, asked, sleep } = startKeeper(t, answers(held("t1")));
  sleep(LIFETIME_MS * 0.9);
  assert.equal(await keeper.accessToken(), "t0");
  assert.deepEqual(asked, ["t0"]);
});

test("a machine that slept over the end asks once more, and then says that the token expired", async (t) => {
  const { keeper, sleep, ends } = startKeeper(t, answers(unreachable));
  sleep(LIFETIME_MS + 1);
  await assert.rejects(keeper.accessToken(), { code: "token_expired" });
  assert.deepEqual(ends, ["token_expired"]);
});

test("a renewal whose answer was lost is asked for again, the same, well within the 10 s that the old token still serves", async (t) => {
  const { keeper, asked, pass } = startKeeper(t, answers(unreachable, unreachable, unreachable, held("t1")));
  await pass(LIFETIME_MS * 0.88);
  for (let ms = 0; ms < 2000; ms += 250) await pass(250);
  assert.deepEqual(asked, ["t0", "t0", "t0", "t0"]);
  assert.equal(await keeper.accessToken(), "t1");
});

test("after the last renewal the token serves to its end, which is told twice: that it is the last, and that it ended", async (t) => {
  const exhausted = new CordonError("renewals_exhausted", "no more", { status: 400 });
  const { keeper, asked, pass, ends, last } = startKeeper(t, answers(exhausted));
  await pass(LIFETIME_MS * 0.88);
  assert.deepEqual([last, ends], [["renewals_exhausted"], []]);
  assert.equal(await keeper.accessToken(), "t0");
  await pass(LIFETIME_MS * 0.12);
  assert.deepEqual(ends, ["renewals_exhausted"]);
  await assert.rejects(keeper.accessToken(), { code: "renewals_exhausted" });
  assert.equal(asked.length, 1);
});

test("a revoked agent ends at once", async (t) => {
  const { keeper, pass, ends } = startKeeper(t, answers(new CordonError("revoked", "revoked", { status: 400 })));
  await pass(LIFETIME_MS * 0.88);
  assert.deepEqual(ends, ["revoked"]);
  await assert.rejects(keeper.accessToken(), { code: "revoked" });
});

test("a token that ends with the agent's authority is not renewed", async (t) => {
  const { keeper, asked, pass, ends } = startKeeper(t, answers(held("t1")), held("t0", LIFETIME_MS, true));
  await pass(LIFETIME_MS - 1);
  assert.equal(await keeper.accessToken(), "t0");
  await pass(1);
  assert.deepEqual([asked, ends], [[], ["authority_ended"]]);
  await assert.rejects(keeper.accessToken(), { code: "authority_ended" });
});

test("a closed agent has no token, also not for who is waiting for one, and nobody is told of an end", async (t) => {
  const { keeper, sleep, ends } = startKeeper(t, answers(unreachable));
  sleep(LIFETIME_MS - 1000);
  const waiting = keeper.accessToken();
  keeper.close();
  await assert.rejects(waiting, { code: "agent_closed" });
  await assert.rejects(keeper.accessToken(), { code: "agent_closed" });
  assert.deepEqual(ends, []);
});
