import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { openAppendLog } from "../../src/audit/append-log.ts";
import { startAuditWriter } from "../../src/audit/start-audit-writer.ts";
import { checkAuditText } from "../../src/audit/verify-audit-file.ts";
import { createMemoryDisk } from "../unit/audit/memory-disk.ts";

const PATH = "/audit.jsonl";

test("H21: whatever a power cut leaves of unsynced bytes, every acknowledged record is there and the numbering goes on", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.boolean(), fc.nat(300)), { maxLength: 12 }), async (steps) => {
      let disk = createMemoryDisk();
      let log = await openAppendLog(disk.layer, PATH);
      const acknowledged: string[] = [];
      for (const [index, [crash, keep]] of steps.entries()) {
        const event = (name: string) => JSON.stringify({ type: "intent", request_id: name });
        await log.commit(event(`done${index}`), 1);
        acknowledged.push(`done${index}`);
        if (!crash) continue;
        disk.fail.datasync = new Error("power");
        disk.fail.truncate = new Error("power");
        await assert.rejects(log.commit(`${event(`lost${index}`)}\n${event(`lost${index}b`)}`, 2));
        disk = disk.crash(keep);
        log = await openAppendLog(disk.layer, PATH);
      }
      const check = await checkAuditText([disk.syncedText(PATH)]);
      assert.deepEqual(check.problems, []);
      for (const id of acknowledged) assert.ok(check.intentsWithoutOutcome.includes(id), id);
    }),
    { numRuns: 100 },
  );
});

test("H21: a hole of zero bytes under later whole lines is cut, set aside and not built upon", async () => {
  const disk = createMemoryDisk();
  const log = await openAppendLog(disk.layer, PATH);
  await log.commit('{"type":"policy"}\n{"type":"policy"}\n{"type":"policy"}', 3);
  const lines = disk.text(PATH).split("\n");
  const broken = [lines[0], "\0".repeat(lines[1]?.length ?? 0), lines[2], ""].join("\n");
  disk.files.set(PATH, Buffer.from(broken));
  const again = await openAppendLog(disk.layer, PATH);
  assert.equal(again.seq, 1);
  assert.equal(again.bytesSetAside, broken.length - (lines[0]?.length ?? 0) - 1);
  const aside = [...disk.files.keys()].find((path) => path.startsWith(`${PATH}.cut-`)) ?? "";
  assert.ok(disk.syncedText(aside).includes(lines[2] ?? "?"));
});

const WRITER = fileURLToPath(new URL("./h21-writer-process.ts", import.meta.url));

async function killUnderLoad(file: string, acknowledgedMin: number): Promise<string[]> {
  const child: ChildProcess = spawn(process.execPath, [WRITER, file], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  assert.ok(child.stdout);
  const exit = once(child, "exit");
  const acknowledged: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    acknowledged.push(line);
    if (acknowledged.length === acknowledgedMin) child.kill("SIGKILL");
  }
  await exit;
  assert.ok(acknowledged.length >= acknowledgedMin);
  return acknowledged;
}

test("H21: after kill -9 under load, again and again, every acknowledged record verifies and intents without outcome are listed", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "cordon-h21-"));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "audit.jsonl");
  const acknowledged: string[] = [];
  for (let round = 0; round < 4; round += 1) acknowledged.push(...(await killUnderLoad(file, 15 + round * 7)));
  const writer = await startAuditWriter({ file, commitIntervalMs: 1, onFault() {}, onRecovered() {} });
  await writer.close();
  const check = await checkAuditText([await readFile(file, "utf8")]);
  assert.deepEqual(check.problems, []);
  const listed = new Set(check.intentsWithoutOutcome);
  assert.deepEqual(
    acknowledged.filter((id) => !listed.has(id)),
    [],
  );
});
