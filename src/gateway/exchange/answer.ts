// In: a denial and the response it belongs to. Out: an RFC 9457 problem document that tells the code and no policy detail,
// or on a route of kind `mcp` a JSON-RPC error that tells the same.
// Trusts: nothing of the request goes into the answer but the gateway's own request id.
import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { errorObject } from "../../action/mcp/error-object.ts";
import type { RpcId } from "../../action/mcp/parse-message.ts";
import { type Denial, type Reason, REASONS } from "../../errors.ts";

/** What a 401 adds (RFC 9449 section 7.1, RFC 9110 section 11.6.1). */
export interface Challenge {
  readonly wwwAuthenticate?: string | undefined;
  /** What the challenge of a 403 names, for a reader of bodies: see `requiredScope`. */
  readonly scope?: string | undefined;
  readonly dpopNonce?: string | undefined;
}

export interface Answer extends Challenge {
  readonly denial: Denial;
  readonly requestId: string;
  /** Value of `Allow` for a 405. */
  readonly allow?: string | undefined;
  /** Of a 429 or 503: null where waiting does not help; RETRY_AFTER_S where absent. */
  readonly retryAfterS?: number | null | undefined;
  /** The rest of the request was not read: the connection cannot be used again. */
  readonly close: boolean;
  /** Where the caller speaks MCP: the id of its request, and the versions that are spoken here. */
  readonly rpc?: { readonly id: RpcId | undefined; readonly versions: readonly string[] } | undefined;
}

/** Seconds after which a 429 or 503 is worth another try. */
const RETRY_AFTER_S = 1;

/** A document up to the request id: all that differs between two refusals for one reason. */
const documents = new Map<Reason, string>();

/** The problem document (RFC 9457 section 3) as JSON text. ASCII, so that its characters are its bytes. */
export function problemDocument({ reason }: Denial, requestId: string): string {
  let start = documents.get(reason);
  if (start === undefined) {
    const { status, code, title } = REASONS[reason];
    start = `${JSON.stringify({ type: `urn:cordon:problem:${code}`, title, status, code }).slice(0, -1)},"request_id":"`;
    documents.set(reason, start);
  }
  return `${start}${requestId}"}`;
}

/** ASCII too. */
function bodyOf({ denial, requestId, scope, rpc }: Omit<Answer, "close">): string {
  if (rpc !== undefined) return errorObject(denial, rpc.id, requestId, { supported: rpc.versions, scope });
  const document = problemDocument(denial, requestId);
  return scope === undefined ? document : `${document.slice(0, -1)},"scope":${JSON.stringify(scope)}}`;
}

/** Names and values in one flat list. */
function headersOf(answer: Answer, body: string): string[] {
  const { status } = REASONS[answer.denial.reason];
  const headers = [
    "content-type",
    answer.rpc === undefined ? "application/problem+json" : "application/json",
    "content-length",
    String(body.length),
    "cache-control",
    "no-store",
    "x-cordon-request-id",
    answer.requestId,
  ];
  if (answer.wwwAuthenticate !== undefined) headers.push("www-authenticate", answer.wwwAuthenticate);
  if (answer.dpopNonce !== undefined) headers.push("dpop-nonce", answer.dpopNonce);
  if (answer.allow !== undefined) headers.push("allow", answer.allow);
  const retryAfterS = answer.retryAfterS === undefined ? RETRY_AFTER_S : answer.retryAfterS;
  if ((status === 429 || status === 503) && retryAfterS !== null) headers.push("retry-after", String(retryAfterS));
  if (answer.close) headers.push("connection", "close");
  return headers;
}

/** Answers a request. Does nothing where the response has begun: its socket is destroyed instead, never ended cleanly. */
export function answerDenial(response: ServerResponse, answer: Answer): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status } = REASONS[answer.denial.reason];
  // Nobody is there to read a 499; the status stands in the log only.
  if (status === 499) {
    response.destroy();
    return;
  }
  const body = bodyOf(answer);
  response.writeHead(status, headersOf(answer, body));
  // Head and body leave in one write; as latin1 they need no second look at their characters.
  response.end(body, "latin1");
}

/** Answers on a bare socket (an upgrade, CONNECT or a request that did not parse) and closes it. */
export function answerOnSocket(socket: Duplex, answer: Omit<Answer, "close">): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const body = bodyOf(answer);
  const { status } = REASONS[answer.denial.reason];
  const headers = headersOf({ ...answer, close: true }, body);
  let head = "";
  for (let at = 0; at < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`;
  socket.end(`HTTP/1.1 ${status} ${STATUS_TEXT[status] ?? "Error"}\r\n${head}\r\n${body}`, () => socket.destroy());
}

const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  421: "Misdirected Request",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};
