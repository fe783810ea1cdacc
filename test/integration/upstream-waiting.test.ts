import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { describe, it, type TestContext } from "node:test";
import type { UpstreamConfig } from "../../src/config/schema.ts";
import type { ForwardOutcome, ForwardRequest } from "../../src/upstream/forwarder.ts";
import { WAITING_BYTES_MAX } from "../../src/upstream/wait-queue.ts";
import { call, type Gateway, gateway, httpTool, upstreamConfig } from "../fixtures/forwarding.ts";

interface BusyTool {
  readonly gate: Gateway;
  /** Paths in the order in which the tool saw them. */
  readonly seen: readonly string[];
  /** Ends the answer that holds the only connection. */
  release(): void;
}

/** A tool with one connection, and an exchange that holds it. */
async function busyTool(
  t: TestContext,
  upstream: Partial<UpstreamConfig> = {},
  changes: Partial<ForwardRequest> = {},
): Promise<BusyTool> {
  const seen: string[] = [];
  let held: http.ServerResponse | null = null;
  const tool = await httpTool(t, (request, response) => {
    seen.push(request.url ?? "");
    request.resume();
    if (request.url !== "/hold") {
      response.end("served");
      return;
    }
    held = response;
    response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
  });
  const gate = await gateway(t, upstreamConfig(tool, { connections_max: 1, ...upstream }), changes);
  const holding = http.get(`${gate.origin}/hold`, { agent: false });
  holding.on("error", () => undefined);
  const [answer] = (await once(holding, "response")) as [http.IncomingMessage];
  answer.resume();
  t.after(() => holding.destroy());
  return { gate, seen, release: () => held?.end() };
}

interface Waiting {
  readonly request: http.ClientRequest;
  readonly response: Promise<http.IncomingMessage>;
  readonly outcome: Promise<ForwardOutcome>;
}

/** A request that waits for the connection; resolves once the gateway has it. */
async function waitingRequest(gate: Gateway, path: string): Promise<Waiting> {
  const next = gate.nextHandle();
  const request = http.get(`${gate.origin}${path}`, { agent: false });
  request.on("error", () => undefined);
  const response = new Promise<http.IncomingMessage>((resolve) => request.once("response", resolve));
  const handle = await next;
  return { request, response, outcome: handle.done };
}

describe("H17, H18: requests that wait for a connection to the tool", () => {
  it("are served in the order in which they came", async (t) => {
    const { gate, seen, release } = await busyTool(t);
    const waiting: Waiting[] = [];
    for (const path of ["/1", "/2", "/3"]) waiting.push(await waitingRequest(gate, path));
    release();
    for (const { response } of waiting) (await response).resume();
    assert.deepEqual(seen, ["/hold", "/1", "/2", "/3"]);
  });

  it("are no longer held when their client has gone, and never reach the tool", async (t) => {
    const { gate, seen, release } = await busyTool(t, {}, { body: Buffer.alloc(WAITING_BYTES_MAX / 2) });
    const abandoned = [await waitingRequest(gate, "/gone"), await waitingRequest(gate, "/gone")];
    // As many bytes wait as may wait: the next body is refused instead of held.
    const refused = await call(gate.origin);
    assert.deepEqual([refused.status, refused.headers["x-reason"]], [503, "gateway.overloaded"]);
    const { queued, pending } = gate.target.pool.stats;
    assert.deepEqual([queued, pending], [0, 0], "undici holds none of them");

    for (const { request } of abandoned) request.destroy();
    for (const { outcome } of abandoned) {
      const { failure, sent } = await outcome;
      assert.deepEqual([failure?.reason, sent], ["exchange.client_closed", false]);
    }
    // Their room is free again while the connection is still taken.
    const next = await waitingRequest(gate, "/next");
    release();
    assert.equal((await next.response).statusCode, 200);
    next.request.destroy();
    assert.deepEqual(seen, ["/hold", "/next"]);
  });

  it("are no longer held when their time is over", async (t) => {
    const { gate } = await busyTool(t, { headers_timeout_ms: 100 });
    const answer = await call(gate.origin);
    assert.deepEqual([answer.status, answer.headers["x-reason"]], [504, "upstream.timeout"]);
    const { queued, pending } = gate.target.pool.stats;
    assert.deepEqual([queued, pending], [0, 0]);
  });

  it("are refused when the gateway closes the tool's connections", async (t) => {
    const { gate } = await busyTool(t);
    const waiting = await waitingRequest(gate, "/late");
    await gate.forwarder.close();
    const answer = await waiting.response;
    assert.deepEqual([answer.statusCode, answer.headers["x-reason"]], [503, "gateway.draining"]);
    waiting.request.destroy();
  });
});
