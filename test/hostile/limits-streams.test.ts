// What one agent may keep open, and all of them together: exchanges, event streams, tunnels (H18).
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from "node:http";
import { after, before, describe, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { accessLine } from "../fixtures/access-lines.ts";
import { type ScriptedTool, startScriptedTool, toolRoute } from "../fixtures/scripted-tool.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 30_000 };
const EXCHANGES_PER_AGENT_MAX = 4;
const STREAMS_PER_AGENT_MAX = 2;
const STREAMS_MAX = 3;
const ACCEPT = { accept: "application/json, text/event-stream" };

interface Stream {
  readonly answer: IncomingMessage;
  close(): Promise<void>;
}

describe("H18 what an agent may keep open", () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  /** Calls that the tool has not answered. */
  const hanging: ServerResponse[] = [];
  before(async () => {
    tool = await startScriptedTool();
    new WebSocketServer({ server: tool.server });
    g = await startTestGateway({
      limits: {
        exchanges_per_agent_max: EXCHANGES_PER_AGENT_MAX,
        streams_per_agent_max: STREAMS_PER_AGENT_MAX,
        streams_max: STREAMS_MAX,
      },
      routes: [
        toolRoute("slow", tool.url),
        toolRoute("events", tool.url),
        toolRoute("socket", tool.url, { methods: ["GET"], upgrade: ["websocket"] }),
      ],
    });
    tool.handle = (asked, answer) => {
      if (asked.url?.startsWith("/slow") === true) {
        hanging.push(answer);
        return;
      }
      answer.writeHead(200, { "content-type": "text/event-stream" });
      answer.write("data: one\n\n");
    };
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  async function begin(agent: TestAgent, target: string, more: Record<string, string> = {}): Promise<ClientRequest> {
    const headers = { ...(await agent.headers(g.url + target)), ...more };
    const sent = request(g.url + target, { headers, agent: false });
    sent.on("error", () => sent.destroy());
    return sent.end();
  }
  async function openStream(agent: TestAgent, target: string): Promise<Stream> {
    const sent = await begin(agent, target, ACCEPT);
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    assert.equal(answer.statusCode, 200, target);
    await once(answer, "data");
    return {
      answer,
      async close() {
        answer.on("error", () => answer.destroy());
        sent.destroy();
        await accessLine(g, target);
      },
    };
  }
  /** Resolves when the tool has so many calls that it has not answered. */
  async function hangingAt(count: number): Promise<void> {
    while (hanging.length < count) await new Promise((resolve) => setImmediate(resolve));
  }
  async function outcomeOf(target: string): Promise<Record<string, unknown> | undefined> {
    const { request_id: id } = await accessLine(g, target);
    const isIt = (line: Record<string, unknown>): boolean => line["type"] === "outcome" && line["request_id"] === id;
    return (await g.lines("audit", isIt)).find(isIt);
  }

  test(
    "H18 an agent has so many exchanges in flight, the next is 429, and another agent is served",
    LIMIT,
    async () => {
      const [busy, other] = [await g.agent(), await g.agent({ instance: "other" })];
      const answered: Promise<unknown>[] = [];
      for (let n = 0; n < EXCHANGES_PER_AGENT_MAX; n++)
        answered.push(once(await begin(busy, `/slow/${n}`), "response"));
      await hangingAt(EXCHANGES_PER_AGENT_MAX);
      const refused = await busy.call(`${g.url}/slow/too-many`);
      assert.deepEqual([refused.status, refused.headers["retry-after"]], [429, "1"]);
      assert.equal((await accessLine(g, "/slow/too-many"))["reason"], "gateway.agent_overloaded");
      assert.equal(hanging.length, EXCHANGES_PER_AGENT_MAX, "the tool was not asked");
      await begin(other, "/slow/other");
      await hangingAt(EXCHANGES_PER_AGENT_MAX + 1);
      for (const answer of hanging.splice(0)) answer.end("{}");
      await Promise.all(answered);
      for (let n = 0; n < EXCHANGES_PER_AGENT_MAX; n++) await accessLine(g, `/slow/${n}`);
      await begin(busy, "/slow/again");
      await hangingAt(1);
      for (const answer of hanging.splice(0)) answer.end("{}");
    },
  );

  test("H18 an agent has so many event streams, the next is 429 before the tool is asked", LIMIT, async () => {
    const [first, second] = [await g.agent(), await g.agent({ instance: "second" })];
    const streams = [await openStream(first, "/events/1"), await openStream(first, "/events/2")];
    let asked = 0;
    const count = (): number => ++asked;
    tool.server.on("request", count);
    const refused = await first.call(`${g.url}/events/3`, { headers: ACCEPT });
    assert.deepEqual([refused.status, refused.json()["code"]], [429, "too_many_streams"]);
    assert.equal((await accessLine(g, "/events/3"))["reason"], "stream.agent_quota");
    const outcome = await outcomeOf("/events/3");
    assert.deepEqual([outcome?.["sent"], outcome?.["outcome"]], [false, "denied"]);
    assert.equal(asked, 0);
    tool.server.off("request", count);
    streams.push(await openStream(second, "/events/4"));
    const full = await (await g.agent({ instance: "third" })).call(`${g.url}/events/5`, { headers: ACCEPT });
    assert.deepEqual([full.status, full.headers["retry-after"]], [503, "1"]);
    assert.equal((await accessLine(g, "/events/5"))["reason"], "stream.too_many");
    await streams.shift()?.close();
    streams.push(await openStream(first, "/events/6"));
    for (const stream of streams) await stream.close();
  });

  test(
    "H18 a stream that nobody announced is not opened either, and its record says that it was sent",
    LIMIT,
    async () => {
      const agent = await g.agent();
      const streams = [await openStream(agent, "/events/a"), await openStream(agent, "/events/b")];
      const refused = await agent.call(`${g.url}/events/unannounced`);
      assert.equal(refused.status, 429);
      const line = await accessLine(g, "/events/unannounced");
      assert.deepEqual([line["outcome"], line["reason"]], ["failed", "stream.agent_quota"]);
      assert.equal((await outcomeOf("/events/unannounced"))?.["sent"], true);
      for (const stream of streams) await stream.close();
    },
  );

  test("H18 a tunnel is one of the agent's streams, and its upgrade is 429 beyond them", LIMIT, async () => {
    const agent = await g.agent();
    const upgrade = async (target: string): Promise<WebSocket> => {
      const headers = await agent.headers(g.url + target);
      return new WebSocket(g.url.replace("http:", "ws:") + target, { headers });
    };
    const stream = await openStream(agent, "/events/beside");
    const tunnel = await upgrade("/socket/1");
    await once(tunnel, "open");
    const refused = await upgrade("/socket/2");
    refused.on("error", () => refused.terminate());
    const [, answer] = (await once(refused, "unexpected-response")) as [unknown, IncomingMessage];
    assert.equal(answer.statusCode, 429);
    answer.resume();
    assert.equal((await accessLine(g, "/socket/2"))["reason"], "stream.agent_quota");
    tunnel.close();
    await accessLine(g, "/socket/1");
    const again = await upgrade("/socket/3");
    await once(again, "open");
    again.close();
    await stream.close();
  });
});
