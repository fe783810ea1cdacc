// What one thread makes of the ids of open requests: how many an agent may have, and when each is free again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { attachIdClaims, createIdClaimBuffer, HELD_MS } from "../../../../src/gateway/id-claims.ts";
import { createOpenIds, type OpenId, type RequestId } from "../../../../src/gateway/thread/open-ids.ts";

const REQUEST: RequestId = { agent: "a", route: "mcp", session: "s", id: 7 };

function thread(ofAgentMax = 2) {
  let now = Date.UTC(2026, 0, 1);
  const nowMs = (): number => now;
  const ids = createOpenIds(attachIdClaims(createIdClaimBuffer(1, 1024), new Uint8Array(32), nowMs), nowMs, ofAgentMax);
  const take = (more: Partial<RequestId> = {}): OpenId => {
    const taken = ids.take({ ...REQUEST, ...more });
    if ("reason" in taken) throw new Error(taken.reason);
    return taken;
  };
  const refusal = (more: Partial<RequestId> = {}): string | undefined => {
    const taken = ids.take({ ...REQUEST, ...more });
    return "reason" in taken ? taken.reason : undefined;
  };
  return { ids, take, refusal, pass: (ms: number) => void (now += ms) };
}

test("an id is one in its session, as a number or as a text, and free in another", () => {
  const { take, refusal } = thread(9);
  take();
  assert.equal(refusal(), "mcp.id_in_use");
  assert.equal(refusal({ id: "7" }), "mcp.id_in_use");
  for (const other of [{ session: "t" }, { route: "other" }, { agent: "b" }, { id: 8 }]) take(other);
});

test("an id is free once its answer was seen, or where it was never sent, and else at the limit", () => {
  const { ids, take, refusal, pass } = thread();
  const answered = take();
  answered.sent();
  answered.answered();
  const again = take();
  ids.end(answered);
  assert.equal(refusal(), "mcp.id_in_use", "the end of the first is not the end of the second");
  ids.end(again);
  const left = take();
  left.sent();
  ids.end(left);
  pass(HELD_MS - 1000);
  ids.keep();
  assert.equal(refusal(), "mcp.id_in_use");
  pass(1000);
  take();
});

test("an exchange that is open for longer than the limit keeps its id", () => {
  const { ids, take, refusal, pass } = thread();
  take().sent();
  for (let passed = 0; passed < 3 * HELD_MS; passed += HELD_MS / 8) {
    pass(HELD_MS / 8);
    ids.keep();
  }
  assert.equal(refusal(), "mcp.id_in_use");
});

test("an agent has its share of ids without an answer, and takes none of another's", () => {
  const { ids, take, refusal, pass } = thread();
  const [one, two] = [take({ id: 1 }), take({ id: 2 })];
  assert.equal(refusal({ id: 3 }), "mcp.id_quota");
  take({ agent: "b", id: 3 });
  one.sent();
  one.answered();
  ids.end(one);
  two.sent();
  ids.end(two);
  const three = take({ id: 3 });
  assert.equal(refusal({ id: 4 }), "mcp.id_quota", "an id that is left to the limit counts");
  ids.end(three);
  pass(HELD_MS);
  take({ id: 4 });
  take({ id: 5 });
  assert.equal(refusal({ id: 6 }), "mcp.id_quota");
});
