// In: `--port N --upstream ORIGIN`, and PEM files for TLS. Out: a proxy without any check, until SIGTERM: the yardstick.
// With `--one-signature` it verifies one P-256 signature a request and nothing else: the floor of any gateway with proofs.
// With `--pipeline` it is written as most proxies are, by undici's `request` and node's `pipeline`: to place the yardstick.
// Written as well as the gateway's own forwarding: streaming both ways, keep-alive on both sides, backpressure, no copies.
import { generateKeyPairSync, sign, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { type Dispatcher, Pool } from "undici";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    upstream: { type: "string", default: "" },
    certificate: { type: "string" },
    key: { type: "string" },
    ca: { type: "string" },
    "one-signature": { type: "boolean", default: false },
    pipeline: { type: "boolean", default: false },
  },
});

/** The gateway's own settings for the same things. */
const SERVER_OPTIONS = { keepAliveTimeout: 65_000, noDelay: true };
const pool = new Pool(values.upstream, { connections: 256, pipelining: 1, allowH2: false });

const REQUEST_DROPPED = new Set(["connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "expect"]);
const RESPONSE_DROPPED = new Set(["connection", "keep-alive", "transfer-encoding"]);

/** As long as the signed part of a proof of the bench. */
const SIGNED = Buffer.alloc(420, "a");
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const signature = sign("sha256", SIGNED, { key: pair.privateKey, dsaEncoding: "ieee-p1363" });
const verifyKey = { key: pair.publicKey, dsaEncoding: "ieee-p1363" } as const;

function onSignedRequest(request: IncomingMessage, response: ServerResponse): void {
  if (verify("sha256", SIGNED, verifyKey, signature)) onRequest(request, response);
  else response.writeHead(401).end();
}

function onRequest(request: IncomingMessage, response: ServerResponse): void {
  pool.dispatch(upstreamRequest(request), new BareExchange(response));
}

async function onPipelineRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const { statusCode, headers, body } = await pool.request(upstreamRequest(request));
    response.writeHead(statusCode, responseFields(headers));
    await pipeline(body, response);
  } catch {
    // The tool failed or the client left: which of the two is told by whether the head is out.
    failed(response);
  }
}

function upstreamRequest(request: IncomingMessage): Dispatcher.DispatchOptions {
  const raw = request.rawHeaders;
  const headers: string[] = [];
  let hasBody = false;
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const lower = (raw[index] as string).toLowerCase();
    hasBody ||= lower === "transfer-encoding" || (lower === "content-length" && raw[index + 1] !== "0");
    if (!REQUEST_DROPPED.has(lower)) headers.push(raw[index] as string, raw[index + 1] as string);
  }
  return {
    method: request.method as Dispatcher.HttpMethod,
    path: request.url as string,
    headers,
    body: hasBody ? request : null,
  };
}

function responseFields(headers: Record<string, string | string[] | undefined>): string[] {
  const out: string[] = [];
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (value === undefined || RESPONSE_DROPPED.has(name)) continue;
    if (typeof value === "string") out.push(name, value);
    else for (const one of value) out.push(name, one);
  }
  return out;
}

function failed(response: ServerResponse): void {
  if (response.headersSent) response.destroy();
  else response.writeHead(502).end();
}

class BareExchange implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse;
  #controller: Dispatcher.DispatchController | undefined;
  /** Bytes of the body that are still to come; -1 where the length was not announced. */
  #left = -1;

  constructor(response: ServerResponse) {
    this.#response = response;
    response.on("close", this.#onClose);
  }

  readonly #onClose = (): void => {
    if (!this.#response.writableEnded) this.#controller?.abort(new Error("the client left"));
  };

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[]>,
  ): void {
    if (status < 200) return;
    const length = headers["content-length"];
    this.#left = typeof length === "string" ? Number(length) : -1;
    this.#response.writeHead(status, responseFields(headers));
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#left -= chunk.length;
    // The last byte of a known length: one write instead of two.
    if (this.#left === 0) this.#response.end(chunk);
    else if (!this.#response.write(chunk)) {
      controller.pause();
      this.#response.once("drain", () => controller.resume());
    }
  }

  onResponseEnd(): void {
    if (!this.#response.writableEnded) this.#response.end();
  }

  onResponseError(): void {
    failed(this.#response);
  }
}

const plainHandler = values.pipeline ? onPipelineRequest : onRequest;
const handler = values["one-signature"] ? onSignedRequest : plainHandler;
const server =
  values.certificate === undefined || values.key === undefined
    ? createHttpServer(SERVER_OPTIONS, handler)
    : createHttpsServer(
        {
          ...SERVER_OPTIONS,
          cert: readFileSync(values.certificate),
          key: readFileSync(values.key),
          ...(values.ca === undefined ? {} : { ca: readFileSync(values.ca) }),
          minVersion: "TLSv1.2",
          ALPNProtocols: ["http/1.1"],
          requestCert: values.ca !== undefined,
          rejectUnauthorized: false,
        },
        handler,
      );
server.listen(Number(values.port), "127.0.0.1", () => process.stdout.write("ready\n"));
process.once("SIGTERM", () => process.exit(0));
