// H22: the disk of a whole running gateway is full, or takes nothing any more: audit log, access log and control database at once.
// Nothing reaches a tool, nothing is loosened, what tightens is enforced; and all of it mends itself when the disk does.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, test, type TestContext } from "node:test";
import { startCli } from "../fixtures/cli-process.ts";
import {
  type GatewayProcess,
  prepareGateway,
  type PreparedGateway,
  type ProcessOptions,
} from "../fixtures/gateway-process.ts";
import { createFailingDisk, createOwnDisk, skipWithoutLoopDisk, skipWithoutOwnDisk } from "../fixtures/own-disk.ts";
import { toolRoute } from "../fixtures/scripted-tool.ts";
import { call, type CallAnswer, readLines, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 110_000 };
const THREADS = 2;
const ROUNDS = 10;

interface Fault {
  readonly options: ProcessOptions;
  strike(running: GatewayProcess): void;
  mend(running: GatewayProcess): void;
}

/** A file system of its own, without a free byte. */
async function fullDisk(t: TestContext): Promise<Fault> {
  const disk = await createOwnDisk("mount -t tmpfs -o size=2m,mode=700 none $1");
  t.after(() => disk.close());
  return {
    options: {
      data: path.join(disk.folder, "data"),
      dataOutside: path.join(disk.outside, "data"),
      through: disk.through,
    },
    strike: () => disk.fill(),
    mend: () => disk.free(),
  };
}

/** No file of the process takes a byte beyond its first one: every write fails, wherever it goes. Needs no permission. */
async function noBytes(): Promise<Fault> {
  const limit = (running: GatewayProcess, bytes: string): void => {
    execFileSync("prlimit", ["--pid", String(running.child.pid), `--fsize=${bytes}:unlimited`]);
  };
  return {
    options: {},
    strike: (running) => limit(running, "1"),
    mend: (running) => limit(running, "unlimited"),
  };
}

async function prepare(t: TestContext): Promise<PreparedGateway> {
  const prepared = await prepareGateway(({ toolUrl }) => ({
    threads: THREADS,
    proof: { max_ahead_s: 1 },
    routes: [toolRoute("strict", toolUrl, { audit: "strict" }), toolRoute("batched", toolUrl)],
  }));
  t.after(() => prepared.close());
  return prepared;
}

/** The paths at the tool, with the request ids. */
const seenBy = (g: TestGateway): Map<string, string> =>
  new Map(g.tool.seen.map(({ url, headers }) => [url, String(headers["x-cordon-request-id"])]));

async function contain(running: GatewayProcess, agent: TestAgent, mode: "blocked" | "released"): Promise<CallAnswer> {
  const body = { id: agent.id, reason: "a test of full disks" };
  return mode === "blocked"
    ? running.operate("PUT", "/v1/containment/agent", { ...body, mode })
    : running.operate("POST", "/v1/containment/agent/release", body);
}

async function until(done: () => Promise<boolean>): Promise<void> {
  while (!(await done())) await new Promise((resolve) => setTimeout(resolve, 20));
}

