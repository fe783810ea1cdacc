// In: the stage. Out: a step in which the public MCP client talks to the public MCP server, with the gateway between them.
// Nothing of either knows Cordon; the client is only given a `fetch` that proves possession of its key.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { createOwnAgent, verdictOf } from "../agents.ts";
import { ASSISTANT, SCREENING } from "../demo-config.ts";
import type { Step } from "../run-steps.ts";

export const mcpStep: Step = {
  id: "mcp",
  title: "A public MCP client calls a public MCP server through the gateway.",
  expected: ["tools listed", "get-sum: 2 and 40 make 42", "without the scope: 403 access_denied"],
  async run(stage) {
    const agent = await createOwnAgent(stage.setup(ASSISTANT));
    const url = new URL("/mcp", stage.gateway);
    const transport = new StreamableHTTPClientTransport(url, { fetch: agent.fetch });
    const client = new Client({ name: "cordon-demo", version: "1.0.0" });
    let tools: readonly { name: string }[];
    let sum: string;
    try {
      await client.connect(transport);
      ({ tools } = await client.listTools());
      const result = await client.callTool({ name: "get-sum", arguments: { a: 2, b: 40 } });
      sum = textOf(result.content);
      await transport.terminateSession();
    } finally {
      await client.close();
    }
    const other = await createOwnAgent(stage.setup(SCREENING));
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" });
    const refused = await verdictOf(
      await other.fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body }),
    );
    return {
      facts: [
        tools.some(({ name }) => name === "get-sum") ? "tools listed" : "no such tool listed",
        sum.includes("42") ? "get-sum: 2 and 40 make 42" : `get-sum: ${sum}`,
        `without the scope: ${refused}`,
      ],
      note: `${tools.length} tools`,
    };
  },
};

function textOf(content: unknown): string {
  if (!Array.isArray(content)) return "no content";
  return content.map((part: { text?: unknown }) => (typeof part.text === "string" ? part.text : "")).join(" ");
}
