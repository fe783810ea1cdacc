// The issuer's feed over real sockets, on two threads: once it is answered, every thread enforces it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { after, before, describe, test } from "node:test";
import type { RevokedEvent } from "../../src/containment/revocation.ts";
import type { Level } from "../../src/containment/state.ts";
import { accessLine } from "../fixtures/access-lines.ts";
import { delegatedAgents } from "../fixtures/delegated-agent.ts";
import { feedGateway } from "../fixtures/feed.ts";
import { freePort } from "../../examples/demo/free-ports.ts";
import { type ScriptedTool, startScriptedTool, toolRoute } from "../fixtures/scripted-tool.ts";
import { bothIssuers } from "../fixtures/both-issuers.ts";
import { ISSUER, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { killThread } from "../fixtures/threads.ts";

const PATH = "/things/1";

describe("revocation", () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  before(async () => {
    tool = await startScriptedTool();
    const issuerPort = await freePort();
    g = await startTestGateway(({ folder, port }) => {
      return {
        threads: 2,
        ...bothIssuers({ folder, port, issuerPort }),
        routes: [
          { ...toolRoute("things", tool.url), mode: "observe" },
          { ...toolRoute("events", tool.url), mode: "observe" },
        ],
      };
    });
    tool.handle = (_request, answer) => answer.end("{}");
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  const revoked = (level: Level, id: string): RevokedEvent => ({
    kind: "revoked",
    level,
    id,
    untilMs: Date.now() + 300_000,
    reason: "a test of revocation",
  });
  const jtiOf = ({ token }: TestAgent): string =>
    (JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as { jti: string }).jti;
  /** Each call is a connection of its own, so the kernel spreads them over both threads. */
  async function statuses(agent: TestAgent, calls = 12): Promise<number[]> {
    const answers = await Promise.all(Array.from({ length: calls }, () => agent.call(g.url + PATH)));
    return [...new Set(answers.map(({ status }) => status))];
  }
  async function openStream(agent: TestAgent, target: string): Promise<IncomingMessage> {
    tool.handle = (_request, answer) => {
      answer.writeHead(200, { "content-type": "text/event-stream" });
      answer.write("data: 1\n\n");
    };
    const asked = request(g.url + target, { headers: await agent.headers(g.url + target), agent: false });
    asked.end();
    const [stream] = (await once(asked, "response")) as [IncomingMessage];
    await once(stream, "data");
    tool.handle = (_request, answer) => answer.end("{}");
    return stream;
  }
  const endOf = async (stream: IncomingMessage): Promise<string> =>
    new Promise((resolve) => {
      stream.once("end", () => resolve("end"));
      stream.once("error", () => resolve("cut"));
      stream.resume();
    });

  /** Until so many threads serve again. */
  async function serving(threads: number): Promise<void> {
    for (;;) {
      const status = await g.operate("GET", "/v1/status");
      const states = status.json<{ threads: { state: string }[] }>().threads.map(({ state }) => state);
      if (states.filter((state) => state === "serving").length === threads) return;
    }
  }

  test("a revoked token, task and chain are refused on every thread as soon as the feed is answered; others go on", async () => {
    const other = await g.agent({ task: "other" });
    const [byToken, byTask] = [await g.agent({ task: "one" }), await g.agent({ task: "two" })];
    const { agents, chain } = await delegatedAgents(g, 2, { session: "chain-to-end" });
    const root = await g.agent({ task: "rank-j42", cordon: { session: { ...SESSION, id: "chain-to-end" } } });
    for (const agent of [byToken, byTask, ...agents.slice(1), root]) assert.deepEqual(await statuses(agent, 2), [200]);
    await feedGateway([revoked("token", `${ISSUER} ${jtiOf(byToken)}`)]);
    assert.deepEqual(await statuses(byToken), [401]);
    await feedGateway([
      revoked("task", byTask.id.slice(0, byTask.id.lastIndexOf("/"))),
      revoked("chain", `${ISSUER} chain-to-end`),
    ]);
    assert.equal(chain.hops.length, 2);
    for (const agent of [byTask, ...agents.slice(1), root]) assert.deepEqual(await statuses(agent), [401], agent.id);
    assert.deepEqual(await statuses(other), [200]);
    const answer = await byToken.call(g.url + PATH);
    assert.equal(answer.json<{ code: string }>().code, "invalid_token");
    // As for every other token that is refused before anything is judged.
    assert.match(answer.headers["www-authenticate"] ?? "", /^DPoP error="invalid_token", resource_metadata="/);
    const lines = await g.lines("access", (line) => line["agent"] === byToken.id && line["status"] === 401);
    const line = lines.findLast(({ agent }) => agent === byToken.id);
    assert.equal(line?.["reason"], "token.revoked");
  });

  test("a revoked agent takes every delegate with it, and leaves who delegated to it", async () => {
    const { agents } = await delegatedAgents(g, 3, { session: "s-of-three" });
    const [, first, second, third] = agents;
    assert.ok(first && second && third);
    await feedGateway([revoked("agent", second.id)]);
    assert.deepEqual(await statuses(second), [401]);
    assert.deepEqual(await statuses(third), [401]);
    assert.deepEqual(await statuses(first), [200]);
  });

  test("containment of an agent reaches its delegates too, and a chain can be blocked by an operator", async () => {
    const { agents } = await delegatedAgents(g, 2, { session: "s-contained" });
    const [, first, second] = agents;
    assert.ok(first && second);
    const contain = (level: string, id: string) =>
      g.operate("PUT", `/v1/containment/${level}`, { id, mode: "blocked", reason: "a test" });
    assert.equal((await contain("agent", first.id)).status, 200);
    assert.deepEqual(await statuses(second), [403]);
    const chain = await delegatedAgents(g, 1, { session: "s-blocked" });
    assert.equal((await contain("chain", `${ISSUER} s-blocked`)).status, 200);
    assert.deepEqual(await statuses(chain.agents[1] ?? first), [403]);
    const listed = await g.operate("GET", "/v1/agents");
    const seen = listed.json<{ agents: { id: string; chain: string; mode: string }[] }>().agents;
    assert.ok(
      seen.some(
        ({ id, chain: name, mode }) =>
          id === chain.agents[1]?.id && name === `${ISSUER} s-blocked` && mode === "blocked",
      ),
    );
  });

  test("an open stream of a revoked agent is cut at once, with its reason in the log", async () => {
    // One after the other: the sweep of each second alone would need about a second for each.
    let tookMs = 0;
    for (let n = 1; n <= 6; n++) {
      const agent = await g.agent();
      const stream = await openStream(agent, `/events/revoked-${n}`);
      const ended = endOf(stream);
      const startedAt = performance.now();
      await feedGateway([revoked("agent", agent.id)]);
      assert.equal(await ended, "cut");
      tookMs += performance.now() - startedAt;
      assert.equal((await accessLine(g, `/events/revoked-${n}`))["reason"], "stream.cut_revoked");
    }
    assert.ok(tookMs < 3000, `${tookMs} ms for six`);
  });

  test("a renewed token serves its grace and no longer, and its stream lives on until the new token expires", async () => {
    const agent = await g.agent({ lifetimeS: 5 });
    const token = `${ISSUER} ${jtiOf(agent)}`;
    const expiresMs = Date.now() + 5000;
    const stream = await openStream(agent, "/events/renewed");
    const ended = endOf(stream);
    const agentExpiresMs = expiresMs + 1500;
    const event = { kind: "superseded", token, agent: agent.id, untilMs: expiresMs, agentExpiresMs } as const;
    await feedGateway([{ ...event, fromMs: Date.now() + 60_000 }]);
    assert.deepEqual(await statuses(agent), [200], "within the grace");
    await feedGateway([{ ...event, fromMs: Date.now() }]);
    assert.deepEqual(await statuses(agent), [401]);
    const lines = await g.lines(
      "access",
      (line) => line["agent"] === agent.id && line["reason"] === "token.superseded",
    );
    assert.ok(lines.length > 0);
    assert.equal(await ended, "cut");
    assert.ok(Date.now() >= agentExpiresMs, "it outlived the token that it was opened with");
    assert.equal((await accessLine(g, "/events/renewed"))["reason"], "stream.cut_expired");
  });

  test("a data thread that is replaced starts with what was revoked", async () => {
    const agent = await g.agent();
    await feedGateway([revoked("agent", agent.id)]);
    await killThread("data-0");
    await serving(2);
    assert.deepEqual(await statuses(agent, 24), [401]);
  });

  test("what was revoked stays revoked while the issuer is away and when it is back", async () => {
    const agent = await g.agent();
    await feedGateway([revoked("agent", agent.id)]);
    await killThread("broker");
    assert.deepEqual(await statuses(agent), [401]);
  });
});

const SESSION = {
  id: "s1",
  root_request: "r1",
  initiator: { type: "user", id: "recruiter_alice" },
  depth: 0,
  chain: [],
};
