// H20: streams of an MCP server that are open when their agent is contained.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request, type ServerResponse } from "node:http";
import { after, before, describe, test } from "node:test";
import { mcpRoute, SESSION_VERSION, stateless } from "../fixtures/mcp-route.ts";
import { type ScriptedTool, startScriptedTool } from "../fixtures/scripted-tool.ts";
import { startTestGateway, type TestGateway } from "../fixtures/test-gateway.ts";

describe("H20 streams of an MCP server", { timeout: 60_000 }, () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  before(async () => {
    tool = await startScriptedTool();
    g = await startTestGateway({ routes: [mcpRoute("mcp", tool.url)] });
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  const listen = stateless("subscriptions/listen", { notifications: { toolsListChanged: true } });
  const streams: [string, string, Readonly<Record<string, string | string[]>>, string | undefined][] = [
    [
      "a session's own stream",
      "GET",
      { accept: "text/event-stream", "mcp-protocol-version": SESSION_VERSION },
      undefined,
    ],
    ["a subscription", "POST", listen.headers, listen.body],
    [
      "a call that reports progress",
      "POST",
      stateless("tools/call", { name: "echo" }).headers,
      stateless("tools/call", { name: "echo" }).body,
    ],
  ];
  for (const [title, method, headers, body] of streams) {
    test(`H20 ${title} is cut when its agent is blocked, on both sides and with a reason`, async () => {
      const agent = await g.agent({ task: title.replaceAll(/[^a-z]/g, "") });
      const arriving = new Promise<ServerResponse>((resolve) => {
        tool.handle = (_asked, answer) => resolve(answer);
      });
      const url = `${g.url}/mcp`;
      const asked = request(url, {
        method,
        headers: { ...(await agent.headers(url, method)), ...headers },
        agent: false,
      });
      asked.on("error", () => asked.destroy());
      asked.end(body);
      const answer = await arriving;
      answer.writeHead(200, { "content-type": "text/event-stream" });
      answer.write(": open\n\n");
      const [stream] = (await once(asked, "response")) as [IncomingMessage];
      stream.on("error", () => stream.destroy());
      await once(stream, "data");
      const cutHere = new Promise<void>((resolve) => stream.once("close", resolve));
      const cutThere = new Promise<void>((resolve) => answer.once("close", resolve));
      const change = { id: agent.id, mode: "blocked", reason: "a test" };
      assert.equal((await g.operate("PUT", "/v1/containment/agent", change)).status, 200);
      await Promise.all([cutHere, cutThere]);
      assert.equal(stream.complete, false);
      const mine = (line: Record<string, unknown>): boolean => line["agent"] === agent.id;
      assert.equal((await g.lines("access", mine)).find(mine)?.["reason"], "stream.cut_containment");
    });
  }
});
