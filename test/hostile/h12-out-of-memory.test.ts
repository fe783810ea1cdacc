// H12: memory. A data thread whose heap a request fills ends, and no other thread; a policy that grows without end is stopped
// inside its own memory, and costs nobody a thread.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import path from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { prepareGateway } from "../fixtures/gateway-process.ts";
import { toolRoute } from "../fixtures/scripted-tool.ts";
import { call, readLines, startTestGateway } from "../fixtures/test-gateway.ts";
import { opaPath, skipWithoutOpa } from "../integration/opa-for-tests.ts";

const LIMIT = { timeout: 90_000 };
/** A data thread starts in less; the body below takes three times as much once it is parsed. */
const HEAP_MB = 40;
const BODY = `[${"{},".repeat(2_000_000)}0]`;
const SLOW_CALLS = 12;

test(
  "H12 a data thread that runs out of memory ends alone: what it had in hand is told, and its successor forgets nothing",
  LIMIT,
  async (t) => {
    const prepared = await prepareGateway(({ toolUrl }) => ({
      threads: 2,
      policy: { input_bytes_max: 2 ** 23, memory_pages_max: 8192, evaluation_budget_ms: 5000 },
      routes: [
        toolRoute("big", toolUrl, { limits: { body_bytes_max: 7_000_000 } }),
        toolRoute("slow", toolUrl, { audit: "strict" }),
      ],
    }));
    t.after(() => prepared.close());
    const { g } = prepared;
    const running = await prepared.start({
      env: {
        CORDON_TEST_DATA_HEAP_MB: String(HEAP_MB),
        NODE_OPTIONS: `--import ${new URL("../fixtures/small-heap.ts", import.meta.url).href}`,
      },
    });
    const [agent, bad] = [await g.agent(), await g.agent()];
    const body = { id: bad.id, mode: "blocked", reason: "a test of memory" };
    assert.equal((await running.operate("PUT", "/v1/containment/agent", body)).status, 200);

    // On both threads: the kernel spreads the connections.
    const held: ServerResponse[] = [];
    const all = Promise.withResolvers<void>();
    const plainAnswer = g.tool.answer;
    g.tool.answer = (_asked, response) => {
      held.push(response);
      if (held.length === SLOW_CALLS) all.resolve();
    };
    const proofs = await Promise.all(Array.from({ length: SLOW_CALLS }, (_, n) => agent.headers(`${g.url}/slow/${n}`)));
    const slow = proofs.map((headers, n) =>
      call(`${g.url}/slow/${n}`, { headers }).then(
        (answer) => answer.status,
        () => 0,
      ),
    );
    await all.promise;
    const fatal = await agent.headers(`${g.url}/big/1`, "POST");
    const headers = { ...fatal, "content-type": "application/json", "content-length": String(BODY.length) };
    await assert.rejects(call(`${g.url}/big/1`, { method: "POST", headers, body: BODY }), { code: /ECONNRESET|EPIPE/ });
    await running.printed("a data thread ended and is replaced");
    assert.match(running.stderr(), /ERR_WORKER_OUT_OF_MEMORY/);
    g.tool.answer = plainAnswer;
    for (const response of held) response.end("late");
    const statuses = await Promise.all(slow);
    const lost = statuses.filter((status) => status === 0).length;
    assert.ok(lost < SLOW_CALLS && statuses.every((status) => status === 0 || status === 200), statuses.join(" "));

    const access = path.join(running.data, "logs", "access.jsonl");
    const ended = (): Record<string, unknown>[] =>
      readLines(access).filter((line) => line["reason"] === "gateway.thread_ended");
    while (ended().length < lost + 1) await setTimeout(20);
    assert.equal(ended().length, lost + 1, "a line for each exchange in hand");
    // Both threads serve again, and know what the dead one knew.
    for (;;) {
      const status = await running.operate("GET", "/v1/status");
      const { threads } = status.json<{ threads: { state: string }[] }>();
      if (threads.every((thread) => thread.state === "serving")) break;
      await setTimeout(20);
    }
    for (const [n, spent] of proofs.entries()) {
      assert.equal((await call(`${g.url}/slow/${n}`, { headers: spent })).status, 401, `the proof of call ${n}`);
    }
    const small = { ...fatal, "content-type": "application/json", "content-length": "2" };
    assert.equal((await call(`${g.url}/big/1`, { method: "POST", headers: small, body: "[]" })).status, 401);
    for (let round = 0; round < 8; round++) {
      assert.equal((await bad.call(`${g.url}/slow/bad`)).status, 403);
      assert.equal((await agent.call(`${g.url}/slow/good-${round}`)).status, 200);
    }
    await running.stop();
    const records = readLines(path.join(running.data, "audit", "audit.jsonl"));
    const ids = (type: string): unknown[] =>
      records.filter((one) => one["type"] === type).map((one) => one["request_id"]);
    const outcomes = ids("outcome");
    assert.deepEqual(new Set(outcomes), new Set(ids("intent")), "an outcome for each intent");
    assert.equal(new Set(outcomes).size, outcomes.length, "and no second one");
  },
);

const GROWING = `package cordon.decision

import rego.v1

default allow := false

allow if input.resource.params.candidate_id != "grow"

allow if {
	input.resource.params.candidate_id == "grow"
	count(numbers.range(1, 100000000)) > 0
}

reasons := []

obligations := {}
`;

test("H12 a policy that grows without end is a deny with its own reason, and costs no thread and no memory", {
  ...LIMIT,
  skip: skipWithoutOpa,
}, async (t) => {
  assert.notEqual(opaPath, "", "CI needs opa");
  const g = await startTestGateway(({ folder }) => {
    mkdirSync(path.join(folder, "rego"));
    writeFileSync(path.join(folder, "rego", "decision.rego"), GROWING);
    const built = path.join(folder, "grow.tar.gz");
    execFileSync(opaPath, ["build", "-t", "wasm", "-e", "cordon/decision", "-o", built, path.join(folder, "rego")]);
    return {
      threads: 2,
      // Small enough to be full long before the evaluation takes too long.
      policy: { bundle: "grow.tar.gz", watch: false, memory_pages_max: 256, evaluation_budget_ms: 5000 },
    };
  });
  t.after(() => g.close());
  const agent = await g.agent();
  const before = Number(/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) / 1024;
  for (let round = 0; round < 20; round++) {
    const answer = await agent.call(`${g.url}/ats/jobs/J42/candidates/grow`);
    assert.equal(answer.status, 403);
    const id = answer.headers["x-cordon-request-id"];
    const lines = await g.lines("access", (line) => line["request_id"] === id);
    assert.equal(lines.find((line) => line["request_id"] === id)?.["reason"], "policy.error");
    assert.equal((await agent.call(`${g.url}/ats/jobs/J42/candidates/C1`)).status, 200, "a fresh instance");
  }
  const after = Number(/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) / 1024;
  assert.ok(after - before < 256, `from ${before} to ${after} MiB`);
  const { text } = await call(`${g.control}/metrics`);
  assert.match(text, /^cordon_threads_replaced_total 0$/m);
});
