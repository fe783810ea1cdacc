// In: one request of the program behind the sidecar. Out: the gateway's answer to it, streamed both ways, nothing buffered.
// A request that the gateway refused for its nonce is sent once more; so its body must be kept, or not be sent before the
// gateway has said `100 Continue`. Any other failure is told, never repeated: the gateway does not repeat either.
import type { ClientRequest, IncomingMessage, ServerResponse } from "node:http";
import { CordonError } from "./cordon-error.ts";
import type { GatewayClient, OpenRequest } from "./gateway-client.ts";
import { headersForGateway, headersForProgram, type RequestHeaders } from "./sidecar-headers.ts";

/** A body up to this size is read whole, and can be sent twice. */
const KEPT_BODY_BYTES_MAX = 262_144;
/** A server in front of the gateway may not know `Expect`: RFC 9110 section 10.1.1 says not to wait for ever. */
const CONTINUE_WAIT_MS = 1000;

export interface Exchange extends RequestHeaders {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Path and query at the gateway. */
  readonly target: string;
  readonly mapLocation: (location: string) => string;
}

type Body =
  | { readonly kind: "none"; readonly framing: readonly string[] }
  | { readonly kind: "kept"; readonly framing: readonly string[]; readonly bytes: Buffer }
  | { readonly kind: "streamed"; readonly framing: readonly string[] };

/** Settles when the answer is out or cannot come; never rejects. */
export async function forwardRequest(gateway: GatewayClient, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  const cancel = new AbortController();
  response.once("close", () => cancel.abort());
  try {
    const body = await readBody(request);
    for (let attempt = 1; ; attempt++) {
      if (cancel.signal.aborted) return;
      const { outgoing, accessToken, answer } = await send(gateway, exchange, body, cancel.signal);
      const again = await gateway.mayPassAgain(answer, accessToken);
      if (!again || attempt === 2) return await passOn(answer, outgoing, exchange);
      answer.resume();
      if (body.kind === "streamed" && request.readableDidRead) throw new CordonError("body_not_repeatable", SEND_AGAIN);
    }
  } catch (error) {
    refuse(response, error);
  }
}

const SEND_AGAIN =
  "The gateway asked for a new nonce when a part of this body was already sent. Nothing was done; send the request again.";

async function readBody(request: IncomingMessage): Promise<Body> {
  const length = request.headers["content-length"];
  if (length === undefined && request.headers["transfer-encoding"] === undefined) {
    // Without it Node would announce an empty chunked body.
    const bodiless = ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"].includes(request.method ?? "");
    return { kind: "none", framing: bodiless ? [] : ["Content-Length", "0"] };
  }
  if (length === undefined) return { kind: "streamed", framing: ["Transfer-Encoding", "chunked"] };
  // `Content-Length` itself is passed on with the other headers.
  if (Number(length) > KEPT_BODY_BYTES_MAX) return { kind: "streamed", framing: [] };
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return { kind: "kept", framing: [], bytes: Buffer.concat(chunks) };
}

interface Answered extends OpenRequest {
  readonly answer: IncomingMessage;
}

async function send(gateway: GatewayClient, exchange: Exchange, body: Body, signal: AbortSignal): Promise<Answered> {
  const { request, target } = exchange;
  const expect = body.kind === "streamed" ? ["Expect", "100-continue"] : [];
  const open = await gateway.open({
    method: request.method ?? "GET",
    target,
    headers: headersForGateway(request.rawHeaders, exchange),
    framing: [...body.framing, ...expect],
  });
  const { outgoing } = open;
  const answered = Promise.withResolvers<Answered>();
  outgoing.once("error", (cause) => answered.reject(unreachable(gateway.origin, cause)));
  outgoing.once("response", (answer) => answered.resolve({ ...open, answer }));
  signal.addEventListener("abort", () => outgoing.destroy());
  if (body.kind === "streamed") streamBody(request, outgoing);
  else outgoing.end(body.kind === "kept" ? body.bytes : undefined);
  return answered.promise;
}

/** Not a byte of it before the gateway wants it: what was not read can be sent again. */
function streamBody(request: IncomingMessage, outgoing: ClientRequest): void {
  outgoing.flushHeaders();
  const start = (): void => {
    clearTimeout(timer);
    request.pipe(outgoing);
  };
  const timer = setTimeout(start, CONTINUE_WAIT_MS);
  outgoing.once("continue", start);
  outgoing.once("response", () => {
    clearTimeout(timer);
    outgoing.off("continue", start);
  });
  outgoing.once("close", () => {
    clearTimeout(timer);
    request.unpipe(outgoing);
  });
}

async function passOn(answer: IncomingMessage, outgoing: ClientRequest, exchange: Exchange): Promise<void> {
  const { response, mapLocation } = exchange;
  response.writeHead(
    answer.statusCode ?? 502,
    answer.statusMessage ?? "",
    headersForProgram(answer.rawHeaders, mapLocation),
  );
  // The head of a stream goes out before its first event.
  response.flushHeaders();
  answer.pipe(response, { end: false });
  const done = Promise.withResolvers<void>();
  answer.once("end", () => {
    response.end(() => done.resolve());
  });
  answer.once("close", () => {
    // A cut answer must not look complete.
    if (!answer.complete) response.destroy();
    done.resolve();
  });
  answer.on("error", () => response.destroy());
  outgoing.on("error", () => response.destroy());
  await done.promise;
}

function unreachable(origin: string, cause: Error): CordonError {
  return new CordonError("gateway_unreachable", `The gateway ${origin} cannot be reached; is it running?`, { cause });
}

const STATUS_UNREACHABLE = 502;
const STATUS_UNAVAILABLE = 503;

/** RFC 9457. */
function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const known = error instanceof CordonError ? error : new CordonError("gateway_unreachable", "The request broke off.");
  const status = known.code === "gateway_unreachable" ? STATUS_UNREACHABLE : STATUS_UNAVAILABLE;
  const text = JSON.stringify({ title: known.message, status, code: known.code });
  response.writeHead(status, {
    "content-type": "application/problem+json",
    "content-length": Buffer.byteLength(text),
    // What is left of the body is not read.
    connection: "close",
  });
  response.end(text);
}
