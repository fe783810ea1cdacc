import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { createContainmentStore } from "../../../src/admin/containment-store.ts";
import { openControlDatabase } from "../../../src/admin/control-database.ts";
import type { ContainmentEntry } from "../../../src/containment/state.ts";
import { temporaryFolder } from "./start-admin.ts";

const blocked: ContainmentEntry = { level: "agent", id: "a", mode: "blocked", reason: "why", by: "admin", atMs: 5 };
const draining: ContainmentEntry = { ...blocked, level: "task", id: "t", mode: "draining", drainUntilMs: 99 };
const note = { reason: "done", by: "soc", atMs: 9 };

suite("the containment store", () => {
  test("a restart keeps the modes and the epoch, and the history says who, why and when", (t) => {
    const file = join(temporaryFolder(t), "control.sqlite");
    const before = openControlDatabase(file);
    const store = createContainmentStore(before);
    assert.deepEqual(store.load(), { epoch: 0, entries: [], labels: [] });
    store.save({ epoch: 1, set: blocked });
    store.save({ epoch: 2, set: draining });
    store.save({ epoch: 3, release: { level: "agent", id: "a" } }, note);
    before.close();
    const after = openControlDatabase(file);
    t.after(() => after.close());
    const again = createContainmentStore(after);
    assert.deepEqual(again.load(), { epoch: 3, entries: [draining], labels: [] });
    assert.deepEqual(again.history(10), [
      { epoch: 3, level: "agent", id: "a", mode: "active", ...note },
      { epoch: 2, ...draining },
      { epoch: 1, ...blocked },
    ]);
    assert.deepEqual(again.history(1, 3), [{ epoch: 2, ...draining }]);
  });

  test("the history forgets the oldest change where it has as many as it may, and no entry with it", (t) => {
    const db = openControlDatabase(join(temporaryFolder(t), "control.sqlite"));
    t.after(() => db.close());
    const store = createContainmentStore(db, 2);
    store.save({ epoch: 1, set: blocked });
    store.save({ epoch: 2, set: draining });
    store.save({ epoch: 3, release: { level: "task", id: "t" } }, note);
    assert.deepEqual(
      store.history(10).map(({ epoch }) => epoch),
      [3, 2],
    );
    assert.deepEqual(store.load(), { epoch: 3, entries: [blocked], labels: [] });
  });

  test("an epoch that is not the next one is refused, and nothing changes", (t) => {
    const db = openControlDatabase(join(temporaryFolder(t), "control.sqlite"));
    t.after(() => db.close());
    const store = createContainmentStore(db);
    store.save({ epoch: 1, set: blocked });
    for (const epoch of [0, 1, 3]) assert.throws(() => store.save({ epoch, set: draining }), RangeError);
    assert.throws(() => store.save({ epoch: 2, release: { level: "agent", id: "a" } }), TypeError);
    assert.throws(() => store.save({ epoch: 2, set: draining, release: { level: "agent", id: "a" } }, note), TypeError);
    assert.throws(() => db.exec("UPDATE containment_epoch SET epoch = 0"), /never goes back/);
    assert.deepEqual(store.load(), { epoch: 1, entries: [blocked], labels: [] });
    assert.equal(store.history(10).length, 1);
  });

  test("what was saved when the process was killed is there at the next start", async (t) => {
    const file = join(temporaryFolder(t), "control.sqlite");
    const admin = new URL("../../../src/admin/", import.meta.url).href;
    const code = `
      import { openControlDatabase } from "${admin}control-database.ts";
      import { createContainmentStore } from "${admin}containment-store.ts";
      createContainmentStore(openControlDatabase(${JSON.stringify(file)})).save({ epoch: 1, set: ${JSON.stringify(blocked)} });
      process.stdout.write("saved");
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "close");
    const db = openControlDatabase(file);
    t.after(() => db.close());
    assert.deepEqual(createContainmentStore(db).load(), { epoch: 1, entries: [blocked], labels: [] });
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  test("what was contained before the level chain was known is there afterwards, and a chain can be contained", (t) => {
    const file = join(temporaryFolder(t), "control.sqlite");
    const first = openControlDatabase(file);
    createContainmentStore(first).save({ epoch: 1, set: blocked });
    // As it was at version 2.
    first.exec(`CREATE TABLE old (
      level TEXT NOT NULL CHECK (level IN ('token', 'agent', 'task')), id TEXT NOT NULL,
      mode TEXT NOT NULL, drain_until_ms INTEGER,
      reason TEXT NOT NULL, changed_by TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (level, id)) STRICT;
      INSERT INTO old SELECT * FROM containment_entry; DROP TABLE containment_entry; DROP TABLE tool; DROP TABLE tool_server; DROP TABLE session_label;
      ALTER TABLE old RENAME TO containment_entry; PRAGMA user_version = 2;`);
    first.close();
    const db = openControlDatabase(file);
    t.after(() => db.close());
    const store = createContainmentStore(db);
    assert.deepEqual(store.load(), { epoch: 1, entries: [blocked], labels: [] });
    const chain = { ...blocked, level: "chain" as const, id: "https://issuer.example s1" };
    store.save({ epoch: 2, set: chain });
    assert.equal(store.load().entries.length, 2);
  });

  test("a file of a newer version is refused in one clear line", (t) => {
    const file = join(temporaryFolder(t), "control.sqlite");
    const db = openControlDatabase(file);
    assert.equal(db.prepare("PRAGMA synchronous").get()?.["synchronous"], 2);
    assert.equal(db.prepare("PRAGMA journal_mode").get()?.["journal_mode"], "wal");
    db.exec("PRAGMA user_version = 99");
    db.close();
    assert.throws(() => openControlDatabase(file), /written by a newer version of Cordon/);
  });
});
