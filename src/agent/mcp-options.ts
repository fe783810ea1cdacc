// In: an agent. Out: the options with which the public MCP SDK's Streamable HTTP transport proves every message.
// A `fetch`, and no `authProvider`: the SDK sends what an auth provider returns as `Bearer`, and a token that is bound to a
// key must never travel so (RFC 9449 section 7.2). The fetch also serves what the SDK itself opens, repeats and resumes.
import type { Agent } from "./create-agent.ts";

export interface McpTransportOptions {
  readonly fetch: (url: string | URL, init?: RequestInit) => Promise<Response>;
}

/** `new StreamableHTTPClientTransport(url, mcpTransportOptions(agent))`. */
export function mcpTransportOptions(agent: Pick<Agent, "fetch">): McpTransportOptions {
  return { fetch: (url, init) => agent.fetch(url, init) };
}
