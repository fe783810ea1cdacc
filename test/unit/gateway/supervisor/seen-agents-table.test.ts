import assert from "node:assert/strict";
import { test } from "node:test";
import { createSeenAgentsTable } from "../../../../src/gateway/supervisor/seen-agents-table.ts";
import type { SeenAgentCount } from "../../../../src/gateway/thread-messages.ts";

const ID = "spiffe://acme.example/agent/hiring/rank-j42/one";
const REPORT: SeenAgentCount = {
  id: ID,
  task: "rank-j42",
  token: "first-token",
  chain: "s1",
  ancestors: [],
  principal: "user:recruiter_alice",
  keyThumbprint: "one",
  lastSeenMs: 1000,
  exchanges: 2,
};

test("an agent that is seen again by the same token has all its exchanges, and the time of the last one", () => {
  const table = createSeenAgentsTable();
  table.add([REPORT]);
  table.add([{ ...REPORT, lastSeenMs: 3000, exchanges: 5 }]);
  const [one, ...others] = table.list(() => "active");
  assert.deepEqual(others, []);
  assert.equal(one?.exchanges, 7);
  assert.equal(one.last_seen, "1970-01-01T00:00:03.000Z");
});

test("an agent that comes with another token is judged by the token, the task and the chain that it has now", () => {
  const table = createSeenAgentsTable();
  const now = { ...REPORT, token: "second-token", task: "rank-j43", chain: "s2", ancestors: ["an-ancestor"] };
  table.add([REPORT]);
  table.add([now]);
  const asked: unknown[] = [];
  const [one] = table.list((refs) => {
    asked.push(refs);
    return "active";
  });
  const { task, token, chain, ancestors } = now;
  assert.deepEqual(asked, [{ agent: ID, task, token, chain, ancestors }]);
  assert.equal(one?.exchanges, 4);
});

test("a report is left as it was, whatever comes later", () => {
  const table = createSeenAgentsTable();
  const report = { ...REPORT };
  table.add([report]);
  table.add([{ ...REPORT, lastSeenMs: 3000 }]);
  assert.deepEqual(report, REPORT);
});
