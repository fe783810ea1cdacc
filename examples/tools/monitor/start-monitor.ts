// In: a port. Out: a service that answers every request and keeps what it got: the mirror of quarantined agents.
// What it keeps is bounded; it is for looking at, on loopback, and it never calls anyone.
import { createServer } from "node:http";
import { listenOnLoopback } from "../listen-on-loopback.ts";
import { readBody } from "../read-body.ts";
import { createSeenRequests } from "../seen-requests.ts";

/** Enough to see what an agent tried; with 200 requests kept, at most 13 MB. */
const BODY_BYTES_MAX = 65_536;
const ANSWER = JSON.stringify({ monitored: true });

export interface Monitor {
  readonly url: string;
  /** Requests received since the start, without those for `/_seen`. */
  requests(): number;
  close(): Promise<void>;
}

/** Starts the service; `port` 0 takes a free one. Rejects when the port is taken. */
export async function startMonitor(options: { port: number }): Promise<Monitor> {
  const seen = createSeenRequests();
  const server = createServer((request, response) => {
    const send = (text: string) =>
      response
        .writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) })
        .end(text);
    if (request.url === "/_seen") {
      send(JSON.stringify(seen.asJson()));
      return;
    }
    const entry = seen.add(request);
    readBody(request, BODY_BYTES_MAX).then(
      (body) => {
        entry.body = body ?? "(larger than the monitor keeps)";
        send(ANSWER);
      },
      () => response.destroy(),
    );
  });
  const { url, close } = await listenOnLoopback(server, options.port);
  return { url, requests: () => seen.count(), close };
}
