// In: the raw headers of a request on an MCP route. Out: those that speak of the message, decoded, or a denial.
// Trusts: nothing. A name that a server might fold into one of these, or one that occurs twice, is refused.
import { type Denial, deny } from "../../errors.ts";
import { err, ok, type Result } from "../../lib/result.ts";

export interface McpHeaders {
  /** `MCP-Protocol-Version`. */
  readonly version: string | undefined;
  /** `Mcp-Method`. */
  readonly method: string | undefined;
  /** `Mcp-Name`, decoded. */
  readonly name: string | undefined;
  /** `MCP-Session-Id`, as the client sent it. */
  readonly session: string | undefined;
  readonly origin: string | undefined;
  /** `Mcp-Param-*` by the rest of the name in lower case, decoded. */
  readonly parameters: ReadonlyMap<string, string>;
}

const READ = new Set(["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id", "origin", "last-event-id"]);

/** `x-mcp-header` names a parameter with any sign that a header name may have. */
const PARAMETER = "mcp-param-";

const ODD_NAME = /[^a-z0-9-]/;
const ODD_CHARACTERS = /[^a-z0-9-]/g;

/** MCP 2026-07-28, streamable HTTP, "Value Encoding": visible ASCII, space and tab. */
const PLAIN = /^[\t\x20-\x7e]*$/;
const SENTINEL_START = "=?base64?";
const SENTINEL_END = "?=";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Errors: mcp.header_mismatch, mcp.bad_origin, exchange.forbidden_header. */
export function readMcpHeaders(raw: readonly string[]): Result<McpHeaders, Denial> {
  const seen = new Map<string, string>();
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = (raw[index] ?? "").toLowerCase();
    const value = raw[index + 1] ?? "";
    if (name === "connection" && dropsOurs(value)) {
      return err(deny("exchange.forbidden_header", "Connection names a header of MCP"));
    }
    if (ODD_NAME.test(name) && isVariant(name)) return err(deny("exchange.forbidden_header", "a variant of a name"));
    if (!READ.has(name) && !name.startsWith("mcp-")) continue;
    if (seen.has(name)) {
      return err(name === "origin" ? deny("mcp.bad_origin", "two") : deny("mcp.header_mismatch", `${name} twice`));
    }
    if (!PLAIN.test(value)) return err(deny("mcp.header_mismatch", `${name} has other characters`));
    seen.set(name, value);
  }
  const name = decodeValue(seen.get("mcp-name"));
  if (!name.ok) return name;
  const parameters = readParameters(seen);
  if (!parameters.ok) return parameters;
  return ok({
    version: seen.get("mcp-protocol-version"),
    method: seen.get("mcp-method"),
    name: name.value,
    session: seen.get("mcp-session-id"),
    origin: seen.get("origin"),
    parameters: parameters.value,
  });
}

function readParameters(seen: ReadonlyMap<string, string>): Result<ReadonlyMap<string, string>, Denial> {
  const parameters = new Map<string, string>();
  for (const [name, value] of seen) {
    if (!name.startsWith(PARAMETER)) continue;
    const decoded = decodeValue(value);
    if (!decoded.ok) return decoded;
    parameters.set(name.slice(PARAMETER.length), decoded.value ?? "");
  }
  return ok(parameters);
}

/** The text behind `=?base64?...?=`, or the value itself. Only the one canonical spelling of it is taken. */
export function decodeValue(value: string | undefined): Result<string | undefined, Denial> {
  if (value?.startsWith(SENTINEL_START) !== true || !value.endsWith(SENTINEL_END)) return ok(value);
  const encoded = value.slice(SENTINEL_START.length, -SENTINEL_END.length);
  const bytes = Buffer.from(encoded, "base64");
  // In `=?base64?=` the two marks share a sign, so that another reader may take it for the text that it is.
  const isWhole = value.length >= SENTINEL_START.length + SENTINEL_END.length;
  if (!isWhole || bytes.toString("base64") !== encoded) return err(deny("mcp.header_mismatch", "not Base64"));
  try {
    return ok(utf8.decode(bytes));
  } catch {
    return err(deny("mcp.header_mismatch", "not UTF-8"));
  }
}

/** CGI-like servers make one name of `mcp_name` and `mcp-name`. */
function isVariant(name: string): boolean {
  const folded = name.replaceAll(ODD_CHARACTERS, "-");
  return READ.has(folded) || (folded.startsWith("mcp-") && !name.startsWith(PARAMETER));
}

function dropsOurs(value: string): boolean {
  return value.split(",").some((part) => {
    const option = part.trim().toLowerCase();
    return READ.has(option) || option.startsWith("mcp-");
  });
}
