// What a policy redacts in the results of an MCP server, by the committed policy: `/structuredContent/humidity` of the
// tool `get-structured-content`.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { errorOf, inSession, mcpRoute, post, SESSION_VERSION, stateless } from "../fixtures/mcp-route.ts";
import { type ScriptedTool, startScriptedTool } from "../fixtures/scripted-tool.ts";
import { type CallAnswer, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const JSON_TYPE = { "content-type": "application/json" };
const EVENTS = { "content-type": "text/event-stream" };
const PROGRESS = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}';
const WEATHER = '{"temperature":33,"humidity":82.0}';

const result = (structured: string, text: string): string =>
  `{"jsonrpc":"2.0","id":7,"result":{"structuredContent":${structured},"content":[{"type":"text","text":${JSON.stringify(text)}}]}}`;
const WHOLE = result(WEATHER, WEATHER);
const CUT = result('{"temperature":33}', '{"temperature":33}');
/** What no redaction can read. */
const WORDS = result(WEATHER, "33 degrees, 82 % humidity");

describe("redaction on a route of kind mcp", { timeout: 60_000 }, () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  let agent: TestAgent;
  let url: string;
  let reached = 0;
  before(async () => {
    tool = await startScriptedTool();
    const limits = { redact_bytes_max: 10_000, response_bytes_max: 20_000 };
    g = await startTestGateway({ routes: [mcpRoute("mcp", tool.url, { limits })] });
    const intent = {
      task: "t",
      purpose: "assist",
      scope: ["call:mcp:everything"],
      details: [],
      constraints: {},
      expires_at: "2036-01-01T00:00:00Z",
    };
    agent = await g.agent({ cordon: { intent } });
    url = `${g.url}/mcp`;
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  function answers(body: string | Buffer, headers: Readonly<Record<string, string>> = JSON_TYPE, status = 200): void {
    tool.handle = (asked, answer) => {
      reached += 1;
      asked.resume();
      answer.writeHead(status, headers).end(body);
    };
  }
  const call = (name = "get-structured-content"): Promise<CallAnswer> =>
    post(agent, url, stateless("tools/call", { name, arguments: {} }));
  async function reasonOf(requestId: unknown): Promise<unknown> {
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === requestId;
    return (await g.lines("access", mine)).find(mine)?.["reason"];
  }
  async function open(message: { headers: object; body: string }): Promise<IncomingMessage> {
    const headers = { ...(await agent.headers(url, "POST")), ...(message.headers as Record<string, string>) };
    const asked = request(url, { method: "POST", headers, agent: false });
    asked.end(message.body);
    const [stream] = (await once(asked, "response")) as [IncomingMessage];
    return stream;
  }

  test("a value that is redacted leaves neither in the structured content nor in the text beside it", async () => {
    answers(WHOLE, { ...JSON_TYPE, etag: '"1"' });
    const answer = await call();
    assert.deepEqual([answer.status, answer.text, answer.headers["etag"]], [200, CUT, undefined]);
    answers(WHOLE);
    assert.equal((await call("echo")).text, WHOLE, "another tool's result is not redacted");
  });

  test("a result that cannot be redacted is 502, and nothing of it is shown", async () => {
    const bad: [string, string | Buffer, Record<string, string>, number?][] = [
      ["words beside the structured content", WORDS, JSON_TYPE],
      ["a batch", `[${WHOLE}]`, JSON_TYPE],
      ["a result twice", `{"result":{},${WHOLE.slice(1)}`, JSON_TYPE],
      ["a result in another case", WHOLE.replace('"result"', '"Result"'), JSON_TYPE],
      ["no message", WEATHER, JSON_TYPE],
      ["compressed", gzipSync(WHOLE), { ...JSON_TYPE, "content-encoding": "gzip" }],
      ["another type", WHOLE, { "content-type": "text/plain" }],
      ["an error page", "<p>82.0</p>", { "content-type": "text/html" }, 500],
      ["too large", WHOLE + " ".repeat(10_000), JSON_TYPE],
    ];
    for (const [title, body, headers, status] of bad) {
      answers(body, headers, status);
      const answer = await call();
      assert.deepEqual(errorOf(answer), [502, 7, -32_000, "bad_gateway"], title);
      assert.doesNotMatch(answer.text, /82/, title);
      assert.equal(await reasonOf(answer.headers["x-cordon-request-id"]), "upstream.cannot_redact", title);
    }
  });

  test("an error of the server passes where its result would be redacted", async () => {
    const error = '{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"no weather today"}}';
    answers(error);
    assert.equal((await call()).text, error);
  });

  test("each event is redacted as it comes, and none is held back by the next one", async () => {
    const sends = new Promise<Parameters<ScriptedTool["handle"]>[1]>((resolve) => {
      tool.handle = (asked, answer) => {
        asked.resume();
        answer.writeHead(200, EVENTS).flushHeaders();
        resolve(answer);
      };
    });
    const stream = await open(stateless("tools/call", { name: "get-structured-content", arguments: {} }));
    const answer = await sends;
    let text = "";
    stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
    for (const [sent, expected] of [
      ["id: 1\ndata: \n\n", "data: \n\n"],
      [`: c\n\nid: 2\ndata: ${PROGRESS}\n\n`, `: c\n\ndata: ${PROGRESS}\n\n`],
      [`event: message\nid: 3\ndata: ${WHOLE}\n\n`, `event: message\ndata: ${CUT}\n\n`],
    ] as const) {
      text = "";
      answer.write(sent);
      while (text.length < expected.length) await once(stream, "data");
      // Without its id: nobody is told how to ask for the result once more, by a GET that is judged by itself.
      assert.equal(text, expected);
    }
    const ended = once(stream, "end");
    answer.end();
    await ended;
  });

  const bad: [string, string, string][] = [
    ["cannot be redacted", WORDS, "upstream.cannot_redact"],
    ["is larger than one that is redacted may be", `"${"82".repeat(5000)}"`, "upstream.cannot_redact"],
  ];
  for (const [title, data, reason] of bad) {
    test(`an event that ${title} ends its stream with a JSON-RPC error instead`, async () => {
      answers(`data: ${PROGRESS}\n\ndata: ${data}\n\ndata: ${PROGRESS}\n\n`, EVENTS);
      const { stream, text, requestId } = await cutStream();
      assert.equal(stream.complete, false, "it does not look whole");
      assert.doesNotMatch(text, /82/);
      assertLastEvent(text, requestId);
      assert.equal(await reasonOf(requestId), reason);
    });
  }

  test("events that are more than the route lets through end with a JSON-RPC error", async () => {
    answers(`data: ${PROGRESS}\n\n`.repeat(300), EVENTS);
    const { text, requestId } = await cutStream();
    assertLastEvent(text, requestId);
    assert.equal(await reasonOf(requestId), "upstream.response_too_large");
  });

  async function cutStream(): Promise<{ stream: IncomingMessage; text: string; requestId: unknown }> {
    const stream = await open(stateless("tools/call", { name: "get-structured-content", arguments: {} }));
    let text = "";
    await assert.rejects(async () => {
      for await (const chunk of stream) text += String(chunk);
    });
    return { stream, text, requestId: stream.headers["x-cordon-request-id"] };
  }
  function assertLastEvent(text: string, requestId: unknown): void {
    const last = text.trimEnd().split("\n\n").at(-1)?.replace("data: ", "") ?? "";
    const { id, error } = JSON.parse(last) as { id: number; error: { code: number; data: Record<string, unknown> } };
    const data = { code: "bad_gateway", status: 502, request_id: requestId };
    assert.deepEqual([id, error.code, error.data], [7, -32_000, data]);
  }

  test("a result that comes again on the resumed stream of a session is redacted there too", async () => {
    answers(`id: 3\ndata: ${WHOLE}\n\n`, EVENTS);
    const headers = { accept: "text/event-stream", "mcp-protocol-version": SESSION_VERSION, "last-event-id": "2" };
    assert.equal((await agent.call(url, { headers })).text, `id: 3\ndata: ${CUT}\n\n`);
  });

  test("a call whose result a later message would fetch is refused before it is sent, where it is to be redacted", async () => {
    answers(WHOLE);
    const before = reached;
    const params = { name: "get-structured-content", arguments: {}, task: { ttl: 1000 } };
    assert.deepEqual(errorOf(await post(agent, url, inSession("tools/call", params))), [
      502,
      7,
      -32_000,
      "bad_gateway",
    ]);
    assert.equal(reached, before);
  });
});
