// As many containment entries as there may be: policy adds none and its exchange is refused, operators have some left (H12).
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { openControlDatabase } from "../../src/admin/control-database.ts";
import { ENTRIES_MAX, ENTRIES_OF_OPERATORS } from "../../src/containment/containment-state.ts";
import { LINES_MAX } from "../../src/gateway/thread/limit-lines.ts";
import { startTestGateway, TRUST_DOMAIN, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 60_000 };
const OTHERS = `spiffe://${TRUST_DOMAIN}/agent/hiring/rank-j42/i`;

/** Asked for by an agent of another purpose, the policy quarantines that agent and tells an alert. */
const people = ({ toolUrl }: { toolUrl: string }) => ({
  routes: [
    {
      name: "people",
      path: "/people/{id}",
      methods: ["GET"],
      resource: { type: "personal_data", classification: "restricted" },
      upstream: { url: toolUrl, allow_private_addresses: true },
    },
  ],
});

function curious(g: TestGateway): Promise<TestAgent> {
  const task = "rank-j42";
  const intent = {
    task,
    purpose: "pricing",
    scope: [],
    details: [],
    constraints: {},
    expires_at: "2099-01-01T00:00:00Z",
  };
  return g.agent({ cordon: { intent } });
}

/** Entries as they are found at a start. */
function fill(folder: string, count: number): void {
  const db = openControlDatabase(path.join(folder, "data", "control.sqlite"));
  db.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO containment_entry SELECT 'agent', '${OTHERS}' || i, 'blocked', NULL, 'r', 'b', i FROM n`);
  db.close();
}

test(
  "H12 with as many entries as policy and operators may add, nobody adds one, and policy's exchange is refused",
  LIMIT,
  async () => {
    const first = await startTestGateway(people);
    const { folder } = first;
    await first.gateway.close();
    fill(folder, ENTRIES_MAX + ENTRIES_OF_OPERATORS);
    const g = await startTestGateway(people, { folder });
    const put = (id: string, mode: string) => g.operate("PUT", "/v1/containment/agent", { id, mode, reason: "a test" });
    try {
      const agent = await curious(g);
      for (let n = 0; n < 2; n++)
        assert.equal((await agent.call(`${g.url}/people/1`)).status, 403, "policy denies it anyway");
      assert.ok(g.log.some((line) => line.includes("could not be contained") && line.includes(agent.id)));
      const list = await g.operate("GET", "/v1/containment");
      assert.equal(list.text.includes(agent.id), false);
      assert.notEqual((await put(agent.id, "blocked")).status, 200);
      assert.equal((await put(`${OTHERS}1`, "quarantined")).status, 200, "what is there can be changed");
      assert.equal(
        (await g.operate("POST", "/v1/containment/agent/release", { id: `${OTHERS}1`, reason: "room" })).status,
        200,
      );
      assert.equal((await put(agent.id, "blocked")).status, 200, "operators have room again");
      assert.equal((await agent.call(`${g.url}/people/1`)).status, 403);
    } finally {
      await g.close();
      await Promise.all([first.tool.close(), first.monitor.close()]);
    }
  },
);

test(
  "H24 an agent that makes each of its exchanges an alert does not fill the service log at its speed",
  LIMIT,
  async () => {
    const g = await startTestGateway(people);
    try {
      const agent = await curious(g);
      const CALLS = 3 * LINES_MAX;
      await Promise.all(Array.from({ length: CALLS }, () => agent.call(`${g.url}/people/1`)));
      const told = g.log.filter((line) => line.includes('"message":"alert"')).length;
      assert.ok(told >= LINES_MAX && told < CALLS, `${told} lines`);
      const decided = await g.lines("decision", () => true);
      assert.ok(decided.length > 0);
    } finally {
      await g.close();
    }
  },
);
