// A thread of the gateway dies: a data thread under load, the writer of the audit log, the issuer. The others notice nothing, a
// successor takes its place by itself, and what the dead one had in hand is told and refused.
import assert from "node:assert/strict";
import { renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { createDpopProof } from "../../src/agent/create-dpop-proof.ts";
import { type AgentKey, createKey } from "../../src/agent/create-key.ts";
import { fetchToken } from "../../src/agent/fetch-token.ts";
import { ensureQuickstartKeys, readKeyFile } from "../../src/agent/quickstart-keys.ts";
import { checkAuditText } from "../../src/audit/verify-audit-file.ts";
import { freePort } from "../../examples/demo/free-ports.ts";
import { toolRoute } from "../fixtures/scripted-tool.ts";
import { CLIENT_ID, clientConfig } from "../fixtures/test-broker.ts";
import {
  call,
  readLines,
  startTestGateway,
  type TestAgent,
  type TestGateway,
  TRUST_DOMAIN,
} from "../fixtures/test-gateway.ts";
import { killThread } from "../fixtures/threads.ts";

const LIMIT = { timeout: 90_000 };
/** Between looks at what only time brings: a successor. */
const LOOK_MS = 20;
const CALLERS = 12;
const KILLS = 8;
const HOUR_MS = 3_600_000;

interface StatusBody {
  readonly ready: boolean;
  readonly reasons: readonly string[];
  readonly threads: readonly { readonly state: string }[];
  readonly audit: { readonly healthy: boolean };
  readonly issuer: { readonly running: boolean } | null;
}

const statusOf = async (g: TestGateway): Promise<StatusBody> =>
  (await g.operate("GET", "/v1/status")).json<StatusBody>();

/** What never comes fails the test by its time limit. */
async function until(done: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await done())) await setTimeout(LOOK_MS);
}

async function metricOf(g: TestGateway, name: string): Promise<number> {
  const { text } = await call(`${g.control}/metrics`);
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
}

interface Sent {
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  /** 0 where the connection was closed without an answer. */
  status: number;
  id: string;
}

interface Load {
  readonly all: Sent[];
  readonly answered: () => number;
  stop(): Promise<void>;
}

/** Callers that go on calling, each with a proof and a connection of its own for each call. */
async function startLoad(g: TestGateway): Promise<Load> {
  const all: Sent[] = [];
  let stopped = false;
  let answered = 0;
  async function run(agent: TestAgent, name: number): Promise<void> {
    for (let count = 0; ; count++) {
      if (stopped) return;
      const target = `/${count % 2 === 0 ? "strict" : "batched"}/${name}-${count}`;
      const sent: Sent = { target, headers: await agent.headers(g.url + target), status: 0, id: "" };
      all.push(sent);
      try {
        const answer = await call(g.url + target, { headers: sent.headers });
        sent.status = answer.status;
        sent.id = String(answer.headers["x-cordon-request-id"]);
      } catch (error) {
        // A connection whose thread died is closed, and the caller learns no more than that.
        assert.match(String((error as NodeJS.ErrnoException).code), /^(?:ECONNRESET|ECONNREFUSED|EPIPE)$/);
      }
      answered += 1;
    }
  }
  const agents = await Promise.all(Array.from({ length: CALLERS }, () => g.agent()));
  const running = agents.map(run);
  return {
    all,
    answered: () => answered,
    async stop() {
      stopped = true;
      await Promise.all(running);
    },
  };
}

const startTwoThreads = (): Promise<TestGateway> =>
  startTestGateway(({ toolUrl }) => ({
    threads: 2,
    routes: [toolRoute("strict", toolUrl, { audit: "strict" }), toolRoute("batched", toolUrl)],
  }));

const twice = (values: readonly unknown[]): unknown[] => values.filter((value, at) => values.indexOf(value) !== at);

