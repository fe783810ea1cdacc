// The public MCP client of the second generation through the gateway, with the library's `fetch` and nothing else: against the
// public server of the same generation (2026-07-28), and against the public test server, where it falls back to 2025-11-25.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  Client,
  type CreateMessageRequest,
  InsufficientScopeError,
  ProtocolError,
  SdkHttpError,
  StreamableHTTPClientTransport,
  type StreamableHTTPClientTransportOptions,
} from "@modelcontextprotocol/client";
import { type Agent, createAgent } from "../../src/agent/create-agent.ts";
import { mcpTransportOptions } from "../../src/agent/mcp-options.ts";
import { type AgentGateway, startAgentGateway } from "../fixtures/agent-gateway.ts";
import { type EverythingServer, startEverything } from "../fixtures/mcp-everything.ts";
import { mcpRoute } from "../fixtures/mcp-route.ts";
import { type StatelessServer, startStatelessServer } from "../fixtures/mcp-stateless-server.ts";

const SCOPE = ["call:mcp:everything"];
const FEATURES = "demo://resource/static/document/features.md";
const LONG = "trigger-long-running-operation";
/** No time passes between a broken stream and the next one. */
const AT_ONCE = {
  initialReconnectionDelay: 0,
  maxReconnectionDelay: 0,
  reconnectionDelayGrowFactor: 1,
  maxRetries: 3,
};
/** Each version that is negotiated, and the route whose server speaks it. */
const GENERATIONS = { "2026-07-28": "stateless", "2025-11-25": "mcp" } as const;

const isDenied = (error: unknown): boolean =>
  error instanceof SdkHttpError && error.status === 403 && String(error.data.text).includes('"code":"access_denied"');

