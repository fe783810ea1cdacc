import assert from "node:assert/strict";
import { test } from "node:test";
import { attachEpoch, createEpochBuffer } from "../../../../src/containment/epoch.ts";
import type { RevocationDelta } from "../../../../src/containment/revocation.ts";
import { createRevocationManager } from "../../../../src/gateway/supervisor/revocation-manager.ts";
import type { DataThread, ThreadPool } from "../../../../src/gateway/supervisor/thread-pool.ts";
import { createClock, readClockBase } from "../../../../src/lib/clock.ts";

const revoked = { kind: "revoked", level: "agent", id: "a/t/i", untilMs: 1, reason: "r" } as const;
const renewal = { kind: "superseded", agent: "a/t/i", fromMs: 0, untilMs: 1, agentExpiresMs: 2 } as const;

/** Threads of which the last one never answers. */
function manage(threads: number) {
  const epoch = attachEpoch(createEpochBuffer(threads));
  const posted: RevocationDelta[] = [];
  const ended: number[] = [];
  const all = Array.from({ length: threads }, (_, index) => ({
    index,
    serial: index,
    state: "serving" as const,
    exchanges: 0,
    streams: 0,
    send: () => undefined,
    end: async () => void ended.push(index),
  })) satisfies DataThread[];
  const pool = {
    all,
    broadcast: (message: { readonly type: string; readonly delta?: RevocationDelta }) => {
      if (message.type !== "revocations" || message.delta === undefined) return;
      posted.push(message.delta);
      assert.ok(epoch.current() < message.delta.epoch, "posted before it is published");
    },
  } as unknown as ThreadPool;
  const manager = createRevocationManager({ epoch, clock: createClock(readClockBase()), pool: () => pool });
  return { manager, epoch, posted, ended };
}

test("the feed is answered once every thread enforces it, and a silent thread is ended first", async (t) => {
  const { manager, epoch, posted, ended } = manage(2);
  t.after(() => manager.close());
  let answered = false;
  const fed = manager.feed([revoked]).then(() => {
    answered = true;
  });
  assert.equal(posted.length, 1);
  assert.equal(epoch.current(), 1);
  epoch.acknowledge(0, 1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(answered, false);
  await fed;
  assert.deepEqual(ended, [1]);
  assert.deepEqual(manager.snapshot(), { epoch: 1, events: [revoked], refuseUntilMs: 0 });
});

test("renewals that come together are one change, and a revocation does not wait for them", async (t) => {
  const { manager, epoch, posted } = manage(1);
  t.after(() => manager.close());
  const renewals = ["j1", "j2", "j3"].map((jti) => manager.feed([{ ...renewal, token: `i ${jti}` }]));
  assert.equal(posted.length, 0);
  const ended = manager.feed([revoked]);
  assert.deepEqual(posted[0]?.events, [revoked]);
  epoch.acknowledge(0, 1);
  await ended;
  epoch.acknowledge(0, 2);
  await Promise.all(renewals);
  assert.equal(posted.length, 2);
  assert.equal(posted[1]?.events.length, 3);
});
