// In: the headers and the message of a request on an MCP route, and the versions it speaks. Out: the call that policy
// judges, or a denial with the id to answer. Trusts: parse-message.ts for the shape; headers and body must agree.
import { type Denial, deny } from "../../errors.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import {
  findMethod,
  isMcpVersion,
  MCP_LISTS,
  type McpClass,
  type McpItemKind,
  type McpList,
  type McpMethod,
  type McpVersion,
  SESSION_VERSION,
} from "./methods.ts";
import { type McpFault, type McpMessage, type RpcId, type RpcParams } from "./parse-message.ts";
import type { McpHeaders } from "./read-headers.ts";
import { isObject } from "../../lib/strict-json.ts";

export interface McpItem {
  readonly kind: McpItemKind;
  readonly name: string;
}

/** What policy sees as `input.action`, beside the server and the HTTP method. */
export interface McpCall {
  readonly version: McpVersion;
  readonly class: McpClass;
  /** The message's method; `response`, `session/stream` and `session/delete` for what has none. */
  readonly method: string;
  readonly id: RpcId | undefined;
  readonly item: McpItem | undefined;
  readonly arguments: RpcParams;
  /** Members of `params` that are no arguments and yet say what is to be done. */
  readonly params: RpcParams | undefined;
  /** Lists that its answer may hold. */
  readonly lists: readonly McpList[];
}

/** Names of items are compared and logged; a URI of this length is no name any more. */
const NAME_CHARACTERS_MAX = 4096;

const VERSION_IN_BODY = "io.modelcontextprotocol/protocolVersion";
const NO_MEMBERS: RpcParams = Object.freeze({});

/** GET opens a stream of the session, on which any answer that was missed may come again; DELETE ends the session. */
export function readSessionCall(
  method: "GET" | "DELETE",
  headers: McpHeaders,
  spoken: readonly McpVersion[],
): Result<McpCall, Denial> {
  const version = headers.version ?? SESSION_VERSION;
  if (!isMcpVersion(version) || !(spoken as readonly string[]).includes(version)) {
    if (spoken.includes(SESSION_VERSION)) return err(deny("mcp.version", headers.version ?? "none"));
    return err(deny("route.method_not_allowed", "no sessions here"));
  }
  if (version !== SESSION_VERSION) return err(deny("route.method_not_allowed", "stateless"));
  if (tellsOfMessage(headers)) {
    return err(deny("mcp.header_mismatch", "names a message, and there is none"));
  }
  return ok({
    version,
    class: "session",
    method: method === "GET" ? "session/stream" : "session/delete",
    id: undefined,
    item: undefined,
    arguments: NO_MEMBERS,
    params: undefined,
    lists: method === "GET" ? Object.values(MCP_LISTS) : [],
  });
}

/** A message in the body of a POST. */
export function readCall(
  message: McpMessage,
  headers: McpHeaders,
  spoken: readonly McpVersion[],
): Result<McpCall, McpFault> {
  const fault = (denial: Denial): Result<never, McpFault> =>
    err({ denial, id: message.kind === "response" ? undefined : message.id });
  const version = versionOf(message, headers);
  if (version === undefined) return fault(deny("mcp.header_mismatch", "no MCP-Protocol-Version"));
  if (!isMcpVersion(version) || !spoken.includes(version)) return fault(deny("mcp.version", version.slice(0, 64)));
  if (message.kind === "response") return readReply(message, headers, version);
  const { id, params } = message;
  const method = findMethod(version, message.method, message.kind);
  if (method === undefined) {
    const detail = message.method.slice(0, 64);
    // To a client with a session a 404 says that the session is over (2025-11-25, "Session Management").
    return fault(
      version === SESSION_VERSION ? deny("mcp.unknown_method_in_session", detail) : deny("mcp.unknown_method", detail),
    );
  }
  const item = readItem(method, params);
  if (item === null) return fault(deny("mcp.params", "what is asked for is not named"));
  if (!hasMeta(message, version)) return fault(deny("mcp.params", "_meta"));
  const disagreement = checkAgreement(message, headers, version, method);
  if (disagreement !== null) return fault(deny("mcp.header_mismatch", disagreement));
  const parts = readArguments(method, params);
  if (parts === null) return fault(deny("mcp.params", "arguments"));
  const { class: messageClass, list } = method;
  const lists = list === undefined ? [] : [list];
  return ok({ version, class: messageClass, method: method.name, id, item, ...parts, lists });
}

