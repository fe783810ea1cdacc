import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { MessageChannel } from "node:worker_threads";
import { openAppendLog } from "../../src/audit/append-log.ts";
import type { EventBatch } from "../../src/audit/audit-protocol.ts";
import type { AuditFault } from "../../src/audit/audit-writer.ts";
import { createCommitLoop } from "../../src/audit/commit-loop.ts";
import { createRecorder } from "../../src/audit/create-recorder.ts";
import { checkAuditText } from "../../src/audit/verify-audit-file.ts";
import { createMemoryDisk, ioError } from "../unit/audit/memory-disk.ts";

const PATH = "/audit.jsonl";
const AT = "2026-01-01T00:00:00.000Z";

async function startOn(disk: ReturnType<typeof createMemoryDisk>) {
  const faults: AuditFault[] = [];
  let recovered: () => void = () => {};
  const recovery = new Promise<void>((resolve) => {
    recovered = resolve;
  });
  const log = await openAppendLog(disk.layer, PATH);
  const loop = createCommitLoop({
    log,
    commitIntervalMs: 0,
    onCommitted() {},
    onFault: (f) => faults.push(f),
    onRecovered: recovered,
  });
  const { port1, port2 } = new MessageChannel();
  port2.on("message", (batch: EventBatch) => loop.receive(port2, batch));
  loop.connect(port2);
  const recorder = createRecorder(port1, { queueEventsMax: 100 });
  const intent = (id: string, mode: "strict" | "batched" = "strict") =>
    recorder.recordIntent({ type: "intent", at: AT, request_id: id }, mode);
  const close = async () => {
    await recorder.close();
    await loop.close();
  };
  return { recorder, intent, faults, recovery, close, port1 };
}

for (const [name, breakDisk] of [
  ["a full disk (ENOSPC)", (disk) => (disk.fail.append = ioError("ENOSPC"))],
  [
    "a read-only disk (EROFS), where not even the torn line can be cut,",
    (disk) => (disk.fail.append = disk.fail.truncate = ioError("EROFS")),
  ],
  ["an fdatasync error (EIO)", (disk) => (disk.fail.datasync = ioError("EIO"))],
] as [string, (disk: ReturnType<typeof createMemoryDisk>) => unknown][]) {
  test(`H22: ${name} refuses strict and batched intents, and is survived without a restart`, async () => {
    const disk = createMemoryDisk();
    const { recorder, intent, faults, recovery, close, port1 } = await startOn(disk);
    assert.equal((await intent("before")).ok, true);
    breakDisk(disk);
    const refused = await intent("during");
    assert.equal(!refused.ok && refused.error.reason, "audit.unavailable");
    const alsoRefused = await intent("batched", "batched");
    assert.equal(!alsoRefused.ok && alsoRefused.error.reason, "audit.unavailable");
    assert.equal(faults.length, 1);
    assert.ok(!disk.syncedText(PATH).includes("during"));

    disk.fail.append = disk.fail.truncate = disk.fail.datasync = undefined;
    await recovery;
    await once(port1, "message");
    assert.equal((await intent("after")).ok, true);
    recorder.record({ type: "outcome", at: AT, request_id: "after" });
    await close();
    const check = await checkAuditText([disk.syncedText(PATH)]);
    assert.deepEqual(check.problems, []);
    assert.equal(check.records, 4);
  });
}

test("H22: short writes are continued, and no line is torn or doubled", async () => {
  const disk = createMemoryDisk();
  disk.fail.shortWrites = true;
  const { intent, close } = await startOn(disk);
  for (let i = 0; i < 5; i += 1) assert.equal((await intent(`r${i}`)).ok, true);
  await close();
  const check = await checkAuditText([disk.syncedText(PATH)]);
  assert.deepEqual([check.ok, check.records], [true, 5]);
});

test("H22: nothing is acknowledged before fdatasync has returned, and one sync serves all who wait", async () => {
  const disk = createMemoryDisk();
  const { intent, close } = await startOn(disk);
  let release: () => void = () => {};
  disk.hold(new Promise((resolve) => (release = resolve)));
  const before = disk.syncs;
  let answered = 0;
  const first = Promise.resolve(intent("first")).then(() => (answered += 1));
  while (disk.syncs === before) await new Promise(setImmediate);
  const others = Array.from({ length: 50 }, (_, i) => Promise.resolve(intent(`r${i}`)).then(() => (answered += 1)));
  for (let i = 0; i < 20; i += 1) await new Promise(setImmediate);
  assert.equal(answered, 0);
  release();
  await Promise.all([first, ...others]);
  assert.equal(disk.syncs - before, 2);
  await close();
});

test("H22: after a fault, a file whose last good record has gone is not written on", async () => {
  const disk = createMemoryDisk();
  const log = await openAppendLog(disk.layer, PATH);
  await log.commit('{"type":"policy"}', 1);
  disk.files.set(PATH, Buffer.from("something else"));
  await assert.rejects(log.recover(), { kind: "tail_changed" });
  assert.equal(disk.text(PATH), "something else");
});