/** In one process they would share the name of a thread, so these run one after the other. */
describe("faults of a thread", () => {
  test(
    "a data thread is killed again and again under load: others go on, nothing is silent, replayed or loosened",
    LIMIT,
    async (t) => {
      const g = await startTwoThreads();
      t.after(() => g.close());
      const bad = await g.agent();
      const applied = await g.operate("PUT", "/v1/containment/agent", {
        id: bad.id,
        mode: "blocked",
        reason: "a test",
      });
      assert.equal(applied.status, 200, applied.text);
      const load = await startLoad(g);
      for (let kill = 0; kill < KILLS; kill++) {
        const enough = load.answered() + 20 + Math.floor(Math.random() * 60);
        await until(() => load.answered() >= enough);
        await killThread(`data-${kill % 2}`);
        // The other thread serves while this one is away and while it starts: a block holds on both.
        const during = Array.from({ length: 8 }, () => bad.call(`${g.url}/strict/bad`).catch(() => null));
        assert.ok((await Promise.all(during)).every((answer) => answer === null || answer.status === 403));
        await until(async () => (await statusOf(g)).threads.every((thread) => thread.state === "serving"));
      }
      await load.stop();
      assert.equal(await metricOf(g, "cordon_threads_replaced_total"), KILLS);
      const broken = load.all.filter(({ status }) => status === 0);
      const statuses = new Set(load.all.map(({ status }) => status));
      for (const status of [0, 200, 503]) statuses.delete(status);
      assert.deepEqual([...statuses], []);
      assert.ok(broken.length <= KILLS * CALLERS, "only what was in hand at a death");
      assert.ok(load.all.filter(({ status }) => status === 200).length > broken.length);

      // Nothing is silent: whatever reached the tool or was answered has one line and one outcome, whoever lived to write it.
      const atTool = g.tool.seen.map(({ url, headers }) => ({ url, id: String(headers["x-cordon-request-id"]) }));
      const answered = load.all.filter(({ status }) => status !== 0).map(({ id }) => id);
      const linesAndOutcomes = async (): Promise<[Record<string, unknown>[], Record<string, unknown>[]]> => [
        await g.lines("access", () => true),
        await g.lines("audit", () => true),
      ];
      await until(async () => {
        const [lines, records] = await linesAndOutcomes();
        const told = new Set(lines.map((line) => line["request_id"]));
        const ended = new Set(records.filter(({ type }) => type === "outcome").map((record) => record["request_id"]));
        return (
          [...answered, ...atTool.map(({ id }) => id)].every((id) => told.has(id)) &&
          atTool.every(({ id }) => ended.has(id))
        );
      });
      const [lines, records] = await linesAndOutcomes();
      const ids = (type: string): unknown[] =>
        records.filter((one) => one["type"] === type).map((one) => one["request_id"]);
      assert.deepEqual(twice(lines.map((line) => line["request_id"])), []);
      assert.deepEqual(twice(ids("outcome")), []);
      assert.equal(records.filter(({ type }) => type === "thread_ended").length, KILLS);
      const inHand = lines.filter((line) => line["reason"] === "gateway.thread_ended");
      assert.ok(inHand.length > 0, "some were in hand when their thread died");
      for (const line of inHand) {
        if (!String(line["detail"]).startsWith("finished before")) assert.equal(line["status"], 503);
      }
      const intents = new Set(ids("intent"));
      for (const { url, id } of atTool.filter((one) => one.url.startsWith("/strict/"))) {
        assert.ok(intents.has(id), `${url} reached the tool, so its intent is on disk`);
      }

      // Whatever was sent, to a thread that lives or to one that died, works no second time on either of today's threads.
      for (const { target, headers, status } of load.all) {
        const again = (await call(g.url + target, { headers })).status;
        // One that never reached a thread was not spent: then it is now.
        const last = again === 200 && status === 0 ? (await call(g.url + target, { headers })).status : again;
        assert.equal(last, 401, target);
      }
      assert.deepEqual(twice(g.tool.seen.map(({ url }) => url)), [], "nothing reached the tool twice");
      for (let round = 0; round < 16; round++) assert.equal((await bad.call(`${g.url}/strict/bad`)).status, 403);
    },
  );

  test(
    "the audit log's thread is killed under load: strict and batched are refused until its successor writes",
    LIMIT,
    async (t) => {
      const g = await startTwoThreads();
      t.after(() => g.close());
      const load = await startLoad(g);
      for (let kill = 0; kill < 3; kill++) {
        const enough = load.answered() + 40;
        await until(() => load.answered() >= enough);
        await killThread("cordon-audit");
        await until(async () => (await statusOf(g)).audit.healthy);
      }
      await load.stop();
      const statuses = new Set(load.all.map(({ status }) => status));
      assert.ok(statuses.delete(200));
      statuses.delete(503);
      assert.deepEqual([...statuses], [], "no connection was broken, nobody had another answer");

      // Where no successor can start, it stays refused, and the gateway says so.
      const folder = path.join(g.folder, "data", "audit");
      renameSync(folder, `${folder}.away`);
      writeFileSync(folder, "no folder");
      await killThread("cordon-audit");
      const agent = await g.agent();
      const before = g.tool.seen.length;
      for (let round = 0; round < 6; round++) {
        for (const route of ["strict", "batched"]) {
          assert.equal((await agent.call(`${g.url}/${route}/refused-${round}`)).status, 503);
        }
      }
      assert.equal(g.tool.seen.length, before, "nothing reached the tool");
      const status = await statusOf(g);
      assert.deepEqual([status.ready, status.reasons], [false, ["the audit log cannot be written"]]);
      assert.equal(await metricOf(g, "cordon_audit_healthy"), 0);
      const blocked = await g.operate("PUT", "/v1/containment/task", {
        id: "spiffe://acme.example/agent/x/y",
        mode: "blocked",
        reason: "a test",
      });
      assert.equal(blocked.status, 200, "containment does not wait for it");
      renameSync(folder, `${folder}.none`);
      renameSync(`${folder}.away`, folder);
      await until(async () => (await statusOf(g)).ready);
      const after = await agent.call(`${g.url}/strict/after`);
      assert.equal(after.status, 200);

      const id = after.headers["x-cordon-request-id"];
      const records = await g.lines("audit", (one) => one["type"] === "outcome" && one["request_id"] === id);
      const check = await checkAuditText(
        readLines(path.join(folder, "audit.jsonl")).map((line) => `${JSON.stringify(line)}\n`),
      );
      assert.deepEqual(check.problems, [], "the numbering goes on without a gap");
      const intents = new Set(records.filter(({ type }) => type === "intent").map((one) => one["request_id"]));
      for (const { url, headers } of g.tool.seen.filter((one) => one.url.startsWith("/strict/"))) {
        assert.ok(intents.has(headers["x-cordon-request-id"]), `${url} reached the tool, so its intent is on disk`);
      }
      const change = records.filter((one) => one["type"] === "containment" && one["outcome"] === "applied");
      assert.equal(change.length, 1, "what the supervisor recorded meanwhile is kept");
    },
  );

  test(
    "the issuer's thread is killed: known keys serve on, it says so, and what was used before is used up",
    LIMIT,
    async (t) => {
      const port = await freePort();
      const issuer = `http://127.0.0.1:${port}`;
      const g = await startTestGateway(({ folder, port: traffic }) => {
        const [files] = ensureQuickstartKeys(path.join(folder, "agent"), [CLIENT_ID]);
        return {
          issuers: [
            {
              issuer,
              audience: [`http://127.0.0.1:${traffic}`],
              trust_domain: TRUST_DOMAIN,
              jwks: { url: `${issuer}/jwks`, allow_private_addresses: true, max_age_s: 1, cooldown_s: 1 },
            },
          ],
          broker: { port, issuer, trust_domain: TRUST_DOMAIN, clients: [clientConfig(files?.publicFile ?? "")] },
        };
      });
      t.after(() => g.close());
      await isReplacedIssuer(t, g, issuer);
    },
  );
});