describe("the public MCP client of the second generation through the gateway", { timeout: 60_000 }, () => {
  let stage: AgentGateway;
  let everything: EverythingServer;
  let server: StatelessServer;
  /** One that a test ends. */
  let leaving: StatelessServer;
  let agent: Agent;
  const ending: (() => Promise<void>)[] = [];
  before(async () => {
    everything = await startEverything();
    server = await startStatelessServer();
    leaving = await startStatelessServer();
    ending.push(everything.close, server.close, leaving.close);
    const old = { url: everything.url, strip_prefix: "/old", allow_private_addresses: true };
    const routes = [
      mcpRoute("mcp", everything.url),
      mcpRoute("old", "", { path: "/old/mcp", mcp: { versions: ["2025-11-25"] }, upstream: old }),
      mcpRoute("stateless", server.url),
      mcpRoute("leaving", leaving.url),
    ];
    const overrides = { routes, proof: { nonce: "required" } };
    stage = await startAgentGateway({ after: (end) => void ending.push(end) }, overrides);
    agent = await startAnAgent();
  });
  after(async () => {
    for (const end of ending.reverse()) await end();
  });

  async function startAnAgent(): Promise<Agent> {
    const launchToken = await stage.launch({ scope: SCOPE });
    const started = await createAgent({ issuer: stage.issuer, launchToken });
    ending.push(started.close);
    return started;
  }

  async function connect(
    route: string,
    options: StreamableHTTPClientTransportOptions = mcpTransportOptions(agent),
  ): Promise<{ client: Client; transport: StreamableHTTPClientTransport }> {
    const client = new Client(
      { name: "agent", version: "1.0.0" },
      { capabilities: { sampling: {}, elicitation: {} }, versionNegotiation: { mode: "auto" } },
    );
    const transport = new StreamableHTTPClientTransport(new URL(`/${route}`, stage.g.url), options);
    await client.connect(transport);
    return { client, transport };
  }

  for (const [version, route] of Object.entries(GENERATIONS)) {
    describe(version, () => {
      let client: Client;
      before(async () => {
        ({ client } = await connect(route));
      });
      after(() => client.close());

      test(`${version}: it negotiates the version of the server, and sees the tools that it may call and no other`, async () => {
        assert.equal(client.getNegotiatedProtocolVersion(), version);
        const { tools } = await client.listTools();
        const names = tools.map(({ name }) => name).sort();
        assert.deepEqual(names, ["echo", "get-sum", LONG, "trigger-sampling-request"]);
      });

      test(`${version}: it calls a tool, and the same call with one other argument is an error that says why`, async () => {
        const result = await client.callTool({ name: "get-sum", arguments: { a: 2, b: 40 } });
        assert.match(JSON.stringify(result.content), /42/);
        await assert.rejects(client.callTool({ name: "get-sum", arguments: { a: 2, b: 4000 } }), isDenied);
        await assert.rejects(client.callTool({ name: "get-env", arguments: {} }), isDenied);
      });

      test(`${version}: it gets its prompts and no other`, async () => {
        const { prompts } = await client.listPrompts();
        assert.deepEqual(
          prompts.map(({ name }) => name),
          ["simple-prompt"],
        );
        assert.ok((await client.getPrompt({ name: "simple-prompt" })).messages.length > 0);
        await assert.rejects(client.getPrompt({ name: "args-prompt", arguments: { city: "Bern" } }), isDenied);
      });

      test(`${version}: it reads its resource and no other`, async () => {
        const { resources } = await client.listResources();
        assert.deepEqual(
          resources.map(({ uri }) => uri),
          [FEATURES],
        );
        assert.equal((await client.readResource({ uri: FEATURES })).contents.length, 1);
        const hidden = "demo://resource/static/document/secrets.md";
        await assert.rejects(client.readResource({ uri: hidden }), isDenied);
      });

      test(`${version}: progress reaches it while the call runs`, async () => {
        const seen: number[] = [];
        const call = { name: LONG, arguments: { duration: 0.4, steps: 4 } };
        await client.callTool(call, { onprogress: ({ progress }) => void seen.push(progress) });
        // The last one and the result may be read together; how many were seen before is the client's own matter.
        assert.ok(seen.length >= 3, `progress ${seen.join(" ")}`);
      });

      test(`${version}: the server asks it for a sample in the middle of a call, and its answer passes`, async () => {
        let asked: CreateMessageRequest["params"] | undefined;
        const questions: string[] = [];
        client.setRequestHandler("elicitation/create", ({ params }) => {
          questions.push(params.message);
          return { action: "accept", content: { confirm: true } };
        });
        client.setRequestHandler("sampling/createMessage", ({ params }) => {
          asked = params;
          return { model: "m", role: "assistant", content: { type: "text", text: "sampled-here" } };
        });
        const call = { name: "trigger-sampling-request", arguments: { prompt: "a prompt", maxTokens: 5 } };
        const result = await client.callTool(call);
        assert.match(JSON.stringify(asked?.messages), /a prompt/);
        assert.match(JSON.stringify(result.content), /sampled-here/);
        // In place of the server's own requests 2026-07-28 has rounds of the same call, here one more for the user.
        assert.deepEqual(questions, version === "2026-07-28" ? ["May the model be asked?"] : []);
      });
    });
  }

  test("2026-07-28: an argument that its tool marks travels as Mcp-Param too, also where the client learns so from the refusal", async () => {
    const { client } = await connect("stateless");
    await client.listTools();
    const call = { name: "echo", arguments: { message: "m", region: "Zürich" } };
    const sentHeader = () => server.seen.filter((headers) => headers["mcp-param-region"] !== undefined).length;
    assert.match(JSON.stringify(await client.callTool(call)), /"m"/);
    assert.equal(server.seen.at(-1)?.["mcp-param-region"], `=?base64?${Buffer.from("Zürich").toString("base64")}?=`);
    assert.equal(server.seen.at(-1)?.["mcp-session-id"], undefined);

    // Another client has listed nothing: the gateway's -32020 makes it list, and call again.
    const before = sentHeader();
    const { client: other } = await connect("stateless");
    assert.match(JSON.stringify(await other.callTool(call)), /"m"/);
    assert.equal(sentHeader(), before + 1);
    const refused = (line: Record<string, unknown>): boolean => line["reason"] === "mcp.header_mismatch";
    assert.ok((await stage.g.lines("access", refused)).some(refused));
    await client.close();
    await other.close();
  });

  test("2026-07-28: arguments that do not fit the pinned schema are an error of the protocol for it", async () => {
    const { client } = await connect("stateless");
    await client.listTools();
    await assert.rejects(
      client.callTool({ name: "echo", arguments: { message: 1 } }),
      (error) => error instanceof ProtocolError && error.code === -32_602,
    );
    await client.close();
  });

  test("2026-07-28: a call that it aborts is over for the server too", async () => {
    const { client } = await connect("stateless");
    const abort = new AbortController();
    const gone = server.callGone();
    const call = { name: LONG, arguments: { duration: 30, steps: 300 } };
    await assert.rejects(client.callTool(call, { signal: abort.signal, onprogress: () => abort.abort() }));
    await gone;
    await client.close();
  });

  test("2026-07-28: it listens for a resource of its own and to no other, and is told until its agent is blocked", async () => {
    const listening = await startAnAgent();
    const { client } = await connect("stateless", mcpTransportOptions(listening));
    let told = Promise.withResolvers<string>();
    client.setNotificationHandler("notifications/resources/updated", ({ params }) => told.resolve(params.uri));
    client.setNotificationHandler("notifications/tools/list_changed", () => told.resolve("tools"));
    const hidden = { resourceSubscriptions: ["demo://resource/static/document/secrets.md"] };
    await assert.rejects(client.listen(hidden), isDenied);

    const subscription = await client.listen({ resourceSubscriptions: [FEATURES], toolsListChanged: true });
    assert.deepEqual(subscription.honoredFilter.resourceSubscriptions, [FEATURES]);
    server.notify.resourceUpdated(FEATURES);
    assert.equal(await told.promise, FEATURES);
    told = Promise.withResolvers();
    server.notify.toolsChanged();
    assert.equal(await told.promise, "tools");

    const block = { id: listening.id, mode: "blocked", reason: "a test of streams" };
    assert.equal((await stage.g.operate("PUT", "/v1/containment/agent", block)).status, 200);
    assert.equal(await subscription.closed, "remote");
    await client.close();
  });

  test("2026-07-28: it ends its own subscription, and sees that a server which leaves has ended one", async () => {
    const { client } = await connect("leaving");
    const first = await client.listen({ toolsListChanged: true });
    await first.close();
    assert.equal(await first.closed, "local");
    const second = await client.listen({ toolsListChanged: true });
    await leaving.close();
    assert.equal(await second.closed, "graceful");
    await client.close();
  });

  test("2025-11-25: a call that it aborts is cancelled with its own notification", async () => {
    const { client } = await connect("mcp");
    const abort = new AbortController();
    const call = { name: LONG, arguments: { duration: 30, steps: 300 } };
    await assert.rejects(client.callTool(call, { signal: abort.signal, onprogress: () => abort.abort() }));
    const cancelled = (line: Record<string, unknown>): boolean =>
      JSON.stringify(line).includes("notifications/cancelled");
    assert.ok((await stage.g.lines("decision", cancelled)).some(cancelled));
    await client.close();
  });

  test("2025-11-25: a call whose stream breaks is resumed, and ends with its result", async () => {
    const { fetch: prove } = mcpTransportOptions(agent);
    const resumed: string[] = [];
    const broken = Promise.withResolvers<void>();
    const done = Promise.withResolvers<void>();
    const breaking = async (url: string | URL, init: RequestInit = {}): Promise<Response> => {
      const last = new Headers(init.headers).get("last-event-id");
      // The public test server replays what it has by then, and sends nothing more on that stream.
      if (last !== null && resumed.push(last) > 0) await done.promise;
      const answer = await prove(url, init);
      const breaks = typeof init.body === "string" && init.body.includes('"steps":2');
      return breaks ? untilProgress(answer, broken.resolve) : answer;
    };
    const { client } = await connect("mcp", { fetch: breaking, reconnectionOptions: AT_ONCE });
    const call = (steps: number) => ({ name: LONG, arguments: { duration: 0.1 * steps, steps } });
    const result = client.callTool(call(2), { onprogress: () => undefined });
    await broken.promise;
    // This one began later and has more steps of the same length: when it has ended, the first one has.
    await client.callTool(call(4));
    done.resolve();
    assert.match(JSON.stringify((await result).content), /Steps: 2/);
    assert.equal(resumed.length, 1);
    await client.close();
  });

  test("2025-11-25: it falls back also where the gateway's route serves no newer version", async () => {
    const { client } = await connect("old/mcp");
    assert.equal(client.getNegotiatedProtocolVersion(), "2025-11-25");
    assert.equal((await client.listTools()).tools.length, 4);
    await client.close();
  });

  test("an agent without a right to the server is told by its own client which scope it lacks", async () => {
    const launchToken = await stage.launch({ scope: ["read:candidates:J42"] });
    const other = await createAgent({ issuer: stage.issuer, launchToken });
    ending.push(other.close);
    await assert.rejects(
      connect("stateless", mcpTransportOptions(other)),
      (error) => error instanceof InsufficientScopeError && error.requiredScope === "call:mcp:everything",
    );
  });
});

/** The same answer, whose connection breaks behind its first event of progress. */
function untilProgress(answer: Response, broke: () => void): Response {
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  const body = new ReadableStream<string>({
    async pull(controller) {
      const { value } = (await reader?.read()) ?? {};
      controller.enqueue(value ?? "");
      seen += value ?? "";
      if (!/notifications\/progress.*\n\n/s.test(seen)) return;
      await reader?.cancel();
      controller.close();
      broke();
    },
  });
  return new Response(body.pipeThrough(new TextEncoderStream()), answer);
}
