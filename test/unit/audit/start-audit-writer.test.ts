import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import type { AuditFault } from "../../../src/audit/audit-writer.ts";
import { createRecorder } from "../../../src/audit/create-recorder.ts";
import { startAuditWriter } from "../../../src/audit/start-audit-writer.ts";
import { killThread } from "../../fixtures/threads.ts";

const AT = "2026-01-01T00:00:00.000Z";

async function startIn(t: TestContext, file?: string) {
  const folder = await mkdtemp(join(tmpdir(), "cordon-audit-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = file ?? join(folder, "audit", "audit.jsonl");
  const faults: AuditFault[] = [];
  const start = () =>
    startAuditWriter({
      file: path,
      commitIntervalMs: 1,
      onFault: (fault) => faults.push(fault),
      onRecovered: () => {},
    });
  return { path, faults, start };
}

async function records(path: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(path, "utf8");
  assert.ok(text.endsWith("\n"));
  return text
    .slice(0, -1)
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("events of several recorders get one gapless numbering, and a strict intent is on disk when it resolves", async (t) => {
  const { path, start } = await startIn(t);
  const writer = await start();
  const first = createRecorder(writer.connect(), { queueEventsMax: 100 });
  const second = createRecorder(writer.connect(), { queueEventsMax: 100 });
  for (let i = 0; i < 20; i += 1) {
    assert.deepEqual(first.recordIntent({ type: "intent", at: AT, request_id: `a${i}` }, "batched"), {
      ok: true,
      value: undefined,
    });
    second.record({ type: "outcome", at: AT, request_id: `b${i}` });
  }
  writer.record({ type: "policy", at: AT });
  const answer = await first.recordIntent({ type: "intent", at: AT, request_id: "strict" }, "strict");
  assert.equal(answer.ok, true);
  assert.ok((await records(path)).some((record) => record["request_id"] === "strict"));
  await first.close();
  await second.close();
  await writer.close();
  const all = await records(path);
  assert.deepEqual(
    all.map((record) => record["seq"]),
    Array.from({ length: 42 }, (_, i) => i + 1),
  );
  assert.equal(writer.health().seq, 42);
});

test("the file is private to its owner, and its folder too", async (t) => {
  const { path, start } = await startIn(t);
  const writer = await start();
  await writer.close();
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await stat(dirname(path))).mode & 0o777, 0o700);
});

test("a restart continues the numbering, and a torn tail is set aside and reported", async (t) => {
  const { path, faults, start } = await startIn(t);
  const writer = await start();
  writer.record({ type: "policy", at: AT });
  await writer.close();
  await writeFile(path, '{"seq":2,"written_at":"2026', { flag: "a" });
  const again = await start();
  again.record({ type: "policy", at: AT });
  await again.close();
  assert.deepEqual(
    (await records(path)).map((record) => record["seq"]),
    [1, 2],
  );
  assert.deepEqual(
    faults.map((fault) => fault.kind),
    ["torn_tail_cut"],
  );
});

test("a file that cannot be opened makes the start fail", async (t) => {
  const { start } = await startIn(t, "/dev/null/audit.jsonl");
  await assert.rejects(start(), /cannot open the audit log/);
});

test("a queue that is full refuses intents, and the events it dropped are recorded as a number", async (t) => {
  const { path, start } = await startIn(t);
  const writer = await start();
  const recorder = createRecorder(writer.connect(), { queueEventsMax: 2 });
  recorder.record({ type: "outcome", at: AT });
  recorder.record({ type: "outcome", at: AT });
  recorder.record({ type: "outcome", at: AT });
  const refused = await recorder.recordIntent({ type: "intent", at: AT }, "batched");
  assert.deepEqual(refused, { ok: false, error: { reason: "audit.queue_full" } });
  await recorder.flush();
  await recorder.close();
  await writer.close();
  const dropped = (await records(path)).filter((record) => record["type"] === "dropped");
  assert.deepEqual(
    dropped.map((record) => record["events"]),
    [1],
  );
});

test("an event that is too large or has no JSON form is refused, not thrown", async (t) => {
  const { start } = await startIn(t);
  const writer = await start();
  const recorder = createRecorder(writer.connect(), { queueEventsMax: 10 });
  for (const value of [1n, "x".repeat(70_000)]) {
    const answer = await recorder.recordIntent({ type: "intent", at: AT, value }, "strict");
    assert.equal(!answer.ok && answer.error.reason, "audit.unavailable");
  }
  await recorder.close();
  await writer.close();
});

test("when the writer is gone, every recorder refuses", async (t) => {
  const { start } = await startIn(t);
  const writer = await start();
  const port = writer.connect();
  const recorder = createRecorder(port, { queueEventsMax: 10 });
  const portClosed = new Promise((resolve) => port.once("close", resolve));
  await writer.close();
  await portClosed;
  const answer = await recorder.recordIntent({ type: "intent", at: AT }, "batched");
  assert.equal(!answer.ok && answer.error.reason, "audit.unavailable");
  await assert.rejects(recorder.flush());
});

test("a writer's thread that ends is started again, and what was recorded meanwhile is written by its successor", async (t) => {
  const { path, faults } = await startIn(t);
  const restarted = Promise.withResolvers<void>();
  const writer = await startAuditWriter({
    file: path,
    commitIntervalMs: 1,
    onFault: (fault) => faults.push(fault),
    onRecovered: () => {},
    onRestarted: () => {
      recorder.reconnect(writer.connect());
      restarted.resolve();
    },
  });
  const port = writer.connect();
  const recorder = createRecorder(port, { queueEventsMax: 3 });
  const intent = (id: string) => recorder.recordIntent({ type: "intent", at: AT, request_id: id }, "strict");
  assert.equal((await intent("before")).ok, true);
  const closed = new Promise((resolve) => port.once("close", resolve));
  const waiting = intent("waiting");
  await killThread("cordon-audit");
  await closed;
  // It may be on disk or not: who waited for it is refused, and it counts as dropped unless it was acknowledged.
  const told = (await waiting).ok;
  for (const id of ["one", "two", "three", "four"]) recorder.record({ type: "outcome", at: AT, request_id: id });
  assert.equal((await intent("meanwhile")).ok, false);
  assert.equal(writer.health().ok, false);
  writer.record({ type: "policy", at: AT });
  await restarted.promise;
  assert.equal(writer.health().ok, true);
  await recorder.flush();
  assert.equal((await intent("after")).ok, true);
  await recorder.close();
  await writer.close();
  const all = await records(path);
  assert.deepEqual(
    all.map((record) => record["seq"]),
    Array.from(all, (_, index) => index + 1),
  );
  const ids = all
    .filter((record) => record["request_id"] !== "waiting")
    .map((record) => record["request_id"] ?? record["type"]);
  assert.deepEqual(new Set(ids), new Set(["after", "before", "dropped", "one", "policy", "three", "two"]));
  assert.equal(ids.length, 7);
  assert.equal(all.find((record) => record["type"] === "dropped")?.["events"], told ? 1 : 2);
  assert.deepEqual(
    faults.map((fault) => fault.kind),
    ["thread_ended"],
  );
});
