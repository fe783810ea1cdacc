// In: a denial of a message, and the id of its request. Out: the JSON-RPC error response that tells it.
// It tells the public code of errors.ts and no policy detail; `data.code` is what a model can act on.
import { type Denial, REASONS, type Reason } from "../../errors.ts";
import type { RpcId } from "./parse-message.ts";

/** JSON-RPC 2.0 section 5.1, and MCP's own from -32020 on (schema/2026-07-28/schema.ts, "MCP error codes"). */
const PARSE_ERROR = -32_700;
const INVALID_REQUEST = -32_600;
const METHOD_NOT_FOUND = -32_601;
const INVALID_PARAMS = -32_602;
const INTERNAL_ERROR = -32_603;
const HEADER_MISMATCH = -32_020;
const UNSUPPORTED_PROTOCOL_VERSION = -32_022;
/** Up to -32019 an implementation's own: -32001 is what the public SDK's servers say of a dead session. */
const SESSION_NOT_FOUND = -32_001;
const DENIED = -32_003;
const REFUSED = -32_000;

const CODES: Partial<Record<Reason, number>> = {
  "body.malformed": PARSE_ERROR,
  "mcp.batch": INVALID_REQUEST,
  "mcp.message": INVALID_REQUEST,
  "mcp.id_in_use": INVALID_REQUEST,
  "mcp.params": INVALID_PARAMS,
  "mcp.arguments_invalid": INVALID_PARAMS,
  "budget.argument": INVALID_PARAMS,
  "mcp.unknown_method": METHOD_NOT_FOUND,
  "mcp.unknown_method_in_session": METHOD_NOT_FOUND,
  "mcp.header_mismatch": HEADER_MISMATCH,
  "mcp.version": UNSUPPORTED_PROTOCOL_VERSION,
  "mcp.session": SESSION_NOT_FOUND,
};

export function rpcCode(reason: Reason): number {
  const known = CODES[reason];
  if (known !== undefined) return known;
  if (reason.startsWith("body.")) return INVALID_REQUEST;
  const { status } = REASONS[reason];
  if (status === 403) return DENIED;
  return status === 500 ? INTERNAL_ERROR : REFUSED;
}

const BEYOND_ASCII = /[\u0080-\uffff]/g;

/** JSON text in ASCII. `supported` are the versions that a refused one is answered with, `scope` what a denied one lacks. */
export function errorObject(
  denial: Denial,
  id: RpcId | undefined,
  requestId: string,
  told: { readonly supported?: readonly string[]; readonly scope?: string | undefined } = {},
): string {
  const { status, code, title } = REASONS[denial.reason];
  const versions =
    denial.reason === "mcp.version" ? { supported: told.supported ?? [], requested: denial.detail ?? "" } : {};
  const scope = told.scope === undefined ? {} : { scope: told.scope };
  const text = JSON.stringify({
    jsonrpc: "2.0",
    // Of a request whose id is not known, MCP's error response has none.
    ...(id === undefined ? {} : { id }),
    error: {
      code: rpcCode(denial.reason),
      message: title,
      data: { code, status, request_id: requestId, ...versions, ...scope },
    },
  });
  // The id is the client's own text.
  return text.replace(BEYOND_ASCII, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
