// In: a body that the strict parser has read. Out: the one JSON-RPC 2.0 message that it is, or a denial with the id to
// answer. Trusts: that names occur once (parse-json.ts). A message that two readers could take for two things is refused.
import { type Denial, deny } from "../../errors.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import { isObject } from "../../lib/strict-json.ts";

/** MCP takes strings and integers; JSON-RPC's null and fractions are not unique, or not the same number to everyone. */
export type RpcId = string | number;

export type McpMessage =
  | { readonly kind: "request"; readonly id: RpcId; readonly method: string; readonly params: RpcParams }
  | { readonly kind: "notification"; readonly id: undefined; readonly method: string; readonly params: RpcParams }
  | { readonly kind: "response"; readonly id: RpcId | undefined; readonly outcome: RpcParams };

export type RpcParams = Readonly<Record<string, unknown>>;

export interface McpFault {
  readonly denial: Denial;
  /** Of the request that is refused; undefined where it has none that can be repeated. */
  readonly id: RpcId | undefined;
}

/** An id is repeated in the answer and kept by nobody; longer than this it is no id. */
const ID_CHARACTERS_MAX = 1024;

const NO_PARAMS: RpcParams = Object.freeze({});

/** JSON-RPC 2.0 sections 4 and 5, as MCP narrows them; batches (section 6) left MCP with 2025-06-18. */
export function parseMessage(value: unknown): Result<McpMessage, McpFault> {
  if (Array.isArray(value)) return fault(deny("mcp.batch"), undefined);
  if (!isObject(value)) return fault(deny("mcp.message", "not an object"), undefined);
  const { jsonrpc, id, method } = value;
  const known = isId(id) ? id : undefined;
  if (jsonrpc !== "2.0") return fault(deny("mcp.message", "jsonrpc is not 2.0"), known);
  if ("id" in value && known === undefined) return fault(deny("mcp.message", "id"), undefined);
  return "method" in value ? parseCall(value, method, known) : parseResponse(value, known);
}

function parseCall(value: RpcParams, method: unknown, id: RpcId | undefined): Result<McpMessage, McpFault> {
  if (typeof method !== "string" || method === "") return fault(deny("mcp.message", "method"), id);
  if (!hasOnly(value, ["jsonrpc", "id", "method", "params"])) return fault(deny("mcp.message", "a further member"), id);
  const params = "params" in value ? value["params"] : NO_PARAMS;
  if (!isObject(params)) return fault(deny("mcp.params", "params is not an object"), id);
  return ok(id === undefined ? { kind: "notification", id, method, params } : { kind: "request", id, method, params });
}

function parseResponse(value: RpcParams, id: RpcId | undefined): Result<McpMessage, McpFault> {
  const member = "result" in value ? "result" : "error";
  // An error may answer a request whose id could not be read; a result always belongs to one.
  const whole = isObject(value[member]) && (id !== undefined || member === "error");
  // No id is told: it is the server's own, not one that the client waits for.
  if (!whole || !hasOnly(value, ["jsonrpc", "id", member])) return fault(deny("mcp.message", "response"), undefined);
  return ok({ kind: "response", id, outcome: { [member]: value[member] } });
}

function isId(value: unknown): value is RpcId {
  return typeof value === "string" ? value.length <= ID_CHARACTERS_MAX : Number.isSafeInteger(value);
}

function hasOnly(value: RpcParams, members: readonly string[]): boolean {
  return Object.keys(value).every((name) => members.includes(name));
}

function fault(denial: Denial, id: RpcId | undefined): Result<never, McpFault> {
  return err({ denial, id });
}
