import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { openLineFile } from "../../../src/telemetry/append-lines.ts";

function openIn(t: TestContext, content = "") {
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-lines-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, "logs", "access.jsonl");
  const faults: string[] = [];
  const open = () => openLineFile(file, (message) => faults.push(message));
  const first = open();
  if (content !== "") writeFileSync(file, content);
  return { file, faults, open, first, text: () => readFileSync(file, "utf8") };
}

/** A limit of the process stands for a full disk, and /dev/full is one. */
const LINUX = { skip: process.platform === "linux" ? false : "prlimit and /dev/full are Linux's" };

/** How long a file of this process may become: writes beyond are short, then fail, as on a full disk. */
function limitFiles(bytes: number | "unlimited"): void {
  execFileSync("prlimit", ["--pid", String(process.pid), `--fsize=${bytes}:unlimited`]);
}

test("lines are appended in order to a private file, and a flush waits for all of them", async (t) => {
  const { file, first, text } = openIn(t);
  for (let n = 0; n < 100; n++) first.write(`${n}\n`);
  await first.flush();
  assert.equal(text(), Array.from({ length: 100 }, (_, n) => `${n}\n`).join(""));
  assert.equal(statSync(file).mode & 0o777, 0o600);
  await first.close();
  first.write("late\n");
  assert.ok(!text().includes("late"));
});

test("what a crash left of a line is ended before the next one", async (t) => {
  const { first, text } = openIn(t, '{"whole":1}\n{"to');
  first.write('{"next":1}\n');
  await first.close();
  assert.equal(text(), '{"whole":1}\n{"to\n{"next":1}\n');
});

test(
  "a line that the disk took in part is written anew, and no other writer's line goes on where it broke off",
  LINUX,
  async (t) => {
    const { faults, open, first: one, text } = openIn(t);
    const other = open();
    other.write("old\n");
    await other.flush();
    limitFiles(15);
    try {
      one.write("line 1\nline 2\nline 3\n");
      await assert.rejects(one.flush());
      await assert.rejects(one.flush(), { code: "EFBIG" });
      one.write("line 4\n");
      assert.equal(text(), "old\nline 1\nline");
      assert.equal(faults.length, 1, "told once");
    } finally {
      limitFiles("unlimited");
    }
    // The other one saw nothing of it, was idle for longer than IDLE_MS, and writes first.
    await new Promise((resolve) => setTimeout(resolve, 150));
    other.write("other\n");
    await other.flush();
    await one.close();
    await other.close();
    assert.deepEqual(
      text()
        .split("\n")
        .filter((line) => line !== ""),
      ["old", "line 1", "line", "other", "line 2", "line 3", "line 4"],
    );
  },
);

test("lines are written again by themselves once the disk takes them", LINUX, async (t) => {
  const { first, text } = openIn(t);
  limitFiles(3);
  try {
    first.write("line 1\n");
    await assert.rejects(first.flush());
  } finally {
    limitFiles("unlimited");
  }
  while (!text().endsWith("line 1\n")) await new Promise((resolve) => setTimeout(resolve, 20));
  await first.close();
});

test("a disk that takes nothing costs a bounded memory: lines are dropped, and it is told", LINUX, async () => {
  const faults: string[] = [];
  const full = openLineFile("/dev/full", (message) => faults.push(message));
  full.write("a line\n");
  await assert.rejects(full.flush(), { code: "ENOSPC" });
  const mebibyte = `${"x".repeat(2 ** 20 - 1)}\n`;
  for (let n = 0; n < 20; n++) full.write(mebibyte);
  assert.equal(faults.length, 2);
  assert.match(faults[1] ?? "", /dropped/);
  await assert.rejects(full.close());
});
