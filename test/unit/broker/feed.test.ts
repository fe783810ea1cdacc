import assert from "node:assert/strict";
import { test } from "node:test";
import type { FromBroker } from "../../../src/broker/broker-message.ts";
import { createFeed } from "../../../src/broker/feed.ts";

const event = (number: number) =>
  ({
    kind: "revoked",
    level: "task",
    id: `spiffe://acme.example/agent/o/t${number}`,
    untilMs: 1,
    reason: "r",
  }) as const;

function createWatched(timeoutMs = 60_000) {
  const posted: Extract<FromBroker, { type: "feed" }>[] = [];
  const feed = createFeed((message) => {
    if (message.type === "feed") posted.push(message);
  }, timeoutMs);
  return { feed, posted };
}

test("a feed is told as enforced when the supervisor says so for each of its messages, in any order", async () => {
  const { feed, posted } = createWatched();
  const events = Array.from({ length: 2500 }, (_, number) => event(number));
  const sent = feed.send(events);
  assert.deepEqual(
    posted.flatMap((message) => message.events),
    events,
  );
  assert.equal(posted.length, 3);
  let done = false;
  void sent.then(() => {
    done = true;
  });
  for (const { id } of posted.slice(1).toReversed()) feed.fed(id);
  await new Promise(setImmediate);
  assert.equal(done, false);
  feed.fed(posted[0]?.id ?? 0);
  assert.equal(await sent, true);
});

test("a feed that nobody acknowledges ends as not enforced, and a late or unknown answer is dropped", async () => {
  const { feed, posted } = createWatched(1);
  assert.equal(await feed.send([event(1)]), false);
  feed.fed(posted[0]?.id ?? 0);
  feed.fed(999);
  assert.equal(await feed.send([]), true);
});
