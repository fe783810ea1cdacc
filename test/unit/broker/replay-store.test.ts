import assert from "node:assert/strict";
import { test } from "node:test";
import { createReplayStore } from "../../../src/broker/replay-store.ts";

function storeAt(entriesMax?: number) {
  const clock = { nowMs: 0 };
  const store = createReplayStore(() => clock.nowMs, entriesMax);
  return { clock, store, replays: store.adapter("ReplayDetection") };
}

test("an id that two callers looked for at the same time is stored for the first one only", async () => {
  const { replays } = storeAt();
  assert.deepEqual(await Promise.all([replays.find("a"), replays.find("a")]), [undefined, undefined]);
  const outcomes = await Promise.allSettled([replays.upsert("a", {}, 60), replays.upsert("a", {}, 60)]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected"],
  );
});

test("an id is remembered five minutes longer than oidc-provider asks, then forgotten", async () => {
  const { clock, replays } = storeAt();
  await replays.upsert("a", { jti: "a" }, 60);
  clock.nowMs = 359_999;
  assert.deepEqual(await replays.find("a"), { jti: "a" });
  clock.nowMs = 360_000;
  assert.equal(await replays.find("a"), undefined);
  await replays.upsert("a", {}, 60);
});

test("a full store refuses new ids and keeps the old ones until they expire", async () => {
  const { clock, store, replays } = storeAt(2);
  await replays.upsert("a", {}, 60);
  await replays.upsert("b", {}, 120);
  await assert.rejects(replays.upsert("c", {}, 60), { error: "temporarily_unavailable" });
  assert.ok(await replays.find("a"));
  clock.nowMs = 360_000;
  await replays.upsert("c", {}, 60);
  assert.equal(store.size(), 2);
});

test("nothing but replays is ever kept", async () => {
  const { store } = storeAt();
  const other = store.adapter("AccessToken");
  await assert.rejects(async () => other.upsert("a", {}, 60));
  assert.equal(await other.find("a"), undefined);
});
