import assert from "node:assert/strict";
import { test } from "node:test";
import { attachEpoch, createEpochBuffer } from "../../../../src/containment/epoch.ts";
import type { RevocationDelta } from "../../../../src/containment/revocation.ts";
import { createRevocationState } from "../../../../src/containment/revocation-state.ts";
import { createRevocationGate } from "../../../../src/gateway/thread/revocation-gate.ts";
import type { Agent } from "../../../../src/token/agent.ts";

const agent = {
  refs: { token: "i j", agent: "a/t/i", task: "a/t", chain: "i s", ancestors: [] },
  expiresAtMs: 500,
} as unknown as Agent;
const renewal = {
  kind: "superseded",
  token: "i j",
  agent: "a/t/i",
  fromMs: 0,
  untilMs: 500,
  agentExpiresMs: 900,
} as const;

function gate() {
  const epoch = attachEpoch(createEpochBuffer(1));
  const waiting: RevocationDelta[] = [];
  const made = createRevocationGate({
    state: createRevocationState(),
    epoch,
    readControl: () => {
      for (const delta of waiting.splice(0)) made.apply(delta);
    },
    nowMs: () => 0,
  });
  return { made, epoch, waiting };
}

test("a thread reads what was fed before it takes a token, and refuses where the message is missing", () => {
  const { made, epoch, waiting } = gate();
  assert.equal(made.check(agent), null);
  const revoked = { kind: "revoked", level: "token", id: "i j", untilMs: 500, reason: "stolen" } as const;
  waiting.push({ epoch: 1, events: [revoked] });
  epoch.publish(1);
  assert.deepEqual(made.check(agent), { reason: "token.revoked", detail: "token i j: stolen" });
  assert.deepEqual(made.checkOpen(agent), { reason: "stream.cut_revoked", detail: "token i j: stolen" });
  epoch.publish(2);
  assert.equal(made.check(agent)?.reason, "containment.stale");
  assert.equal(made.checkOpen(agent)?.reason, "stream.cut_revoked");
});

test("a renewal refuses new requests with the old token, and what is open lives as long as the new one", () => {
  const { made } = gate();
  assert.equal(made.streamsEndMs(agent), 500);
  made.apply({ epoch: 1, events: [renewal] });
  assert.equal(made.check(agent)?.reason, "token.superseded");
  assert.equal(made.checkOpen(agent), null);
  assert.equal(made.streamsEndMs(agent), 900);
});
