import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { CommitError, createGroupCommit } from "../../../src/broker/state/group-commit.ts";

function open(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "cordon-commit-"));
  const file = join(folder, "db.sqlite");
  const db = new DatabaseSync(file);
  db.exec("PRAGMA journal_mode = WAL; CREATE TABLE entry (id INTEGER PRIMARY KEY, text TEXT) STRICT;");
  const other = new DatabaseSync(file);
  t.after(() => {
    other.close();
    db.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const add = (id: number, text = "") => db.prepare("INSERT INTO entry VALUES (?, ?)").run(id, text);
  const seen = (by: DatabaseSync) =>
    by
      .prepare("SELECT id FROM entry ORDER BY id")
      .all()
      .map((row) => row["id"]);
  return { db, commit: createGroupCommit(db), add, seenHere: () => seen(db), seenElsewhere: () => seen(other) };
}

test("what is asked for in one turn is one transaction, told when it is committed", async (t) => {
  const { db, commit, add, seenHere, seenElsewhere } = open(t);
  const inside: unknown[] = [];
  const all = [1, 2, 3].map((id) =>
    commit.run(() => {
      add(id);
      inside.push([db.isTransaction, seenHere(), seenElsewhere()]);
      return id;
    }),
  );
  assert.deepEqual(seenHere(), [], "nothing runs before the turn is over");
  assert.equal(await all[0], 1);
  assert.deepEqual(seenElsewhere(), [1, 2, 3]);
  assert.deepEqual(await Promise.all(all), [1, 2, 3]);
  assert.deepEqual(inside, [
    [true, [1], []],
    [true, [1, 2], []],
    [true, [1, 2, 3], []],
  ]);
});

test("work that throws leaves nothing behind and does not touch the others", async (t) => {
  const { commit, add, seenElsewhere } = open(t);
  const outcomes = await Promise.allSettled([
    commit.run(() => add(1)),
    commit.run(() => {
      add(2);
      throw new RangeError("a bug");
    }),
    commit.run(() => add(3)),
  ]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  assert.deepEqual(seenElsewhere(), [1, 3]);
});

test("where the disk is full all of a group are refused, nothing of them stays, and the next group is served", async (t) => {
  const { db, commit, add, seenElsewhere } = open(t);
  const pages = Number(db.prepare("PRAGMA page_count").get()?.["page_count"]);
  db.exec(`PRAGMA max_page_count = ${pages + 2}`);
  const outcomes = await Promise.allSettled([
    commit.run(() => add(1)),
    commit.run(() => add(2, "x".repeat(100_000))),
    commit.run(() => add(3)),
  ]);
  for (const outcome of outcomes.slice(1, 2)) {
    assert.equal(outcome.status, "rejected");
  }
  const kept = outcomes.flatMap(({ status }, index) => (status === "fulfilled" ? [index + 1] : []));
  assert.deepEqual(seenElsewhere(), kept, "who was told that it is kept is kept, and nobody else");
  await commit.run(() => add(9));
  assert.ok(seenElsewhere().includes(9));
});

test("a commit that fails is told to everyone in the group, and nothing stays", async (t) => {
  const { db, commit, add, seenElsewhere } = open(t);
  // A deferred constraint fails at the commit itself, as a full disk does there.
  db.exec(`PRAGMA foreign_keys = ON;
    CREATE TABLE child (parent INTEGER REFERENCES entry (id) DEFERRABLE INITIALLY DEFERRED) STRICT;`);
  const outcomes = await Promise.allSettled([
    commit.run(() => add(1)),
    commit.run(() => db.exec("INSERT INTO child VALUES (77)")),
  ]);
  for (const outcome of outcomes) {
    assert.ok(outcome.status === "rejected" && outcome.reason instanceof CommitError);
  }
  assert.deepEqual(seenElsewhere(), []);
  await commit.run(() => add(2));
  assert.deepEqual(seenElsewhere(), [2]);
});
