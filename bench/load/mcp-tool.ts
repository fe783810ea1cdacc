// In: `--port N`. Out: an MCP server on loopback until SIGTERM: a list of 500 tools, streams with events, streams at rest.
// An event tells when it was written, by the clock that all processes of the machine share.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { ONE_TOOL, TOOLS } from "./mcp-messages.ts";
import { listAnswer, toolOf } from "./mcp-tools.ts";

const { values } = parseArgs({ options: { port: { type: "string", default: "0" } } });

const tools = Array.from({ length: TOOLS }, (_, index) => toolOf(index));
const WHOLE_LIST = listAnswer(tools);
const LIST_OF_ONE = listAnswer(tools.slice(0, 1));

interface Asked {
  readonly method: string;
  readonly params: {
    readonly cursor?: string;
    readonly arguments?: { readonly count: number; readonly everyMs: number; readonly offsetMs: number };
  };
}

async function onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === "GET") return startEvents(response);
  const { method, params } = JSON.parse(await text(request)) as Asked;
  if (method === "tools/list") {
    const body = params.cursor === ONE_TOOL ? LIST_OF_ONE : WHOLE_LIST;
    response.writeHead(200, { "content-type": "application/json", "content-length": body.length }).end(body);
  } else if (params.arguments !== undefined) {
    startEvents(response);
    sendEvents(response, params.arguments);
  } else response.writeHead(400).end();
}

function startEvents(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  // A comment, so that the head leaves at once.
  response.write(": open\n\n");
}

function sendEvents(
  response: ServerResponse,
  { count, everyMs, offsetMs }: { readonly count: number; readonly everyMs: number; readonly offsetMs: number },
): void {
  const startMs = performance.now() + offsetMs;
  let sent = 0;
  const send = (): void => {
    if (response.destroyed) return;
    if (sent >= count) {
      response.end('event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{"content":[]}}\n\n');
      return;
    }
    sent += 1;
    const params = { progressToken: "bench", progress: sent, message: String(process.hrtime.bigint()) };
    const data = JSON.stringify({ jsonrpc: "2.0", method: "notifications/progress", params });
    response.write(`event: message\nid: ${sent}\ndata: ${data}\n\n`);
    setTimeout(send, startMs + sent * everyMs - performance.now());
  };
  setTimeout(send, offsetMs);
}

const server = createServer((request, response) => {
  onRequest(request, response).catch(() => response.destroy());
});
server.listen(Number(values.port), "127.0.0.1", () => process.stdout.write("ready\n"));
process.once("SIGTERM", () => process.exit(0));
