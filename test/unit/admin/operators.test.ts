import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { openControlDatabase } from "../../../src/admin/control-database.ts";
import { createFailedAttempts, FAILURES_MAX, PEERS_MAX, WINDOW_MS } from "../../../src/admin/failed-attempts.ts";
import { createOperators, may } from "../../../src/admin/operators.ts";
import { temporaryFolder } from "./start-admin.ts";

suite("operators", () => {
  test("the first start makes an admin whose key stands in a file of mode 0600 and nowhere else", (t) => {
    const folder = temporaryFolder(t);
    const keyFile = join(folder, "operator.key");
    // A start that was cut short may have left it, readable to all.
    writeFileSync(`${keyFile}.new`, "unfinished", { mode: 0o666 });
    const db = openControlDatabase(join(folder, "control.sqlite"));
    t.after(() => db.close());
    const operators = createOperators(db, keyFile, 1000);
    const key = readFileSync(keyFile, "utf8").trim();
    assert.equal(statSync(keyFile).mode & 0o777, 0o600);
    assert.equal(operators.authenticate(key)?.name, "admin");
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    const others = readdirSync(folder).filter((name) => name !== "operator.key");
    for (const name of others) assert.ok(!readFileSync(join(folder, name)).includes(key), name);
  });

  test("a later start keeps the operators and leaves the key file alone", (t) => {
    const folder = temporaryFolder(t);
    const keyFile = join(folder, "operator.key");
    const file = join(folder, "control.sqlite");
    const first = openControlDatabase(file);
    createOperators(first, keyFile, 0);
    first.close();
    const key = readFileSync(keyFile, "utf8");
    const second = openControlDatabase(file);
    t.after(() => second.close());
    assert.equal(createOperators(second, keyFile, 0).authenticate(key.trim())?.role, "admin");
    assert.equal(readFileSync(keyFile, "utf8"), key);
  });

  test("a key that cannot be written leaves no admin without a key behind", (t) => {
    const folder = temporaryFolder(t);
    const db = openControlDatabase(join(folder, "control.sqlite"));
    t.after(() => db.close());
    assert.throws(() => createOperators(db, join(folder, "control.sqlite", "operator.key"), 0));
    assert.equal(createOperators(db, join(folder, "operator.key"), 0).list().length, 1);
  });

  test("an added operator has the role and the key given, until removed; the last admin stays", (t) => {
    const folder = temporaryFolder(t);
    const db = openControlDatabase(join(folder, "control.sqlite"));
    t.after(() => db.close());
    const operators = createOperators(db, join(folder, "operator.key"), 0);
    const added = operators.add("soc-1", "responder", "admin", 7);
    assert.ok(added.ok);
    assert.deepEqual(operators.authenticate(added.value.key), added.value.operator);
    assert.equal(operators.add("soc-1", "admin", "admin", 7).ok, false);
    assert.equal(operators.add("../x", "admin", "admin", 7).ok, false);
    assert.equal(operators.remove("soc-1").ok, true);
    assert.equal(operators.authenticate(added.value.key), undefined);
    assert.equal(operators.remove("admin").ok, false);
    assert.equal(operators.remove("nobody").ok, false);
  });

  test("each role may do its own part", () => {
    const allowed = (role: Parameters<typeof may>[0]) =>
      (["read", "contain", "policy", "operators"] as const).filter((permission) => may(role, permission));
    assert.deepEqual(allowed("viewer"), ["read"]);
    assert.deepEqual(allowed("responder"), ["read", "contain"]);
    assert.deepEqual(allowed("policy_editor"), ["read", "policy"]);
    assert.deepEqual(allowed("admin"), ["read", "contain", "policy", "operators"]);
  });

  test("failures are counted in a window for each peer, and in one count once the table is full", () => {
    const attempts = createFailedAttempts();
    for (let i = 0; i < FAILURES_MAX; i++) assert.equal(attempts.failed("p", 0), false);
    assert.equal(attempts.failed("p", 1), true);
    assert.equal(attempts.retryAfterS("p", 1000), 59);
    assert.equal(attempts.failed("q", 1), false);
    assert.equal(attempts.failed("p", WINDOW_MS), false);
    let refused = 0;
    for (let i = 0; i < PEERS_MAX + 100; i++) if (attempts.failed(`peer-${i}`, WINDOW_MS + 2)) refused += 1;
    assert.ok(refused > 0);
    assert.ok(attempts.size <= PEERS_MAX + 1);
  });
});