/** Sessions exist in one version only, and `initialize` is asked before there is a version to name. */
function versionOf(message: McpMessage, headers: McpHeaders): string | undefined {
  if (headers.version !== undefined) return headers.version;
  const opens = message.kind === "request" && message.method === "initialize";
  return opens || headers.session !== undefined ? SESSION_VERSION : undefined;
}

/** An answer to a request of the server, such as for sampling or elicitation: 2025-11-25 only. */
function readReply(
  message: McpMessage & { readonly kind: "response" },
  headers: McpHeaders,
  version: McpVersion,
): Result<McpCall, McpFault> {
  if (version !== SESSION_VERSION) return err({ denial: deny("mcp.message", "a response"), id: undefined });
  if (tellsOfMessage(headers)) {
    return err({ denial: deny("mcp.header_mismatch", "a response has no method"), id: undefined });
  }
  return ok({
    version,
    class: "reply",
    method: "response",
    id: undefined,
    item: undefined,
    arguments: message.outcome,
    params: undefined,
    lists: [],
  });
}

/**
 * Each request of 2026-07-28 states its version in the body too. Where it does not, no header is at fault, and the code is
 * that of params which are not whole (2026-07-28, "Per-request metadata").
 */
function hasMeta(
  { kind, params }: McpMessage & { readonly kind: "request" | "notification" },
  version: McpVersion,
): boolean {
  if ("_meta" in params && !isObject(params["_meta"])) return false;
  return version === SESSION_VERSION || kind === "notification" || versionInBody(params) !== undefined;
}

function versionInBody({ _meta: meta }: RpcParams): unknown {
  return isObject(meta) ? meta[VERSION_IN_BODY] : undefined;
}

/** What disagrees; null where nothing does. Headers that only 2026-07-28 asks for must also be true where they are sent. */
function checkAgreement(
  message: McpMessage & { readonly kind: "request" | "notification" },
  headers: McpHeaders,
  version: McpVersion,
  method: McpMethod,
): string | null {
  const { params } = message;
  const inBody = versionInBody(params);
  if (inBody !== undefined && inBody !== version) return "MCP-Protocol-Version and the body's version";
  // Which headers a notification needs is not defined in 2026-07-28.
  const required = version !== SESSION_VERSION && message.kind === "request";
  if (headers.method === undefined ? required : headers.method !== message.method) return "Mcp-Method";
  const named = params["name"] ?? params["uri"];
  if (headers.name === undefined ? method.nameRequired === true : headers.name !== named) return "Mcp-Name";
  // They repeat arguments of a tool; which ones, its schema says (tool-gate.ts).
  if (headers.parameters.size > 0 && method.name !== "tools/call") return "Mcp-Param-* and no tool";
  return null;
}

function tellsOfMessage({ method, name, parameters }: McpHeaders): boolean {
  return method !== undefined || name !== undefined || parameters.size > 0;
}

/** Undefined where the method names nothing; null where it should and does not. */
function readItem(method: McpMethod, params: RpcParams): McpItem | undefined | null {
  if (method.item === undefined) return undefined;
  if (method.item !== "ref") return itemOf(method.item.kind, params[method.item.member]);
  const ref = params["ref"];
  if (!isObject(ref)) return null;
  if (ref["type"] === "ref/prompt") return itemOf("prompt", ref["name"]);
  return ref["type"] === "ref/resource" ? itemOf("resource", ref["uri"]) : null;
}

function itemOf(kind: McpItemKind, name: unknown): McpItem | null {
  const usable = typeof name === "string" && name !== "" && name.length <= NAME_CHARACTERS_MAX;
  return usable ? { kind, name } : null;
}

/** Null where `params` has a member that no policy would see, or arguments that are no object. */
function readArguments(method: McpMethod, params: RpcParams): Pick<McpCall, "arguments" | "params"> | null {
  const { _meta: _, ...members } = params;
  if (method.members === undefined) return { arguments: members, params: undefined };
  const { [nameMember(method)]: _name, arguments: given = NO_MEMBERS, ...others } = members;
  if (!isObject(given)) return null;
  let seen: Record<string, unknown> | undefined;
  for (const [name, value] of Object.entries(others)) {
    if (method.members.seen.includes(name)) (seen ??= {})[name] = value;
    else if (!method.members.opaque.includes(name)) return null;
  }
  return { arguments: given, params: seen };
}

function nameMember(method: McpMethod): string {
  return method.item === undefined || method.item === "ref" ? "" : method.item.member;
}
