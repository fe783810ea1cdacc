// H21: kill -9 of the whole gateway under load, again and again, on one data folder. What was acknowledged is in the log, no
// proof works a second time, no block is forgotten, and what was cut off is named as such.
import assert from "node:assert/strict";
import path from "node:path";
import { describe, test } from "node:test";
import { startCli } from "../fixtures/cli-process.ts";
import { type GatewayProcess, prepareGateway } from "../fixtures/gateway-process.ts";
import { toolRoute } from "../fixtures/scripted-tool.ts";
import { call, readLines, type TestAgent } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 110_000 };
const CALLERS = 8;
/** Gateways at the same time, each killed so often: most of a round is the wait until no proof from before is accepted. */
const GATEWAYS = 3;
const KILLS = 4;
/** A round is killed in the middle of its load, after some number of answers in this range. */
const ANSWERS_MIN = 20;
const ANSWERS_SPREAD = 120;

interface Sent {
  readonly target: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly strict: boolean;
  /** 0: the connection broke, so nobody knows. */
  status: number;
  id: string;
}

interface AuditResult {
  readonly ok: boolean;
  readonly problems: readonly object[];
  readonly intentsWithoutOutcome: readonly string[];
}

describe("H21 kill -9 of the gateway", { concurrency: true }, () => {
  for (let number = 1; number <= GATEWAYS; number++) {
    test(
      `H21 a gateway that is killed ${KILLS} times under load loses nothing that it acknowledged (${number})`,
      LIMIT,
      async (t) => {
        const prepared = await prepareGateway(({ toolUrl }) => ({
          threads: number === 1 ? 1 : 2,
          // The start waits so long for proofs that are dated ahead.
          proof: { max_ahead_s: 1 },
          routes: [toolRoute("strict", toolUrl, { audit: "strict" }), toolRoute("batched", toolUrl)],
        }));
        t.after(() => prepared.close());
        const { g } = prepared;
        const all: Sent[] = [];
        let data: string | undefined;

        async function send(one: Sent): Promise<void> {
          const answer = await call(g.url + one.target, { method: one.method, headers: one.headers });
          one.status = answer.status;
          one.id = String(answer.headers["x-cordon-request-id"]);
        }

        /** Calls until the gateway is gone; `onAnswer` is told of each answer. */
        async function load(agent: TestAgent, name: string, onAnswer: () => void): Promise<void> {
          for (let count = 0; ; count++) {
            const strict = count % 2 === 0;
            const target = `/${strict ? "strict" : "batched"}/${name}-${count}`;
            const method = strict ? "POST" : "GET";
            const headers = await agent.headers(g.url + target, method);
            const one: Sent = { target, method, headers, strict, status: 0, id: "" };
            all.push(one);
            try {
              await send(one);
            } catch {
              return;
            }
            assert.equal(one.status, 200, one.target);
            onAnswer();
          }
        }

        async function block(running: GatewayProcess, agent: TestAgent): Promise<void> {
          const body = { id: agent.id, mode: "blocked", reason: "a test of crashes" };
          const applied = await running.operate("PUT", "/v1/containment/agent", body);
          assert.equal(applied.status, 200, applied.text);
        }

        const blocked: TestAgent[] = [];
        for (let round = 0; round < KILLS; round++) {
          const running: GatewayProcess = await prepared.start(data === undefined ? {} : { data });
          data = running.data;
          for (const agent of blocked) assert.equal((await agent.call(`${g.url}/strict/blocked`)).status, 403);
          // Every proof that was ever sent, also those whose answer never came.
          const again = await Promise.all(
            all.map(({ target, method, headers }) => call(g.url + target, { method, headers })),
          );
          assert.deepEqual([...new Set(again.map((answer) => answer.status))], all.length === 0 ? [] : [401]);

          const agents = await Promise.all(Array.from({ length: CALLERS }, () => g.agent()));
          const bad = await g.agent();
          let left = ANSWERS_MIN + Math.floor(Math.random() * ANSWERS_SPREAD);
          const enough = Promise.withResolvers<void>();
          const calls = agents.map((agent, index) =>
            load(agent, `${round}-${index}`, () => {
              left -= 1;
              if (left === 0) enough.resolve();
            }),
          );
          await Promise.race([enough.promise, Promise.all(calls)]);
          await block(running, bad);
          blocked.push(bad);
          await running.kill();
          await Promise.all(calls);
        }

        const last = await prepared.start(data === undefined ? {} : { data });
        for (const agent of blocked) assert.equal((await agent.call(`${g.url}/strict/blocked`)).status, 403);
        await last.stop();
        const seen = new Map<string, string>();
        for (const { url, headers } of g.tool.seen) {
          assert.ok(!seen.has(url), `${url} reached the tool twice`);
          seen.set(url, String(headers["x-cordon-request-id"]));
        }
        const file = path.join(last.data, "audit", "audit.jsonl");
        const cli = startCli(["audit", "check", file, "--json"]);
        assert.equal(await cli.exited, 0, cli.stdout());
        const check = JSON.parse(cli.stdout()) as AuditResult;
        const records = readLines(file);
        const ids = (type: string): Set<unknown> =>
          new Set(records.filter((record) => record["type"] === type).map((record) => record["request_id"]));
        const [intents, outcomes] = [ids("intent"), ids("outcome")];
        const open = new Set<unknown>(check.intentsWithoutOutcome);
        let strictAtTool = 0;
        for (const one of all.filter(({ strict }) => strict)) {
          const atTool = seen.get(one.target);
          if (one.status === 200) assert.equal(atTool, one.id, `${one.target} was acknowledged`);
          if (atTool === undefined) continue;
          strictAtTool += 1;
          assert.ok(intents.has(atTool), `${one.target} reached the tool, so its intent is on disk`);
          assert.ok(outcomes.has(atTool) !== open.has(atTool), `${one.target} has an outcome, or is named as without`);
        }
        assert.ok(strictAtTool >= (KILLS * ANSWERS_MIN) / 2 - CALLERS * KILLS, "the load was there");
        for (const id of intents) assert.ok(outcomes.has(id) !== open.has(id), String(id));
      },
    );
  }
});
