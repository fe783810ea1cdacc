// The public MCP client and the public MCP server, with the gateway between them. Neither knows of it: the client is only
// given a `fetch` that proves possession of its key.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport, StreamableHTTPError } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { type CreateMessageRequest, CreateMessageRequestSchema, McpError } from "@modelcontextprotocol/sdk/types.js";
import { type EverythingServer, startEverything } from "../fixtures/mcp-everything.ts";
import { mcpRoute, type RpcError } from "../fixtures/mcp-route.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

describe("a public MCP client and server through the gateway", { timeout: 60_000 }, () => {
  let g: TestGateway;
  let server: EverythingServer;
  let agent: TestAgent;
  let client: Client;
  let transport: StreamableHTTPClientTransport;
  /** The gateway's answers, as `METHOD status type`. */
  const answers: string[] = [];

  before(async () => {
    server = await startEverything();
    g = await startTestGateway({ threads: 2, routes: [mcpRoute("mcp", server.url)] });
    agent = await g.agent();
    ({ client, transport } = await connect(agent));
  });
  after(async () => {
    await client.close();
    await g.close();
    await server.close();
  });

  async function connect(
    by: TestAgent,
    send: (url: string, init: RequestInit) => Promise<Response> = fetch,
  ): Promise<{ client: Client; transport: StreamableHTTPClientTransport }> {
    const prove: typeof fetch = async (input, init) => {
      const url = input instanceof Request ? input.url : String(input);
      const method = init?.method ?? "GET";
      const headers = new Headers(init?.headers);
      for (const [name, value] of Object.entries(await by.headers(url, method))) headers.set(name, value);
      const answer = await send(url, { ...init, headers });
      answers.push(`${method} ${answer.status} ${answer.headers.get("content-type") ?? ""}`);
      return answer;
    };
    const opened = new StreamableHTTPClientTransport(new URL("/mcp", g.url), { fetch: prove });
    const made = new Client({ name: "agent", version: "1.0.0" }, { capabilities: { sampling: {} } });
    await made.connect(opened);
    return { client: made, transport: opened };
  }

  /** The client shows a refusal as the text of its error: there a model finds the code, and whoever asks the request's id. */
  function isDenied(error: unknown): boolean {
    if (!(error instanceof StreamableHTTPError) || error.code !== 403) return false;
    const { jsonrpc, id, error: told } = JSON.parse(error.message.slice(error.message.indexOf("{"))) as RpcError;
    assert.deepEqual([jsonrpc, typeof id, told.code, told.data.code], ["2.0", "number", -32_003, "access_denied"]);
    assert.match(told.data.request_id, /^[\w-]+$/);
    return true;
  }

  test("it initializes, and sees the tools that it may call and no other", async () => {
    assert.equal(client.getServerVersion()?.name, "mcp-servers/everything");
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map(({ name }) => name).sort(), [
      "echo",
      "get-sum",
      "trigger-long-running-operation",
      "trigger-sampling-request",
    ]);
    assert.ok(answers.includes("POST 200 text/event-stream"), "the list came as an event stream");
  });

  test("it calls a tool, and the same call with one other argument is denied", async () => {
    const result = await client.callTool({ name: "get-sum", arguments: { a: 2, b: 40 } });
    assert.match(JSON.stringify(result.content), /42/);
    await assert.rejects(client.callTool({ name: "get-sum", arguments: { a: 2, b: 4000 } }), isDenied);
    await assert.rejects(client.callTool({ name: "get-env", arguments: {} }), isDenied);
  });

  test("it gets its prompts and no other", async () => {
    const { prompts } = await client.listPrompts();
    assert.deepEqual(
      prompts.map(({ name }) => name),
      ["simple-prompt"],
    );
    assert.ok((await client.getPrompt({ name: "simple-prompt" })).messages.length > 0);
    await assert.rejects(client.getPrompt({ name: "args-prompt", arguments: { city: "Bern" } }), isDenied);
  });

  test("it reads its resource and no other, and sees no template that is not for its purpose", async () => {
    const uri = "demo://resource/static/document/features.md";
    const { resources } = await client.listResources();
    assert.deepEqual(
      resources.map((resource) => resource.uri),
      [uri],
    );
    assert.equal((await client.readResource({ uri })).contents.length, 1);
    await assert.rejects(client.readResource({ uri: "demo://resource/dynamic/text/1" }), isDenied);
    assert.deepEqual((await client.listResourceTemplates()).resourceTemplates, []);
  });

  test("progress reaches it while the call runs, and ping passes", async () => {
    const seen: number[] = [];
    const call = { name: "trigger-long-running-operation", arguments: { duration: 0.4, steps: 4 } };
    await client.callTool(call, undefined, { onprogress: ({ progress }) => void seen.push(progress) });
    // The last one and the result may be read together; how many were seen before is the client's own matter.
    assert.ok(seen.length >= 3, `progress ${seen.join(" ")}`);
    await client.ping();
  });

  test("the server asks it for a sample in the middle of a call, and its answer passes", async () => {
    let asked: CreateMessageRequest | undefined;
    client.setRequestHandler(CreateMessageRequestSchema, (request) => {
      asked = request;
      return { model: "m", role: "assistant", content: { type: "text", text: "sampled-here" } };
    });
    const result = await client.callTool({
      name: "trigger-sampling-request",
      arguments: { prompt: "p", maxTokens: 5 },
    });
    assert.equal(asked?.method, "sampling/createMessage");
    assert.match(JSON.stringify(result.content), /sampled-here/);
  });

  test("a call whose stream breaks is resumed by it with Last-Event-ID, and its result comes", async () => {
    let asked: string | null = null;
    let broken: Promise<unknown> | undefined;
    const other = await connect(agent, async (url, init) => {
      asked ??= new Headers(init.headers).get("last-event-id");
      // What was missed is all there by then: the server's store sends again, and goes on with nothing.
      if (asked !== null) await broken;
      const answer = await fetch(url, init);
      const isCall = typeof init.body === "string" && init.body.includes("tools/call");
      if (broken !== undefined || !isCall) return answer;
      const [seen, whole] = (answer.body as ReadableStream<Uint8Array>).tee();
      broken = new Response(whole).text();
      return new Response(ReadableStream.from(breakAfterFirst(seen)), answer);
    });
    const call = { name: "trigger-long-running-operation", arguments: { duration: 0.2, steps: 2 } };
    const result = await other.client.callTool(call, undefined, { onprogress: () => undefined });
    assert.match(JSON.stringify(result.content), /operation completed/);
    assert.match(String(asked), /^[0-9a-f-]{36}$/, "the server's own event id");
    assert.match(
      String(await broken),
      /operation completed/,
      "the first stream had it too, and the client did not see it",
    );
    await other.client.close();
  });

  test("a call is cancelled with its own notification", async () => {
    const abort = new AbortController();
    const call = { name: "trigger-long-running-operation", arguments: { duration: 30, steps: 300 } };
    const running = client.callTool(call, undefined, { signal: abort.signal, onprogress: () => abort.abort() });
    await assert.rejects(running);
    const cancelled = (line: Record<string, unknown>): boolean =>
      JSON.stringify(line).includes("notifications/cancelled");
    assert.ok((await g.lines("decision", cancelled)).some(cancelled));
  });

  test("a call whose answer is a stream is an error for it as soon as its agent is blocked", async () => {
    const blocked = await g.agent({ task: "blocked-task" });
    const other = await connect(blocked);
    const call = { name: "trigger-long-running-operation", arguments: { duration: 30, steps: 300 } };
    const block = (): void => {
      const change = { id: blocked.id, mode: "blocked", reason: "a test of streams" };
      void g.operate("PUT", "/v1/containment/agent", change);
    };
    await assert.rejects(
      other.client.callTool(call, undefined, { onprogress: block }),
      (error) =>
        error instanceof McpError &&
        error.code === -32_003 &&
        (error.data as { readonly code: unknown }).code === "blocked",
    );
    await other.client.close();
  });

  test("a session of another agent is not there for it", async () => {
    const other = await connect(await g.agent({ task: "another-task" }));
    const mine = transport.sessionId;
    assert.notEqual(mine, other.transport.sessionId);
    const headers = { "mcp-session-id": String(other.transport.sessionId), "mcp-protocol-version": "2025-11-25" };
    assert.equal((await agent.call(`${g.url}/mcp`, { headers })).status, 404);
    await other.transport.terminateSession();
    await other.client.close();
  });

  test("it ends its session", async () => {
    const ended = await connect(agent);
    await ended.transport.terminateSession();
    assert.equal(ended.transport.sessionId, undefined);
    assert.match(answers.at(-1) ?? "", /^DELETE 200/);
    await ended.client.close();
  });
});

/** As much as one read gives, and then the connection is gone. */
async function* breakAfterFirst(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    yield chunk;
    throw new Error("the connection broke");
  }
}