async function isReplacedIssuer(t: TestContext, g: TestGateway, issuer: string): Promise<void> {
  const clientKey = readKeyFile(path.join(g.folder, "agent", `${CLIENT_ID}.jwk`));
  const url = `${g.url}/ats/jobs/J42/candidates/C1`;
  const callWith = async (key: AgentKey, accessToken: string): Promise<number> => {
    const dpop = createDpopProof({ key, method: "GET", url, accessToken });
    return (await call(url, { headers: { authorization: `DPoP ${accessToken}`, dpop } })).status;
  };
  const [key, unused] = [createKey(), createKey()];
  const bodies: string[] = [];
  const recording: typeof fetch = (to, init) => {
    if (typeof init?.body === "string") bodies.push(init.body);
    return fetch(to, init);
  };
  const known = await fetchToken({ issuer, clientId: CLIENT_ID, clientKey, key, fetch: recording });
  const spare = await fetchToken({ issuer, clientId: CLIENT_ID, clientKey, key: unused });
  assert.equal(await callWith(key, known.accessToken), 200);
  assert.deepEqual((await statusOf(g)).issuer, { running: true });

  await killThread("broker");
  assert.deepEqual((await statusOf(g)).issuer, { running: false });
  assert.equal(await metricOf(g, "cordon_issuer_away"), 1);
  assert.equal((await statusOf(g)).ready, true, "tokens that were issued stay valid, so it serves");
  assert.equal(await callWith(key, known.accessToken), 200);
  assert.equal(await callWith(unused, spare.accessToken), 200, "a token that was never seen, by a known key");
  assert.ok(g.log.some((line) => line.includes("the issuer ended and is started again")));

  // The wall clock is set back by an hour meanwhile: what was used before that must not look new to the successor.
  const { now } = Date;
  const setBack = t.mock.method(Date, "now", () => now() - HOUR_MS);
  await until(async () => (await statusOf(g)).issuer?.running === true);
  setBack.mock.restore();
  assert.equal(await metricOf(g, "cordon_issuer_away"), 0);
  // The assertion that was used at the one before. If it were accepted, a nonce would be asked for next.
  const dpop = createDpopProof({ key: createKey(), method: "POST", url: `${issuer}/token` });
  const headers = { "content-type": "application/x-www-form-urlencoded", dpop };
  const stolen = await fetch(`${issuer}/token`, { method: "POST", headers, body: bodies.at(-1) ?? "" });
  assert.deepEqual([stolen.status, ((await stolen.json()) as { error: string }).error], [401, "invalid_client"]);
  assert.equal(await callWith(key, known.accessToken), 200, "its signing key is the one before");
  // An assertion of now is accepted once none from before can be.
  let fresh: string | undefined;
  await until(async () => {
    const token = await fetchToken({ issuer, clientId: CLIENT_ID, clientKey, key }).catch(() => undefined);
    fresh = token?.accessToken;
    return fresh !== undefined;
  });
  assert.equal(await callWith(key, fresh ?? ""), 200);
}
