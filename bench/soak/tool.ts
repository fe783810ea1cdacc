// In: `--port N --jwks FILE`. Out: a tool on loopback until SIGTERM: small answers, event streams, tunnels, an issuer's keys.
// It takes what the gateway forwards and says the same each time; every stream ends by itself after a while.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { parseArgs } from "node:util";
import { TOOL_ANSWER } from "../load/upstream.ts";

const EVENT_INTERVAL_MS = 200;
const EVENTS_MAX = 100;
/** RFC 6455 section 1.3. */
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const { values } = parseArgs({ options: { port: { type: "string" }, jwks: { type: "string" } } });
const jwks = readFileSync(values.jwks ?? "", "utf8");

function streamEvents(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  let sent = 0;
  const timer = setInterval(() => {
    sent += 1;
    response.write(`id: ${sent}\ndata: ${TOOL_ANSWER}\n\n`);
    if (sent >= EVENTS_MAX) response.end();
  }, EVENT_INTERVAL_MS);
  response.once("close", () => clearInterval(timer));
}

const server = createServer({ keepAliveTimeout: 65_000 }, (request, response) => {
  const { url = "" } = request;
  if (url.startsWith("/events/")) return streamEvents(response);
  const text = url === "/jwks" ? jwks : TOOL_ANSWER;
  request.on("error", () => undefined);
  request.resume().once("end", () => {
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
    response.end(text);
  });
});
server.on("upgrade", (request, socket) => {
  const key = String(request.headers["sec-websocket-key"]);
  const accept = createHash("sha1").update(`${key}${WEBSOCKET_GUID}`).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  // What comes goes back: to the gateway a tunnel is bytes.
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
});
server.listen(Number(values.port), "127.0.0.1", () => process.stdout.write("ready\n"));
process.once("SIGTERM", () => process.exit(0));
