// In: the stage. Out: steps in which the public MCP client talks to the public MCP server, with the gateway between them.
// Nothing of either knows Cordon; the client is only given a `fetch` that proves possession of its key.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { LATEST_PROTOCOL_VERSION } from "@modelcontextprotocol/sdk/types.js";
import { createOwnAgent, verdictOf } from "../agents.ts";
import { ASSISTANT, SCREENING } from "../demo-config.ts";
import type { Step } from "../run-steps.ts";
import type { Stage } from "../start-stage.ts";

const mcpStep: Step = {
  id: "mcp",
  title: "A public MCP client calls a public MCP server through the gateway.",
  expected: ["lists its own tools alone", "get-sum: 2 and 40 make 42", "without the scope: 403 access_denied"],
  async run(stage) {
    const { names, sum } = await withClient(stage, async (client) => {
      const { tools } = await client.listTools();
      const result = await client.callTool({ name: "get-sum", arguments: { a: 2, b: 40 } });
      return { names: tools.map(({ name }) => name), sum: textOf(result.content) };
    });
    const other = await createOwnAgent(stage.setup(SCREENING));
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" });
    const headers = { "content-type": "application/json", "mcp-protocol-version": LATEST_PROTOCOL_VERSION };
    const refused = await verdictOf(await other.fetch(endpoint(stage), { method: "POST", headers, body }));
    return {
      facts: [
        names.includes("get-sum") && !names.includes("get-env") ? "lists its own tools alone" : `lists ${names.join()}`,
        sum.includes("42") ? "get-sum: 2 and 40 make 42" : `get-sum: ${sum}`,
        `without the scope: ${refused}`,
      ],
      note: `it sees ${names.join(", ")}`,
    };
  },
};

const argumentStep: Step = {
  id: "mcp-argument",
  title: "The same call with one other argument is denied.",
  expected: ["get-sum: 2 and 4000: access_denied"],
  async run(stage) {
    const verdict = await withClient(stage, async (client) => {
      try {
        await client.callTool({ name: "get-sum", arguments: { a: 2, b: 4000 } });
        return "allowed";
      } catch (error) {
        // The client's own error tells the gateway's answer as it came.
        return /"data":\{"code":"([a-z_]+)"/.exec(String(error))?.[1] ?? String(error);
      }
    });
    return { facts: [`get-sum: 2 and 4000: ${verdict}`], note: "a JSON-RPC error with a code that a model can act on" };
  },
};

const redactStep: Step = {
  id: "mcp-redact",
  title: "One field of a tool's result is removed, in the structured result and in its text.",
  expected: ["New York: 33 degrees", "no humidity, neither in the structure nor in the text"],
  async run(stage) {
    const result = await withClient(stage, (client) =>
      client.callTool({ name: "get-structured-content", arguments: { location: "New York" } }),
    );
    const { temperature } = result.structuredContent as { temperature?: unknown };
    const shown = JSON.stringify(result);
    return {
      facts: [
        `New York: ${String(temperature)} degrees`,
        shown.includes("humidity") ? shown : "no humidity, neither in the structure nor in the text",
      ],
      note: textOf(result.content),
    };
  },
};

export const MCP_STEPS: readonly Step[] = [mcpStep, argumentStep, redactStep];

const endpoint = (stage: Stage): URL => new URL("/mcp", stage.gateway);

/** A session of its own for each step. */
async function withClient<T>(stage: Stage, use: (client: Client) => Promise<T>): Promise<T> {
  const agent = await createOwnAgent(stage.setup(ASSISTANT));
  const transport = new StreamableHTTPClientTransport(endpoint(stage), { fetch: agent.fetch });
  const client = new Client({ name: "cordon-demo", version: "1.0.0" });
  try {
    await client.connect(transport);
    const result = await use(client);
    await transport.terminateSession();
    return result;
  } finally {
    await client.close();
  }
}

function textOf(content: unknown): string {
  if (!Array.isArray(content)) return "no content";
  return content.map((part: { text?: unknown }) => (typeof part.text === "string" ? part.text : "")).join(" ");
}
