// The public MCP SDK over createDpopFetch: a client we did not write proves possession with every message.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import { EmbeddedJWK, jwtVerify } from "jose";
import { createDpopFetch } from "../../../src/agent/create-dpop-fetch.ts";
import { createKey } from "../../../src/agent/create-key.ts";

test("an MCP client with a DPoP fetch calls a tool, with one fresh proof a message", async (t) => {
  const seen: { method: string | undefined; authorization: string | undefined; proof: string }[] = [];
  const server = createServer((request, response) => {
    seen.push({
      method: request.method,
      authorization: request.headers.authorization,
      proof: String(request.headers["dpop"]),
    });
    const mcp = new McpServer({ name: "tool", version: "1.0.0" });
    mcp.registerTool("hello", {}, () => ({ content: [{ type: "text", text: "hello" }] }));
    const transport = new StreamableHTTPServerTransport({});
    mcp.connect(transport as Transport).then(
      () => transport.handleRequest(request, response),
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`);

  const key = createKey();
  const client = new Client({ name: "agent", version: "1.0.0" });
  const transport = new StreamableHTTPClientTransport(url, {
    fetch: createDpopFetch({ getToken: () => "token", key, origins: [url.origin] }),
  });
  await client.connect(transport);
  const result = await client.callTool({ name: "hello", arguments: {} });
  await client.close();

  assert.deepEqual(result.content, [{ type: "text", text: "hello" }]);
  assert.ok(seen.length >= 3, "initialize, initialized and the call");
  const ids = new Set<unknown>();
  for (const { method, authorization, proof } of seen) {
    assert.equal(authorization, "DPoP token");
    const { payload } = await jwtVerify(proof, EmbeddedJWK, { typ: "dpop+jwt" });
    assert.equal(payload["htu"], url.href);
    assert.equal(payload["htm"], method);
    ids.add(payload.jti);
  }
  assert.equal(ids.size, seen.length);
});
