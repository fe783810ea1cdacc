// In: nothing. Out: the MCP server of the bench as the gateway, its policy and its callers know it: routes, rules, messages.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { packageRoot } from "../../src/lib/package-root.ts";
import { toolName } from "./mcp-tools.ts";
import type { Message } from "./stage.ts";
import { MCP_PATH } from "./upstream.ts";

const SERVER = "bench";
export const MCP_SCOPE = `call:mcp:${SERVER}`;
/** Lists and streams are answered by a server of Node (mcp-tool.ts), calls by nginx. */
export const LIVE_PATH = "/live";
export const TOOLS = 500;
/** Every second one. */
export const VISIBLE_TOOLS = TOOLS / 2;
/** A cursor that asks for a list of one tool: what a list costs beside its length. */
export const ONE_TOOL = "one";

const VERSION = "2026-07-28";
const META = {
  "io.modelcontextprotocol/protocolVersion": VERSION,
  "io.modelcontextprotocol/clientInfo": { name: "bench", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};
/** More than a route has by itself: each open stream is a connection to the tool. */
const TOOL_CONNECTIONS = 1500;

export function mcpRoutes(callOrigin: string, liveOrigin: string): object[] {
  const resource = { type: "mcp_tools", classification: "internal", attributes: { server: SERVER } };
  const upstream = { allow_private_addresses: true, connections_max: TOOL_CONNECTIONS };
  return [
    { name: "mcp", path: MCP_PATH, url: callOrigin },
    { name: "mcp-live", path: LIVE_PATH, url: liveOrigin },
  ].map(({ url, ...route }) => ({
    ...route,
    kind: "mcp",
    methods: ["POST", "GET", "DELETE"],
    resource,
    upstream: { ...upstream, url },
  }));
}

/** Writes the data of the shipped policy with the tools of this server. Returns the file. */
export function writeMcpPolicyData(folder: string): string {
  const shipped = path.join(packageRoot(import.meta.url), "policies", "data.json");
  const data = JSON.parse(readFileSync(shipped, "utf8")) as { mcp: Record<string, unknown> };
  const rule = { purposes: ["rank-candidates"], arguments_max: { limit: 100 } };
  const tools = Object.fromEntries(Array.from({ length: VISIBLE_TOOLS }, (_, index) => [toolName(index * 2), rule]));
  const file = path.join(folder, "mcp-policy-data.json");
  writeFileSync(file, JSON.stringify({ ...data, mcp: { ...data.mcp, [SERVER]: { tools } } }));
  return file;
}

function message(target: string, method: string, params: Readonly<Record<string, unknown>>): Message {
  const { name } = params;
  return {
    path: target,
    headers: {
      "Content-Type": "application/json",
      Accept: "application/json, text/event-stream",
      "MCP-Protocol-Version": VERSION,
      "Mcp-Method": method,
      ...(typeof name === "string" ? { "Mcp-Name": name } : {}),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: META } }),
  };
}

/** A call whose arguments are JSON of exactly so many bytes: members and lists of them, as a search has. */
export function callOf(argumentBytes: number): Message {
  const filters: unknown[] = [];
  const argumentsOf = (text: string) => ({ query: "typescript postgres kubernetes", limit: 20, filters, text });
  const size = (): number => JSON.stringify(argumentsOf("")).length;
  while (size() < argumentBytes / 2) filters.push({ field: `skill-${filters.length}`, at_least: filters.length % 10 });
  const text = "to be read as it is ".repeat(argumentBytes).slice(0, argumentBytes - size());
  return message(MCP_PATH, "tools/call", { name: toolName(0), arguments: argumentsOf(text) });
}

/** Before any call: from then on the tool is pinned, and what a call says is held against its schema. */
export const LIST_OF_CALLED: Message = message(MCP_PATH, "tools/list", {});

export const listOf = (cursor?: string): Message =>
  message(LIVE_PATH, "tools/list", cursor === undefined ? {} : { cursor });

/** A call that is answered by a stream of so many events, one each `everyMs`, the first after `offsetMs`. */
export const watchOf = (count: number, everyMs: number, offsetMs: number): Message =>
  message(LIVE_PATH, "tools/call", {
    name: toolName(0),
    arguments: { query: "events", limit: 1, count, everyMs, offsetMs },
  });

/** Of the stream that a client of 2025-11-25 keeps open for what the server has to say. */
export const STREAM_HEADERS = { Accept: "text/event-stream", "MCP-Protocol-Version": "2025-11-25" } as const;
