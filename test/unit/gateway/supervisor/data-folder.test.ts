import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { openDataFolder } from "../../../../src/gateway/supervisor/data-folder.ts";

const NOW_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;

function opener(t: TestContext) {
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-folder-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return (nowMs: number) => {
    const opened = openDataFolder(folder, nowMs);
    assert.ok(opened.ok, opened.ok ? "" : opened.error);
    return opened.value;
  };
}

test("a gateway that said that it ended is believed, and the next start need not wait", (t) => {
  const open = opener(t);
  const first = open(NOW_MS);
  assert.equal(first.lastAliveMs, 0);
  first.keepAlive(NOW_MS);
  first.end(NOW_MS + 1500);
  first.close();
  assert.equal(open(NOW_MS + HOUR_MS).lastAliveMs, NOW_MS + 1500);
});

test("one that did not may have lived until now, whatever its last sign of life was: its disk may have been full", (t) => {
  const open = opener(t);
  const first = open(NOW_MS);
  first.keepAlive(NOW_MS);
  first.close();
  const second = open(NOW_MS + HOUR_MS);
  assert.equal(second.lastAliveMs, NOW_MS + HOUR_MS);
  second.close();
  const third = open(NOW_MS - HOUR_MS);
  assert.equal(third.lastAliveMs, NOW_MS, "a sign of life from the future is the wall clock set back");
  third.close();
});