interface Ready {
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

interface Stage {
  readonly g: TestGateway;
  readonly prepared: PreparedGateway;
  readonly running: GatewayProcess;
  /** What was asked so far, and answered. */
  readonly asked: Map<string, number>;
  readonly ask: (route: "strict" | "batched") => Promise<number>;
  readonly bothOnEveryThread: () => Promise<number[]>;
  readonly agent: TestAgent;
  /** Blocked before the fault. */
  readonly held: TestAgent;
  /** Blocked during it. */
  readonly bad: TestAgent;
}

/** Starts, strikes, and looks at everything that must hold while the disk takes nothing. */
async function strike(t: TestContext, fault: Fault): Promise<Stage> {
  const prepared = await prepare(t);
  const { g } = prepared;
  const running = await prepared.start(fault.options);
  const [agent, held, bad] = [await g.agent(), await g.agent(), await g.agent()];
  const asked = new Map<string, number>();
  let count = 0;
  async function ask(route: "strict" | "batched"): Promise<number> {
    const target = `/${route}/${count++}`;
    const answer = await agent.call(g.url + target, { method: route === "strict" ? "POST" : "GET" });
    asked.set(target, answer.status);
    return answer.status;
  }
  const bothOnEveryThread = (): Promise<number[]> =>
    Promise.all(Array.from({ length: 4 * THREADS }, (_, n) => ask(n % 2 === 0 ? "strict" : "batched")));

  assert.deepEqual(new Set(await bothOnEveryThread()), new Set([200]));
  assert.equal((await contain(running, held, "blocked")).status, 200);

  fault.strike(running);
  // What is left of a page that a file has already may still take some records.
  await until(async () => (await ask("strict")) === 503);
  await running.printed("audit log: ");
  const before = seenBy(g).size;
  for (let round = 0; round < ROUNDS; round++) {
    assert.deepEqual(new Set(await bothOnEveryThread()), new Set([503]));
  }
  assert.equal(seenBy(g).size, before, "nothing reaches the tool");
  const { text } = await call(`${running.control}/metrics`);
  assert.match(text, /^cordon_audit_healthy 0$/m);
  assert.equal((await call(`${running.control}/healthz`)).status, 200);

  const tightened = await contain(running, bad, "blocked");
  assert.notEqual(tightened.status, 200, "it cannot be promised to survive a restart");
  assert.equal((await bad.call(`${g.url}/strict/bad`)).status, 403, "it is enforced all the same");
  assert.notEqual((await contain(running, held, "released")).status, 200);
  assert.equal((await held.call(`${g.url}/strict/held`)).status, 403, "what loosens waits for the disk");
  const { ready, reasons } = (await call(`${running.control}/readyz`)).json<Ready>();
  assert.equal(ready, false);
  assert.deepEqual(reasons, ["a containment change is enforced but not on disk", "the audit log cannot be written"]);

  return { g, prepared, running, asked, ask, bothOnEveryThread, agent, held, bad };
}

async function survive(t: TestContext, fault: Fault): Promise<void> {
  const { g, prepared, running, asked, ask, bothOnEveryThread, agent, held, bad } = await strike(t, fault);
  fault.mend(running);
  await until(async () => (await ask("strict")) === 200);
  await until(async () => (await call(`${running.control}/readyz`)).status === 200);
  assert.deepEqual(new Set(await bothOnEveryThread()), new Set([200]));
  await running.printed("records reach the disk again");

  // Every exchange has its line, also those of the time when none could be written; a line that broke off stands alone.
  const file = path.join(running.data, "logs", "access.jsonl");
  let lines: Record<string, unknown>[] = [];
  let broken = 0;
  await until(async () => {
    broken = 0;
    lines = readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .flatMap((line) => {
        try {
          return [JSON.parse(line) as Record<string, unknown>];
        } catch {
          broken += 1;
          return [];
        }
      });
    return [...asked.keys()].every((target) => lines.some((line) => line["path"] === target));
  });
  assert.ok(broken <= 1, `${broken} lines are broken`);
  for (const [target, status] of asked) {
    const mine = lines.filter((line) => line["path"] === target);
    assert.deepEqual(
      mine.map((line) => line["status"]),
      [status],
      target,
    );
    if (status === 503) assert.match(String(mine[0]?.["reason"]), /^audit\.(?:unavailable|queue_full)$/);
  }

  // The block that could not be written then is on disk now: it survives even a crash.
  await running.kill();
  const again = await prepared.start({ ...fault.options, data: fault.options.data ?? running.data });
  assert.equal((await bad.call(`${g.url}/strict/bad-again`)).status, 403);
  assert.equal((await held.call(`${g.url}/strict/held-again`)).status, 403);
  assert.equal((await agent.call(`${g.url}/strict/agent-again`)).status, 200);
  await again.stop();
  const audit = path.join(again.data, "audit", "audit.jsonl");
  const check = startCli(["audit", "check", audit]);
  assert.equal(await check.exited, 0, check.stdout());
  const records = readLines(audit);
  for (const [target, id] of seenBy(g)) {
    const mine = records.filter((record) => record["request_id"] === id);
    if (!target.startsWith("/strict/")) continue;
    assert.ok(
      mine.some((record) => record["type"] === "intent"),
      `${target} has its intent`,
    );
  }
  for (const target of asked.keys()) {
    if (asked.get(target) !== 503) continue;
    assert.ok(!seenBy(g).has(target));
    const id = lines.find((line) => line["path"] === target)?.["request_id"];
    const mine = records.filter((record) => record["request_id"] === id);
    const outcomes = mine.filter((record) => record["type"] === "outcome").map((record) => record["sent"]);
    // An intent that was refused may be written later: then its outcome says that nothing was sent.
    if (mine.some((record) => record["type"] === "intent")) assert.deepEqual(outcomes, [false], target);
  }
}

/** A disk with an error: ext4 turns it read-only under its writers, and only another mount takes writes again. */
async function readOnly(t: TestContext): Promise<void> {
  const disk = await createFailingDisk();
  t.after(() => disk.close());
  const fault: Fault = {
    options: {
      data: path.join(disk.folder, "data"),
      dataOutside: path.join(disk.outside, "data"),
      through: disk.through,
    },
    strike: () => disk.fail(),
    mend: () => disk.repair(),
  };
  const { g, prepared, running, asked, agent, held } = await strike(t, fault);
  assert.match(running.stderr(), /audit log: EROFS/);
  // It still drains, although no log can be closed, and ends as it was asked to.
  await running.stop();
  fault.mend(running);
  const again = await prepared.start(fault.options);
  assert.equal((await agent.call(`${g.url}/strict/agent-again`)).status, 200);
  assert.equal((await held.call(`${g.url}/strict/held-again`)).status, 403);
  await again.stop();
  const audit = path.join(again.data, "audit", "audit.jsonl");
  const check = startCli(["audit", "check", audit]);
  assert.equal(await check.exited, 0, check.stdout());
  const intents = new Set(readLines(audit).map((record) => record["request_id"]));
  const seen = seenBy(g);
  for (const [target, status] of asked) {
    if (status === 503) assert.ok(!seen.has(target), `${target} was refused`);
    else if (target.startsWith("/strict/")) assert.ok(intents.has(seen.get(target)), `${target} was acknowledged`);
  }
}

describe("H22 the disk of a running gateway", { concurrency: true }, () => {
  test(
    "H22 a full disk refuses with 503 before anything is sent, and mends without a restart",
    {
      ...LIMIT,
      skip: skipWithoutOwnDisk(),
    },
    async (t) => survive(t, await fullDisk(t)),
  );

  test(
    "H22 a disk that turned read-only refuses with 503 before anything is sent, and what was acknowledged is there",
    { ...LIMIT, skip: skipWithoutLoopDisk() },
    readOnly,
  );

  test(
    "H22 a disk that takes no bytes refuses with 503 before anything is sent, and mends without a restart",
    {
      ...LIMIT,
      skip: process.platform === "linux" ? false : "the limit of a running process is Linux's prlimit",
    },
    async (t) => survive(t, await noBytes()),
  );
});
