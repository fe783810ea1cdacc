import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import type { AgentAuthority, Launch } from "../../../src/broker/grants/authority.ts";
import { brokerDatabaseFile, openBrokerDatabase } from "../../../src/broker/state/broker-database.ts";
import { openState } from "../../../src/broker/state/open-state.ts";
import { startSweep } from "../../../src/broker/state/start-sweep.ts";
import { NO_PROVENANCE } from "../../fixtures/hiring-claims.ts";

const HOUR_MS = 3_600_000;

const AUTHORITY: AgentAuthority = {
  orchestration: "o",
  task: "t",
  purpose: "",
  principal: { type: "user", id: "alice", issuer: "i", attributes: {} },
  provenance: NO_PROVENANCE,
  session: { id: "s", root_request: "r", initiator: { type: "user", id: "alice" } },
  ttl_s: 300,
  renewals_max: 1,
  depth_max: 1,
  audience: "a",
  jkt: "k",
  chain: [],
};
const GRANT = { scope: [], details: [], constraints: {} };
const LAUNCH: Launch = { ...AUTHORITY, grant: GRANT, lifetime_s: 3600 };

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "cordon-state-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function count(folder: string, table: string): number {
  const db = new DatabaseSync(brokerDatabaseFile(folder));
  try {
    return Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.["n"]);
  } finally {
    db.close();
  }
}

test("rows go when time alone keeps them dead, in parts; a used instance never does", async (t) => {
  const folder = folderOf(t);
  let nowMs = 1_800_000_000_000;
  const state = openState(folder, () => nowMs);
  t.after(() => state.close());
  const sweep = startSweep(
    state,
    () => nowMs,
    (error) => assert.fail(error),
  );
  t.after(() => sweep.close());
  const start = nowMs;
  await state.commit.run(() => {
    for (let index = 0; index < 1200; index++) {
      state.launches.add(randomBytes(32), "app", LAUNCH, nowMs);
      const thumbprint = randomBytes(32).toString("base64url");
      assert.ok(state.agents.useInstance(thumbprint));
      const agent = {
        id: `spiffe://d/agent/o/t/${thumbprint}`,
        application: "app",
        parent: null,
        depth: 0,
        authority: AUTHORITY,
        grant: GRANT,
        expiresMs: nowMs + HOUR_MS,
      };
      state.agents.add(agent, { jti: randomUUID(), issuedMs: nowMs, expiresMs: nowMs + 300_000 });
      const id = `i ${index}`;
      state.revocations.add({ level: "token", id, reason: "", by: "", atMs: nowMs, untilMs: nowMs + 420_000 });
    }
  });
  const counts = () => ["launch", "agent", "token", "revocation", "used_instance"].map((table) => count(folder, table));
  const sweepAt = async (laterMs: number): Promise<number[]> => {
    nowMs = start + laterMs;
    await sweep.sweep();
    return counts();
  };
  assert.deepEqual(await sweepAt(419_999), [1200, 1200, 1200, 1200, 1200]);
  assert.deepEqual(await sweepAt(420_001), [1200, 1200, 0, 0, 1200]);
  assert.deepEqual(await sweepAt(HOUR_MS + 29_999), [1200, 1200, 0, 0, 1200]);
  assert.deepEqual(await sweepAt(HOUR_MS + 30_001), [0, 1200, 0, 0, 1200]);
  assert.deepEqual(await sweepAt(2 * HOUR_MS + 1), [0, 0, 0, 0, 1200]);
});

test("the database itself keeps a spent launch token spent, an ended agent ended and a used instance used", async (t) => {
  const folder = folderOf(t);
  const db = openBrokerDatabase(folder);
  t.after(() => db.close());
  db.exec(`INSERT INTO launch VALUES (zeroblob(32), 'app', '{}', 5, 1, 'agent');
    INSERT INTO used_instance VALUES (zeroblob(32));
    INSERT INTO agent VALUES ('id', 'app', 's', NULL, 0, '{}', '[]', '[]', '{}', 9, 0, 'jti', 9, 3, 'released');`);
  const forbidden = [
    ["UPDATE launch SET spent_ms = NULL", /stays spent/],
    ["UPDATE launch SET agent = 'another'", /stays spent/],
    ["DELETE FROM used_instance", /never forgotten/],
    ["UPDATE agent SET ended_ms = NULL", /stays ended/],
    ["UPDATE agent SET token = 'new'", /stays ended/],
    ["UPDATE agent SET authority = 7, scope = NULL", /.*/],
  ] as const;
  for (const [sql, why] of forbidden) assert.throws(() => db.exec(sql), why, sql);
});

test("the history of the signing keys says what each was since when, also of those that are gone", (t) => {
  const folder = folderOf(t);
  const state = openState(folder, Date.now);
  t.after(() => state.close());
  const key = (kid: string, is: "next" | "active" | "retired", sinceMs: number) => ({
    kid,
    state: is,
    since: new Date(sinceMs).toISOString(),
    next_change: "",
  });
  const keep = (nowMs: number, ...keys: ReturnType<typeof key>[]) => state.keys.keep({ list: () => keys }, nowMs);
  keep(1, key("a", "active", 1));
  keep(5, key("b", "next", 5), key("a", "active", 1));
  keep(7, key("b", "active", 7), key("a", "retired", 7));
  keep(8, key("b", "active", 7), key("a", "retired", 7));
  assert.deepEqual(state.keys.list(), [
    { kid: "b", state: "active", createdMs: 5, sinceMs: 7 },
    { kid: "a", state: "retired", createdMs: 1, sinceMs: 7 },
  ]);
  keep(9, key("b", "active", 7));
  assert.deepEqual(state.keys.list()[1], { kid: "a", state: "removed", createdMs: 1, sinceMs: 9 });
});

test("a database of a newer version is refused in one clear line", (t) => {
  const folder = folderOf(t);
  const db = openBrokerDatabase(folder);
  db.exec("PRAGMA user_version = 99");
  db.close();
  assert.throws(() => openBrokerDatabase(folder), /written by a newer version of Cordon \(99\)/);
});
