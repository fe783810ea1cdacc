// In: the stage. Out: steps in which the public MCP client talks to the public MCP server, with the gateway between them.
// Nothing of either knows Cordon; the client is only given a `fetch` that proves possession of its key.
import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport, StreamableHTTPError } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { LATEST_PROTOCOL_VERSION } from "@modelcontextprotocol/sdk/types.js";
import { createOwnAgent, verdictOf } from "../agents.ts";
import { ASSISTANT, ECHO_CALLS, SCREENING } from "../demo-config.ts";
import type { Step } from "../run-steps.ts";
import type { Stage } from "../start-stage.ts";
import { orchestrator, spawn } from "./agent-steps.ts";

/** Path of the public server. */
const SERVER = "/mcp";

const mcpStep: Step = {
  id: "mcp",
  title: "A public MCP client calls a public MCP server through the gateway.",
  expected: ["lists its own tools alone", "get-sum: 2 and 40 make 42", "without the scope: 403 access_denied"],
  async run(stage) {
    const { names, sum } = await withClient(stage, SERVER, async (client) => {
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
    const verdict = await withClient(stage, SERVER, async (client) => {
      try {
        await client.callTool({ name: "get-sum", arguments: { a: 2, b: 4000 } });
        return "allowed";
      } catch (error) {
        return codeIn(error);
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
    const result = await withClient(stage, SERVER, (client) =>
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

const budgetStep: Step = {
  id: "mcp-budget",
  title: "A task uses up its budget of calls; the next one is refused.",
  expected: ["echo: 200, 200", "the next: 429 budget_exhausted", "another tool: 200"],
  async run(stage) {
    const [next, other, ...within] = await withClient(stage, SERVER, async (client) => {
      const echoes: string[] = [];
      for (let made = 0; made <= ECHO_CALLS; made++)
        echoes.push(await toolVerdict(client, "echo", { message: `call ${made + 1}` }));
      return [echoes.pop(), await toolVerdict(client, "get-sum", { a: 2, b: 40 }), ...echoes];
    });
    return {
      facts: [`echo: ${within.join(", ")}`, `the next: ${next}`, `another tool: ${other}`],
      note: `${ECHO_CALLS} calls in all for each task, counted over both threads`,
    };
  },
};

const revokedStreamStep: Step = {
  id: "stream-revoked",
  title: "An operator revokes an agent: its open stream is cut.",
  expected: [
    "stream: 200 text/event-stream",
    "after: cut",
    "in the access log: stream.cut_revoked",
    "next: 401 invalid_token",
  ],
  async run(stage) {
    const wish = { task: "assist-alice", purpose: "assist", scope: ["call:mcp:everything"], constraints: {} };
    const agent = await spawn(stage, { launchToken: await orchestrator(stage).launch(wish) });
    const stream = await openStream(stage, agent.fetch);
    const ended = readToEnd(stream);
    const openedAt = performance.now();
    await stage.admin.ask("revoke", "agent", agent.id, "--reason", "its laptop was stolen");
    const revokedMs = performance.now() - openedAt;
    const how = await ended;
    const requestId = stream.headers.get("x-cordon-request-id");
    const body = JSON.stringify({ jsonrpc: "2.0", id: 2, method: "ping" });
    const next = await verdictOf(await agent.fetch(endpoint(stage), { method: "POST", headers: HEADERS, body }));
    return {
      facts: [
        `stream: ${stream.status} ${stream.headers.get("content-type")?.split(";")[0]}`,
        `after: ${how}`,
        `in the access log: ${await reasonOf(stage, requestId)}`,
        `next: ${next}`,
      ],
      note: `the command took ${Math.round(revokedMs)} ms`,
    };
  },
};

export const MCP_STEPS: readonly Step[] = [mcpStep, argumentStep, redactStep, budgetStep, revokedStreamStep];

const HEADERS = {
  "content-type": "application/json",
  accept: "application/json, text/event-stream",
  "mcp-protocol-version": LATEST_PROTOCOL_VERSION,
};
const LOOK_AGAIN_MS = 50;

/** The stream on which a server says what nobody asked for; the public client would open it anew each time it ends. */
async function openStream(stage: Stage, send: typeof fetch): Promise<Response> {
  const clientInfo = { name: "cordon-demo", version: "1.0.0" };
  const params = { protocolVersion: LATEST_PROTOCOL_VERSION, capabilities: {}, clientInfo };
  const post = (message: object, headers: Record<string, string>): Promise<Response> =>
    send(endpoint(stage), { method: "POST", headers, body: JSON.stringify({ jsonrpc: "2.0", ...message }) });
  const opened = await post({ id: 1, method: "initialize", params }, HEADERS);
  const session = opened.headers.get("mcp-session-id") ?? "";
  await opened.text();
  const headers = { ...HEADERS, "mcp-session-id": session };
  await (await post({ method: "notifications/initialized" }, headers)).text();
  return send(endpoint(stage), { headers: { ...headers, accept: "text/event-stream" } });
}

/** How a stream ended that its server would have kept open. */
async function readToEnd(stream: Response): Promise<string> {
  try {
    await stream.text();
  } catch {
    // The connection is closed without the end that HTTP has for a whole answer.
  }
  return "cut";
}

/** Lines are written a moment after their exchange has ended. */
async function reasonOf(stage: Stage, requestId: string | null): Promise<string> {
  for (;;) {
    const line = readFileSync(stage.accessLog, "utf8")
      .split("\n")
      .find((one) => one.includes(`"request_id":"${requestId}"`));
    if (line !== undefined) return String((JSON.parse(line) as { reason?: unknown }).reason);
    await wait(LOOK_AGAIN_MS);
  }
}

/** `200`, or for a refusal the status and its code. */
export async function toolVerdict(client: Client, name: string, args: Record<string, unknown>): Promise<string> {
  try {
    await client.callTool({ name, arguments: args });
    return "200";
  } catch (error) {
    return `${error instanceof StreamableHTTPError ? error.code : "no status"} ${codeIn(error)}`;
  }
}

/** The client's own error tells the gateway's answer as it came. */
function codeIn(error: unknown): string {
  return /"data":\{"code":"([a-z_]+)"/.exec(String(error))?.[1] ?? String(error);
}

const endpoint = (stage: Stage): URL => new URL(SERVER, stage.gateway);

/** A session of its own for each step. */
export async function withClient<T>(stage: Stage, path: string, use: (client: Client) => Promise<T>): Promise<T> {
  const agent = await createOwnAgent(stage.setup(ASSISTANT));
  const transport = new StreamableHTTPClientTransport(new URL(path, stage.gateway), { fetch: agent.fetch });
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
