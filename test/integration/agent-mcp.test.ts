// The public MCP client and the public MCP server through the gateway: the client with the library's options, and unmodified
// behind the sidecar. The issuer, the gateway and the agents are real.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import {
  StreamableHTTPClientTransport,
  type StreamableHTTPClientTransportOptions,
  StreamableHTTPError,
} from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { createAgent, startAgent } from "../../src/agent/create-agent.ts";
import { createKey } from "../../src/agent/create-key.ts";
import { createSidecar } from "../../src/agent/create-sidecar.ts";
import { mcpTransportOptions } from "../../src/agent/mcp-options.ts";
import { type AgentGateway, startAgentGateway, TASK } from "../fixtures/agent-gateway.ts";
import { type EverythingServer, startEverything } from "../fixtures/mcp-everything.ts";
import { mcpRoute } from "../fixtures/mcp-route.ts";

const SCOPE = ["call:mcp:everything"];

describe("a public MCP client as an agent", { timeout: 60_000 }, () => {
  let stage: AgentGateway;
  let server: EverythingServer;
  const ending: (() => Promise<void>)[] = [];
  before(async () => {
    server = await startEverything();
    const routes = [mcpRoute("mcp", server.url)];
    stage = await startAgentGateway(
      { after: (end) => void ending.push(end) },
      { routes, proof: { nonce: "required" } },
    );
  });
  after(async () => {
    for (const end of ending) await end();
    await server.close();
  });

  async function connect(url: string, options: StreamableHTTPClientTransportOptions = {}): Promise<Client> {
    const client = new Client({ name: "agent", version: "1.0.0" });
    await client.connect(new StreamableHTTPClientTransport(new URL(url), options));
    return client;
  }

  async function work(client: Client): Promise<void> {
    const { tools } = await client.listTools();
    assert.ok(tools.some(({ name }) => name === "get-sum"));
    const result = await client.callTool({ name: "get-sum", arguments: { a: 2, b: 40 } });
    assert.match(JSON.stringify(result.content), /42/);
    const seen: number[] = [];
    const call = { name: "trigger-long-running-operation", arguments: { duration: 0.4, steps: 4 } };
    await client.callTool(call, undefined, { onprogress: ({ progress }) => void seen.push(progress) });
    assert.ok(seen.length >= 3, "progress came while the call ran");
    await assert.rejects(
      client.callTool({ name: "get-env", arguments: {} }),
      (error) => error instanceof StreamableHTTPError && error.code === 403,
    );
  }

  test("with the library's options every message is proved, over the gateway's nonce", async () => {
    const agent = await createAgent({ issuer: stage.issuer, launchToken: await stage.launch({ scope: SCOPE }) });
    const client = await connect(`${stage.g.url}/mcp`, mcpTransportOptions(agent));
    await work(client);
    await client.close();
    await agent.close();
  });

  test("with those of a sub-agent it works too, until the sub-agent's delegator ends", async () => {
    const parent = await createAgent({ issuer: stage.issuer, launchToken: await stage.launch({ scope: SCOPE }) });
    const key = createKey();
    const wanted = { delegateThumbprint: key.thumbprint, purpose: TASK.purpose, scope: SCOPE };
    const agent = await createAgent({ delegation: await parent.delegate(wanted), key });
    const client = await connect(`${stage.g.url}/mcp`, mcpTransportOptions(agent));
    await work(client);
    await parent.close();
    await assert.rejects(client.ping(), (error) => error instanceof StreamableHTTPError && error.code === 401);
    await client.close();
  });

  test("behind the sidecar it needs nothing but the URL", async (t) => {
    const launchToken = await stage.launch({ scope: SCOPE });
    const started = await startAgent({ issuer: stage.issuer, launchToken });
    const sidecar = await createSidecar(started, stage.g.url);
    t.after(() => sidecar.close());
    const client = await connect(`${sidecar.baseUrl}/mcp`);
    await work(client);
    await client.close();
    await started.agent.close();
  });
});
