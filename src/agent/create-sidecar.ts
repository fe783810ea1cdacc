// In: an agent. Out: a loopback server that adds the agent's proofs to whatever has the secret of this run in its path.
// Whoever has not gets 404 without a word: other users of the machine can reach the port, and learn nothing from it.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { StartedAgent } from "./create-agent.ts";
import { forwardRequest } from "./forward-request.ts";
import { forwardUpgrade } from "./forward-upgrade.ts";
import { createGatewayClient } from "./gateway-client.ts";
import { createRunSecret, locationFor, originFor } from "./sidecar-target.ts";
import { answerOnSocket } from "./socket-answer.ts";

/** What the gateway's default of 32 KiB leaves beside a token of 16 KiB. */
const HEADER_BYTES_MAX = 16_384;
/** One program has few; others on the machine must not use up what the process may open. */
const CONNECTIONS_MAX = 256;
const HEADERS_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 30_000;
/** A body may take as long as the gateway lets it. */
const REQUEST_TIMEOUT_MS = 0;

const NO_TUNNEL =
  "Nobody can sign inside a tunnel: the sidecar adds a proof to each request, so it must see each request. " +
  "Give the program CORDON_BASE_URL as its base URL instead of a proxy.\n";
const NO_SUCH_UPGRADE = "The sidecar passes WebSocket upgrades on, and no other.\n";

export interface Sidecar {
  /** `http://127.0.0.1:PORT/<secret>`: a credential for as long as the sidecar runs. */
  readonly baseUrl: string;
  close(): Promise<void>;
}

export async function createSidecar(started: StartedAgent, gatewayOrigin: string): Promise<Sidecar> {
  const { agent, key } = started;
  const gateway = createGatewayClient({ origin: gatewayOrigin, key, getToken: agent.accessToken });
  const secret = createRunSecret();
  const tunnels = new Set<Duplex>();
  let base = "";
  const mapped = {
    secret: secret.text,
    mapOrigin: (origin: string): string => originFor(origin, gatewayOrigin, base),
    mapLocation: (location: string): string => locationFor(location, gatewayOrigin, base),
  };

  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      insecureHTTPParser: false,
      noDelay: true,
      // A client that offers HTTP/2 or more in passing is served as if it had not (RFC 9110 section 7.8).
      shouldUpgradeCallback: isWebSocket,
    },
    serve,
  );
  server.maxConnections = CONNECTIONS_MAX;
  // Node drops header lines beyond its own count in silence; the gateway counts them, and says so.
  server.maxHeadersCount = 0;

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const target = secret.targetOf(request.url ?? "");
    if (target === undefined) {
      response.writeHead(404, { "content-length": 0, connection: "close" }).end();
      return;
    }
    void forwardRequest(gateway, { request, response, target, ...mapped });
  }

  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    const target = secret.targetOf(request.url ?? "");
    if (target === undefined) return answerOnSocket(socket, "404 Not Found");
    // Where the runtime knows no such callback.
    if (!isWebSocket(request)) {
      return answerOnSocket(socket, "501 Not Implemented", ["Content-Type", "text/plain"], NO_SUCH_UPGRADE);
    }
    tunnels.add(socket);
    socket.once("close", () => tunnels.delete(socket));
    void forwardUpgrade(gateway, { request, socket, head, target, ...mapped });
  });
  server.on("connect", (_request, socket) =>
    answerOnSocket(socket, "405 Method Not Allowed", ["Allow", "GET", "Content-Type", "text/plain"], NO_TUNNEL),
  );
  server.on("clientError", (error: NodeJS.ErrnoException, socket) =>
    answerOnSocket(
      socket,
      error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "404 Not Found",
    ),
  );

  await listenOnLoopback(server);
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${secret.text}`;
  return {
    baseUrl: base,
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      for (const socket of tunnels) socket.destroy();
      gateway.close();
      await closed;
    },
  };
}

function isWebSocket(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === "websocket";
}

async function listenOnLoopback(server: Server): Promise<void> {
  server.listen({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
}
