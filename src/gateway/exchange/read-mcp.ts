// In: a request of a proven agent on a route of kind `mcp`. Out: the call that policy judges, with the server's own id of
// its session, or a denial. Joins the pure readers of `action/mcp` with what this gateway knows of origins and sessions.
import type { McpAction } from "../../action/mcp/action-text.ts";
import { type McpVersion, SESSION_VERSION } from "../../action/mcp/methods.ts";
import { parseMessage } from "../../action/mcp/parse-message.ts";
import { type McpCall, readCall, readSessionCall } from "../../action/mcp/read-call.ts";
import { type McpHeaders, readMcpHeaders } from "../../action/mcp/read-headers.ts";
import { type Denial, deny } from "../../errors.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import type { Agent } from "../../token/agent.ts";
import type { ExchangeFacts, McpRoute, Route, Services } from "../thread/services.ts";

export interface McpRequest {
  readonly action: McpAction;
  /** The server's own session id, where the client named one that is its. */
  readonly session: string | undefined;
  /** The client's headers without those that its version of MCP does not have. */
  readonly rawHeaders: readonly string[];
}

/** Sessions and resumption left MCP with 2026-07-28: such headers are ignored, and a server of both is not shown them. */
const OF_SESSIONS = new Set(["mcp-session-id", "last-event-id"]);

export interface McpHead {
  readonly headers: McpHeaders;
  readonly session: string | undefined;
}

/** What can be refused before the body is read. */
export function readMcpHead(
  s: Services,
  route: Route,
  mcp: McpRoute,
  agent: Agent,
  rawHeaders: readonly string[],
): Result<McpHead, Denial> {
  const headers = readMcpHeaders(rawHeaders);
  if (!headers.ok) return headers;
  const { origin, version, session: sealed } = headers.value;
  // DNS rebinding: a page that was lured here has its own origin, whatever name it called.
  if (origin !== undefined && !mcp.origins.has(origin)) return err(deny("mcp.bad_origin"));
  if (sealed === undefined || (version !== undefined && version !== SESSION_VERSION)) {
    return ok({ headers: headers.value, session: undefined });
  }
  const session = s.sessions.open(route.config.name, agent, sealed);
  return session === null ? err(deny("mcp.session")) : ok({ headers: headers.value, session });
}

/** `value` is the parsed body, undefined where there is none. Writes the id of the message into `x.rpc`. */
export function readMcpCall(
  x: ExchangeFacts,
  mcp: McpRoute,
  head: McpHead,
  value: unknown,
  rawHeaders: readonly string[],
): Result<McpRequest, Denial> {
  const call = callOf(x, mcp.versions, head.headers, value);
  if (!call.ok) return call;
  x.rpc = { id: call.value.id, call: call.value };
  return ok({
    action: { call: call.value, server: mcp.server },
    session: head.session,
    rawHeaders: call.value.version === SESSION_VERSION ? rawHeaders : withoutSessions(rawHeaders),
  });
}

function callOf(
  x: ExchangeFacts,
  versions: readonly McpVersion[],
  headers: McpHeaders,
  value: unknown,
): Result<McpCall, Denial> {
  if (x.method !== "POST") {
    if (value !== undefined) return err(deny("mcp.message", `${x.method} with a body`));
    return readSessionCall(x.method === "GET" ? "GET" : "DELETE", headers, versions);
  }
  if (value === undefined) return err(deny("mcp.message", "no body"));
  const message = parseMessage(value);
  const call = message.ok ? readCall(message.value, headers, versions) : message;
  if (call.ok) return call;
  x.rpc = { id: call.error.id, call: undefined };
  return err(call.error.denial);
}

function withoutSessions(raw: readonly string[]): readonly string[] {
  const names = raw.filter((_, index) => index % 2 === 0);
  if (!names.some((name) => OF_SESSIONS.has(name.toLowerCase()))) return raw;
  return raw.filter((_, index) => !OF_SESSIONS.has((names[index >> 1] ?? "").toLowerCase()));
}
