// In: one configured listener and its port. Out: an HTTP/1.1 server whose every event goes through the pipeline.
// Node's parser does the framing, strictly; what it refuses is answered and logged here, so that no exchange is silent.
import { constants } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ListenerConfig, LimitsConfig } from "../../config/schema.ts";
import { type Denial, deny, REASONS } from "../../errors.ts";
import { type ConnectionLimit, limitConnections, type PeerConnections } from "../../lib/limit-connections.ts";
import { answerOnSocket } from "../exchange/answer.ts";
import type { RefusalPace } from "./refusal-pace.ts";
import type { ListenerFacts } from "./services.ts";

export interface ListenerHandlers {
  request(listener: ListenerFacts, request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void;
  upgrade(listener: ListenerFacts, request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** A request that could not be parsed, or asked for CONNECT: answered already with `requestId`. */
  refused(listener: ListenerFacts, denial: Denial, requestId: string, socket: Socket): void;
  /** The body of a request that is being judged or forwarded broke off or took too long: its own exchange says so. */
  broken(request: IncomingMessage, denial: Denial, socket: Socket): void;
  /** A connection that was closed at once, before TLS and before any request. */
  dropped(listener: ListenerFacts, limit: ConnectionLimit, address: string): void;
  /** Nobody is proven by what cannot be read. */
  readonly pace: RefusalPace;
  nextId(): string;
}

/** How often the server looks for connections that took too long. */
const CONNECTION_CHECK_MS = 1000;

/** `peers` is shared by all listeners of the thread. */
export function createListener(
  config: ListenerConfig & { readonly resumesSessions: boolean },
  limits: LimitsConfig,
  peers: PeerConnections,
  handlers: ListenerHandlers,
): Server {
  const facts: ListenerFacts = {
    name: config.name,
    scheme: config.tls === undefined ? "http" : "https",
    clientCertificates: config.tls !== undefined && config.tls.client_certificates !== "off",
  };
  const options = {
    maxHeaderSize: limits.header_bytes_max,
    headersTimeout: limits.headers_timeout_ms,
    requestTimeout: limits.request_timeout_ms,
    // A client that opens TCP and never speaks TLS must not hold a connection for Node's two minutes.
    handshakeTimeout: limits.headers_timeout_ms,
    keepAliveTimeout: limits.idle_timeout_ms,
    connectionsCheckingInterval: CONNECTION_CHECK_MS,
    // Never on by accident, for example by a flag of the process: lenient framing is request smuggling.
    insecureHTTPParser: false,
    // A request without Host is answered by the pipeline, so that it is logged like any other.
    requireHostHeader: false,
    noDelay: true,
  };
  const server =
    config.tls === undefined
      ? createHttpServer(options)
      : createHttpsServer({ ...options, ...tlsOptions(config.tls, config.resumesSessions) });
  // Node drops header lines beyond its own count in silence (H01); ours is checked, and answered, by the pipeline.
  server.maxHeadersCount = 0;
  limitConnections(server, {
    connectionsMax: limits.connections_max,
    peers,
    onRefused: (limit, address) => handlers.dropped(facts, limit, address),
  });
  server.on("request", (request, response) => handlers.request(facts, request, response, false));
  server.on("checkContinue", (request, response) => handlers.request(facts, request, response, true));
  // An expectation that we do not know is refused by the pipeline, in its turn (RFC 9110 section 10.1.1).
  server.on("checkExpectation", (request, response) => handlers.request(facts, request, response, false));
  server.on("connect", (request) => refuseUnlessOpen(request.socket, deny("exchange.connect_refused")));
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    if (openExchange(socket) !== undefined)
      refuseUnlessOpen(request.socket, deny("exchange.upgrade_refused", "behind an open request"));
    else handlers.upgrade(facts, request, socket, head);
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    // More of it came while its refusal waited.
    if (refused.has(socket)) return;
    const open = openExchange(socket);
    // The end of the connection is no end of a body: the client left in the middle of it.
    const left = error.code === "HPE_INVALID_EOF_STATE" && open?.req.complete === false;
    // The client is gone, or an answer on this connection is under way: nothing can be said.
    if (error.code === "ECONNRESET" || left || !socket.writable || open?.headersSent === true) {
      socket.destroy();
    } else if (open === undefined) {
      refuse(socket as Socket, denialFor(error));
    } else if (!open.req.complete) {
      handlers.broken(open.req, denialFor(error), socket as Socket);
    } else {
      // Garbage behind a whole request: an answer to it would be taken for the answer to that request. Nothing more is
      // read, and the connection ends when that answer is out.
      open.shouldKeepAlive = false;
      open.once("close", () => socket.destroy());
      handlers.refused(facts, denialFor(error), handlers.nextId(), socket as Socket);
    }
  });

  /** Connections whose last words are given, or wait to be. */
  const refused = new WeakSet<Duplex>();

  function refuse(socket: Socket, denial: Denial): void {
    const requestId = handlers.nextId();
    refused.add(socket);
    socket.pause();
    handlers.pace.give(socket, () => answerOnSocket(socket, { denial, requestId }));
    handlers.refused(facts, denial, requestId, socket);
  }

  /** Bytes written behind an open request would stand inside of its answer, or be taken for it. */
  function refuseUnlessOpen(socket: Socket, denial: Denial): void {
    if (openExchange(socket) !== undefined) socket.destroy();
    refuse(socket, denial);
  }
  return server;
}

function tlsOptions(tls: NonNullable<ListenerConfig["tls"]>, resumesSessions: boolean): object {
  return {
    cert: readFileSync(tls.certificate),
    key: readFileSync(tls.key),
    ...(tls.client_ca === undefined ? {} : { ca: readFileSync(tls.client_ca) }),
    minVersion: "TLSv1.2",
    ALPNProtocols: ["http/1.1"],
    requestCert: tls.client_certificates !== "off",
    // TLSv1.3 has other tickets then, whose sessions nobody keeps: each handshake is a full one.
    ...(resumesSessions || tls.client_certificates === "off" ? {} : { secureOptions: constants.SSL_OP_NO_TICKET }),
    // `optional`: the connection stands, and `token/` refuses a certificate that the handshake did not trust.
    rejectUnauthorized: tls.client_certificates === "required",
  };
}

/** The answer that is owed first on this connection, if any; a request that is upgraded has none of its own. */
function openExchange(socket: Duplex): ServerResponse | undefined {
  return (socket as Duplex & { _httpMessage?: ServerResponse | null })._httpMessage ?? undefined;
}

function denialFor(error: NodeJS.ErrnoException): Denial {
  if (error.code === "HPE_HEADER_OVERFLOW") return deny("exchange.headers_too_large");
  if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") return deny("exchange.timeout");
  return deny("exchange.malformed", error.code ?? error.message);
}

/** Resolves when the server listens. Rejects with the system's error. */
export function listen(server: Server, address: string, port: number, reusePort: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: address, port, reusePort, backlog: server.maxConnections }, () => {
      server.off("error", reject);
      // A listener that fails later ends its thread, so that a successor listens in its place.
      server.on("error", (error) => {
        throw error;
      });
      resolve();
    });
  });
}

export function statusOf(denial: Denial): number {
  return REASONS[denial.reason].status;
}
