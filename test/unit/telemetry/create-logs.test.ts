import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { createLogs } from "../../../src/telemetry/create-logs.ts";
import { access, decision } from "./entries.ts";

test("a flush puts every line into its private file, in order", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "cordon-logs-"));
  t.after(() => rm(folder, { recursive: true }));
  const files = { access: join(folder, "logs", "access.jsonl"), decision: join(folder, "logs", "decision.jsonl") };
  const faults: string[] = [];
  const logs = createLogs({
    gateway: "g",
    access: { file: files.access },
    decision: { file: files.decision },
    safeFields: [],
    relay: () => {},
    onFault: (message) => faults.push(message),
  });
  for (let i = 0; i < 200; i += 1) logs.access(access({ status: i }));
  logs.decision(decision({}));
  await logs.flush();
  const lines = (await readFile(files.access, "utf8")).trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { status: number }).status),
    Array.from({ length: 200 }, (_, i) => i),
  );
  const record = JSON.parse(await readFile(files.decision, "utf8")) as Record<string, unknown>;
  assert.deepEqual(record["bundles"], { cordon: { revision: "2026-01-01" } });
  assert.equal((await stat(files.access)).mode & 0o777, 0o600);
  assert.equal((await stat(dirname(files.access))).mode & 0o777, 0o700);
  logs.access(access({ status: 999 }));
  await logs.close();
  assert.match(await readFile(files.access, "utf8"), /"status":999/);
  assert.deepEqual(faults, []);
});

test("stdout goes through the relay in whole lines, and off writes nothing", async () => {
  let relayed = "";
  const logs = createLogs({
    gateway: "g",
    access: "stdout",
    decision: "off",
    safeFields: [],
    relay: (lines) => (relayed += lines),
    onFault: assert.fail,
  });
  logs.access(access({}));
  logs.decision(decision({}));
  await logs.close();
  assert.equal(relayed.split("\n").length, 2);
});

test("both lines of an exchange carry every id", async () => {
  const lines: string[] = [];
  const logs = createLogs({
    gateway: "g",
    access: "stdout",
    decision: "stdout",
    safeFields: [],
    relay: (l) => lines.push(l),
    onFault: assert.fail,
  });
  logs.access(access({}));
  logs.decision(decision({}));
  await logs.close();
  const ids = [
    "request_id",
    "decision_id",
    "trace_id",
    "span_id",
    "agent",
    "task",
    "chain",
    "jti",
    "key_thumbprint",
    "policy_revision",
    "data_revision",
    "containment_mode",
  ];
  assert.equal(lines.length, 2);
  for (const line of lines) {
    const record = JSON.parse(line) as Record<string, unknown>;
    for (const id of ids) assert.ok(typeof record[id] === "string" && record[id] !== "", id);
    assert.equal(record["containment_epoch"], 3);
  }
});
