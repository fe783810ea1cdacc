// Sessions of 2025-11-25 through the whole gateway: whose they are, how they end, and what a broken connection means.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { errorOf, inSession, mcpRoute, post, SESSION_VERSION, stateless } from "../fixtures/mcp-route.ts";
import { type ScriptedTool, startScriptedTool } from "../fixtures/scripted-tool.ts";
import { type CallAnswer, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const INITIALIZE = inSession("initialize", { protocolVersion: SESSION_VERSION, capabilities: {} });
const ECHO = { name: "echo", arguments: { message: "hello" } };

describe("sessions on a route of kind mcp", { timeout: 60_000 }, () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  let agent: TestAgent;
  let url: string;
  /** Session ids that reached the tool, in order. */
  let atTool: (string | undefined)[];
  before(async () => {
    tool = await startScriptedTool();
    g = await startTestGateway({
      // A session that one thread opened is used on another.
      threads: 2,
      routes: [mcpRoute("mcp", tool.url), mcpRoute("other", tool.url)],
    });
    agent = await g.agent();
    url = `${g.url}/mcp`;
  });
  after(async () => {
    await g.close();
    await tool.close();
  });
  beforeEach(() => {
    atTool = [];
    tool.handle = (asked, answer) => {
      atTool.push(asked.headers["mcp-session-id"] as string | undefined);
      answer.writeHead(200, { "content-type": "application/json", "mcp-session-id": "server-session" });
      answer.end('{"jsonrpc":"2.0","id":7,"result":{}}');
    };
  });

  async function open(by: TestAgent = agent): Promise<string> {
    const answer = await post(by, url, INITIALIZE);
    assert.equal(answer.status, 200);
    return String(answer.headers["mcp-session-id"]);
  }
  const callIn = (by: TestAgent, session: string, target = url): Promise<CallAnswer> =>
    post(by, target, inSession("tools/call", ECHO, { "mcp-session-id": session }));

  test("the server keeps its own session id, and the agent that opened the session uses it on every thread", async () => {
    const session = await open();
    assert.notEqual(session, "server-session");
    for (let round = 0; round < 8; round++) assert.equal((await callIn(agent, session)).status, 200);
    const ended = await agent.call(url, { method: "DELETE", headers: { "mcp-session-id": session } });
    assert.equal(ended.status, 200);
    assert.deepEqual(atTool, [undefined, ...Array.from({ length: 9 }, () => "server-session")]);
  });

  test("a session is 404 to another principal, to another agent of the same one, and on another route", async () => {
    const session = await open();
    const principal = { type: "user", id: "mallory", issuer: "https://issuer.test", attributes: {} };
    const strangers = [
      await g.agent({ cordon: { principal }, keys: agent.keys }),
      await g.agent({ task: "another-task" }),
      await g.agent({ instance: "another-instance", keys: agent.keys }),
    ];
    for (const stranger of strangers) {
      assert.deepEqual(errorOf(await callIn(stranger, session)), [404, undefined, -32_001, "session_not_found"]);
      for (const method of ["GET", "DELETE"]) {
        assert.equal(
          (await stranger.call(url, { method, headers: { "mcp-session-id": session } })).status,
          404,
          method,
        );
      }
    }
    assert.equal((await callIn(agent, session, `${g.url}/other`)).status, 404);
    assert.deepEqual(atTool, [undefined], "nothing of them reached the server");
  });

  test("a session id that was not given here is 404, whoever says it", async () => {
    const session = await open();
    const tag = session.slice(0, 22);
    for (const forged of [
      "server-session",
      `${tag}.another`,
      tag,
      `${tag}.`,
      `${"A".repeat(22)}.server-session`,
      session.slice(1),
    ]) {
      assert.equal((await callIn(agent, forged)).status, 404, forged);
      const again = { ...INITIALIZE, headers: { ...INITIALIZE.headers, "mcp-session-id": forged } };
      assert.equal((await post(agent, url, again)).status, 404, forged);
    }
    assert.deepEqual(atTool, [undefined]);
  });

  test("what a server gives as a session id and is none reaches no client", async () => {
    for (const id of ["two words", "\u00e9", "x".repeat(1025), ["s1", "s2"]]) {
      tool.handle = (_asked, answer) => {
        answer.writeHead(200, { "content-type": "application/json", "mcp-session-id": id });
        answer.end('{"jsonrpc":"2.0","id":7,"result":{}}');
      };
      const answer = await post(agent, url, INITIALIZE);
      assert.deepEqual([answer.status, answer.headers["mcp-session-id"]], [200, undefined], String(id));
    }
  });

  test("a session that the server has ended is 404, as the server says it", async () => {
    const session = await open();
    const dead = '{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}';
    tool.handle = (_asked, answer) => void answer.writeHead(404, { "content-type": "application/json" }).end(dead);
    const answer = await callIn(agent, session);
    assert.deepEqual([answer.status, answer.text], [404, dead]);
  });

  test("a request without a version belongs to a session, or is refused", async () => {
    const without = { "mcp-protocol-version": undefined };
    const session = await open();
    const inOne = inSession("tools/call", ECHO, { ...without, "mcp-session-id": session });
    assert.equal((await post(agent, url, inOne)).status, 200);
    assert.deepEqual(
      errorOf(await post(agent, url, inSession("tools/call", ECHO, without))).slice(0, 3),
      [400, 7, -32_020],
    );
  });

  test("an answer to the server's own request passes in a session, and never without one's version", async () => {
    const session = await open();
    const headers = { ...inSession("ping", {}, { "mcp-session-id": session }).headers };
    for (const body of [
      '{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}',
      '{"jsonrpc":"2.0","id":"s-1","error":{"code":-1,"message":"declined"}}',
    ]) {
      assert.equal((await post(agent, url, { headers, body })).status, 200, body);
      const refused = await post(agent, url, { headers: stateless("ping").headers, body });
      assert.equal(refused.status, 400, body);
    }
  });

  async function ask(method: string, more: Readonly<Record<string, string>>): Promise<ClientRequest> {
    const headers = { ...(await agent.headers(url, method)), "mcp-protocol-version": SESSION_VERSION, ...more };
    return request(url, { method, headers, agent: false });
  }
  /** The tool's side of the next request. */
  function nextAtTool(): Promise<{ asked: IncomingMessage; answer: ServerResponse }> {
    return new Promise((resolve) => {
      tool.handle = (asked, answer) => resolve({ asked, answer });
    });
  }

  test("the stream of a session is resumed with Last-Event-ID, and its events come as they are sent", async () => {
    const session = await open();
    const arriving = nextAtTool();
    const asked = await ask("GET", {
      accept: "text/event-stream",
      "mcp-session-id": session,
      "last-event-id": "event-41",
    });
    asked.end();
    const { asked: seen, answer } = await arriving;
    assert.deepEqual([seen.headers["last-event-id"], seen.headers["mcp-session-id"]], ["event-41", "server-session"]);
    answer.writeHead(200, { "content-type": "text/event-stream", "mcp-session-id": "server-session" });
    answer.flushHeaders();
    const [stream] = (await once(asked, "response")) as [IncomingMessage];
    assert.equal(stream.headers["mcp-session-id"], session);
    const progress = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}';
    for (const event of [": comment\n\n", `id: event-42\ndata: ${progress}\n\n`, "id: event-43\r\ndata:\r\n\r\n"]) {
      const arrived = once(stream, "data");
      answer.write(event);
      // The one framing of a stream that is filtered: LF behind each line.
      assert.equal(String((await arrived)[0]), event.replaceAll("\r\n", "\n"));
    }
    const ended = once(stream, "end");
    answer.end();
    await ended;
  });

  test("a client that disconnects in a session cancels nothing: the server is told nothing but the disconnect", async () => {
    const session = await open();
    const arriving = nextAtTool();
    const message = inSession("tools/call", ECHO, { "mcp-session-id": session });
    const asked = await ask("POST", { ...(message.headers as Record<string, string>) });
    asked.on("error", () => asked.destroy());
    asked.end(message.body);
    const { asked: seen, answer } = await arriving;
    const left = new Promise<void>((resolve) => seen.on("close", resolve));
    asked.destroy();
    await left;
    answer.destroy();
    // The next thing that reaches the server is the client's own resumption, in the same session.
    const resuming = nextAtTool();
    const again = await ask("GET", { accept: "text/event-stream", "mcp-session-id": session, "last-event-id": "e1" });
    again.end();
    const resumed = await resuming;
    assert.deepEqual([resumed.asked.method, resumed.asked.headers["last-event-id"]], ["GET", "e1"]);
    resumed.answer.writeHead(200, { "content-type": "text/event-stream" });
    resumed.answer.end('id: e2\ndata: {"jsonrpc":"2.0","id":7,"result":{"content":[]}}\n\n');
    const [stream] = (await once(again, "response")) as [IncomingMessage];
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    assert.match(text, /^id: e2\ndata: .*"content":\[\]/);
  });

  test("a client of 2026-07-28 that closes its stream cancels the request at the server", async () => {
    const arriving = nextAtTool();
    const message = stateless("tools/call", ECHO);
    const headers = { ...(await agent.headers(url, "POST")), ...(message.headers as Record<string, string>) };
    const asked = request(url, { method: "POST", headers, agent: false });
    asked.on("error", () => asked.destroy());
    asked.end(message.body);
    const { answer } = await arriving;
    answer.writeHead(200, { "content-type": "text/event-stream" });
    answer.flushHeaders();
    const [stream] = (await once(asked, "response")) as [IncomingMessage];
    stream.on("error", () => stream.destroy());
    const closed = once(answer, "close");
    asked.destroy();
    await closed;
    assert.equal(answer.writableFinished, false);
  });
});
