// A server of 2025-11-25 finds the stream of an answer by the request's id. Here it is the public SDK's own; what an agent
// tries is to have an answer that is redacted on the stream of a call that is not.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { errorOf, inSession, mcpRoute, post, SESSION_VERSION } from "../fixtures/mcp-route.ts";
import {
  type CallAnswer,
  closeServer,
  portOf,
  startTestGateway,
  type TestAgent,
  type TestGateway,
} from "../fixtures/test-gateway.ts";

const REDACTED = "get-structured-content";
const PLAIN = "echo";
const IN_USE = [400, 7, -32_600, "id_in_use"];
/** The port of the gateway is shared by its threads: of so many connections each has some. */
const CONNECTIONS = 16;

describe("ids of requests in a session", { timeout: 60_000 }, () => {
  const calls = new EventEmitter<{ called: [string] }>();
  /** What ends each call that is open at the server, oldest first. */
  let finish: (() => void)[] = [];
  let sessions = 0;
  let g: TestGateway;
  let agent: TestAgent;
  let url: string;
  /** Headers of a session of its own for each test. */
  let session: { "mcp-session-id": string };
  const server = createServer();
  const transports = new Map<string, StreamableHTTPServerTransport>();

  async function newSession(json: boolean): Promise<StreamableHTTPServerTransport> {
    const mcp = new McpServer({ name: "slow", version: "1" });
    const wait = (name: string): Promise<void> =>
      new Promise((resolve) => {
        finish.push(resolve);
        calls.emit("called", name);
      });
    mcp.registerTool(REDACTED, { description: "weather" }, async () => {
      await wait(REDACTED);
      return { structuredContent: { temperature: 33, humidity: 82 }, content: [] };
    });
    mcp.registerTool(PLAIN, { description: "says it" }, async () => {
      await wait(PLAIN);
      return { content: [{ type: "text", text: "said" }] };
    });
    const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => `s${++sessions}`,
      enableJsonResponse: json,
      onsessioninitialized: (id) => void transports.set(id, transport),
    });
    await mcp.connect(transport);
    return transport;
  }

  before(async () => {
    server.on("request", (request, response) => {
      const known = transports.get(String(request.headers["mcp-session-id"]));
      void (async () => (known ?? (await newSession(request.url === "/json"))).handleRequest(request, response))();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const upstream = `http://127.0.0.1:${portOf(server)}`;
    const mcp = { tools: { pin: "off" } };
    g = await startTestGateway({
      threads: 2,
      routes: [mcpRoute("mcp", upstream, { mcp }), mcpRoute("json", upstream, { mcp })],
    });
    const intent = { task: "t", purpose: "assist", scope: ["call:mcp:everything"], details: [], constraints: {} };
    agent = await g.agent({ cordon: { intent: { ...intent, expires_at: "2036-01-01T00:00:00Z" } } });
  });
  after(async () => {
    await g.close();
    await closeServer(server);
  });
  beforeEach(async () => {
    finish = [];
    url = `${g.url}/mcp`;
    session = await open();
  });

  async function open(): Promise<typeof session> {
    const clientInfo = { name: "a", version: "1" };
    const hello = { protocolVersion: SESSION_VERSION, capabilities: {}, clientInfo };
    const answer = await post(agent, url, inSession("initialize", hello, {}, 1));
    const opened = { "mcp-session-id": String(answer.headers["mcp-session-id"]) };
    assert.equal((await post(agent, url, inSession("notifications/initialized", {}, opened, null))).status, 202);
    return opened;
  }
  const callTool = (name: string, id: string | number = 7, headers: typeof session = session): Promise<CallAnswer> =>
    post(agent, url, inSession("tools/call", { name, arguments: { message: "m" } }, headers, id));
  /** Resolves once the server works at it. */
  async function begin(name: string, id?: string | number, headers?: typeof session): Promise<Promise<CallAnswer>[]> {
    const called = once(calls, "called");
    const answer = callTool(name, id, headers);
    await called;
    // In a list, since what an async function returns is waited for.
    return [answer];
  }
  const finishAll = (): void => {
    for (const one of finish.splice(0)) one();
  };

  /** While one has no answer, the other is tried with its id, on every thread. */
  async function tryBeside(first: string, second: string): Promise<void> {
    const [answer] = await begin(first);
    const refused = await Promise.all(
      Array.from({ length: CONNECTIONS }, (_, at) => callTool(second, at % 2 === 0 ? 7 : "7")),
    );
    assert.deepEqual(
      refused.map((one) => [one.status, errorOf(one)[3]]),
      refused.map(() => [400, "id_in_use"]),
    );
    assert.deepEqual(errorOf(refused[0] as CallAnswer), IN_USE);
    assert.equal(finish.length, 1, "nothing of them reached the server");
    finishAll();
    const { status, text } = (await answer) as CallAnswer;
    assert.equal(status, 200);
    assert.equal(text.includes(first === REDACTED ? "temperature" : "said"), true, text);
    assert.equal(text.includes("humidity"), false, text);
  }

  test("a call that is not redacted is refused while a redacted one with its id has no answer, on every thread", () =>
    tryBeside(REDACTED, PLAIN));

  test("a call that is redacted is refused while another one with its id has no answer, on every thread", () =>
    tryBeside(PLAIN, REDACTED));

  test("of calls with one id that come at the same time one at most is sent", async () => {
    const answers = Array.from({ length: CONNECTIONS }, () => callTool(PLAIN, 9));
    const statuses: number[] = [];
    await new Promise<void>((resolve) => {
      for (const answer of answers) {
        void answer.then(({ status }) => {
          if (statuses.push(status) === CONNECTIONS - 1) resolve();
        });
      }
      // Two at the same moment may both be refused: then nothing waits at the server.
      void Promise.all(answers).then(() => resolve());
    });
    assert.ok(finish.length <= 1, `${finish.length} reached the server`);
    finishAll();
    await Promise.all(answers);
    assert.equal(statuses.filter((status) => status === 400).length >= CONNECTIONS - 1, true, statuses.join(" "));
  });

  for (const kind of ["mcp", "json"]) {
    test(`an id may be used again once its answer was there (${kind === "mcp" ? "events" : "JSON"})`, async () => {
      url = `${g.url}/${kind}`;
      session = await open();
      for (const name of [PLAIN, REDACTED, PLAIN]) {
        const [answer] = await begin(name);
        finishAll();
        assert.equal(((await answer) as CallAnswer).status, 200);
      }
      assert.equal((await post(agent, url, inSession("tools/list", {}, session, 7))).status, 200);
    });
  }

  test("an id in another session, or of a call that was denied, is free", async () => {
    const other = await open();
    const denied = await callTool("not-for-this-agent");
    assert.equal(denied.status, 403);
    const [answer] = await begin(PLAIN);
    const [elsewhere] = await begin(PLAIN, 7, other);
    finishAll();
    assert.deepEqual([((await answer) as CallAnswer).status, ((await elsewhere) as CallAnswer).status], [200, 200]);
  });

  test("a client that goes before its answer leaves its id taken, since the server goes on, and another id or session serves", async () => {
    const called = once(calls, "called");
    const { headers, body } = inSession("tools/call", { name: REDACTED, arguments: {} }, session);
    const proof = await agent.headers(url, "POST");
    const leaving = new AbortController();
    const left = fetch(url, {
      method: "POST",
      headers: { ...(headers as Record<string, string>), ...proof },
      body,
      signal: leaving.signal,
    }).then((answer) => answer.text());
    await called;
    leaving.abort();
    await assert.rejects(left, { name: "AbortError" });
    await g.lines("access", (line) => line["reason"] === "exchange.client_closed");
    assert.deepEqual(errorOf(await callTool(PLAIN)), IN_USE);
    finishAll();
    assert.deepEqual(errorOf(await callTool(PLAIN)), IN_USE);
    const [answer] = await begin(PLAIN, 8);
    const [elsewhere] = await begin(PLAIN, 7, await open());
    finishAll();
    assert.deepEqual([((await answer) as CallAnswer).status, ((await elsewhere) as CallAnswer).status], [200, 200]);
  });
});
