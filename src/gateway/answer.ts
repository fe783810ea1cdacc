// In: a denial and the response it belongs to. Out: an RFC 9457 problem document that tells the code and no policy detail,
// or on a route of kind `mcp` a JSON-RPC error that tells the same.
// Trusts: nothing of the request goes into the answer but the gateway's own request id.
import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { errorObject } from "../action/mcp/error-object.ts";
import type { RpcId } from "../action/mcp/parse-message.ts";
import { type Denial, REASONS } from "../errors.ts";

/** What a 401 adds (RFC 9449 section 7.1, RFC 9110 section 11.6.1). */
export interface Challenge {
  readonly wwwAuthenticate?: string | undefined;
  readonly dpopNonce?: string | undefined;
}

export interface Answer extends Challenge {
  readonly denial: Denial;
  readonly requestId: string;
  /** Value of `Allow` for a 405. */
  readonly allow?: string | undefined;
  /** The rest of the request was not read: the connection cannot be used again. */
  readonly close: boolean;
  /** Where the caller speaks MCP: the id of its request, and the versions that are spoken here. */
  readonly rpc?: { readonly id: RpcId | undefined; readonly versions: readonly string[] } | undefined;
}

/** Seconds after which a 429 or 503 is worth another try. */
const RETRY_AFTER_S = 1;

/** The problem document (RFC 9457 section 3) as JSON text. */
export function problemDocument(denial: Denial, requestId: string): string {
  const { status, code, title } = REASONS[denial.reason];
  return JSON.stringify({ type: `urn:cordon:problem:${code}`, title, status, code, request_id: requestId });
}

function bodyOf({ denial, requestId, rpc }: Omit<Answer, "close">): string {
  if (rpc === undefined) return problemDocument(denial, requestId);
  return errorObject(denial, rpc.id, requestId, rpc.versions);
}

function headersOf(answer: Answer, bytes: number): [string, string][] {
  const { status } = REASONS[answer.denial.reason];
  const headers: [string, string][] = [
    ["content-type", answer.rpc === undefined ? "application/problem+json" : "application/json"],
    ["content-length", String(bytes)],
    ["cache-control", "no-store"],
    ["x-cordon-request-id", answer.requestId],
  ];
  if (answer.wwwAuthenticate !== undefined) headers.push(["www-authenticate", answer.wwwAuthenticate]);
  if (answer.dpopNonce !== undefined) headers.push(["dpop-nonce", answer.dpopNonce]);
  if (answer.allow !== undefined) headers.push(["allow", answer.allow]);
  if (status === 429 || status === 503) headers.push(["retry-after", String(RETRY_AFTER_S)]);
  if (answer.close) headers.push(["connection", "close"]);
  return headers;
}

/** Answers a request. Does nothing where the response has begun: its socket is destroyed instead, never ended cleanly. */
export function answerDenial(response: ServerResponse, answer: Answer): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = bodyOf(answer);
  const { status } = REASONS[answer.denial.reason];
  // Nobody is there to read a 499; the status stands in the log only.
  if (status === 499) {
    response.destroy();
    return;
  }
  response.writeHead(status, headersOf(answer, Buffer.byteLength(body)).flat());
  response.end(body);
}

/** Answers on a bare socket (an upgrade, CONNECT or a request that did not parse) and closes it. */
export function answerOnSocket(socket: Duplex, answer: Omit<Answer, "close">): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const body = bodyOf(answer);
  const { status } = REASONS[answer.denial.reason];
  const headers = headersOf({ ...answer, close: true }, Buffer.byteLength(body));
  const head = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
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
