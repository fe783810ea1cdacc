import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import type net from "node:net";
import { describe, it, type TestContext } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import type { UpstreamConfig } from "../../src/config/schema.ts";
import { deny } from "../../src/errors.ts";
import { createForwarder } from "../../src/upstream/forwarder.ts";
import { openTunnel, type TunnelHandle, type TunnelRequest } from "../../src/upstream/tunnel.ts";
import { httpTool, listen, rawTool, upstreamConfig } from "../fixtures/forwarding.ts";

interface TunnelGateway {
  readonly origin: string;
  readonly tunnel: Promise<TunnelHandle>;
}

async function tunnelGateway(
  t: TestContext,
  upstream: UpstreamConfig,
  changes: Partial<TunnelRequest> & { credential?: string } = {},
): Promise<TunnelGateway> {
  const forwarder = createForwarder();
  const target = forwarder.prepare(upstream, changes.credential);
  const { promise: tunnel, resolve } = Promise.withResolvers<TunnelHandle>();
  const server = http.createServer();
  server.on("upgrade", (request, socket, head) => {
    const handle = openTunnel({
      target,
      request,
      socket,
      head,
      path: request.url ?? "/",
      identity: [["x-cordon-agent", "me"]],
      beforeSend: () => null,
      ...changes,
    });
    resolve(handle);
    void handle.closed.then(({ failure, opened }) => {
      if (failure !== null && !opened)
        socket.end(`HTTP/1.1 502 Bad Gateway\r\nX-Reason: ${failure.reason}\r\nContent-Length: 0\r\n\r\n`);
    });
  });
  const port = await listen(t, server);
  t.after(() => forwarder.close());
  return { origin: `ws://127.0.0.1:${port}`, tunnel };
}

async function webSocketTool(
  t: TestContext,
  onSocket: (socket: WebSocket, request: http.IncomingMessage) => void,
): Promise<string> {
  const server = http.createServer();
  new WebSocketServer({ server }).on("connection", onSocket);
  return `http://127.0.0.1:${await listen(t, server)}`;
}

async function refusal(client: WebSocket): Promise<[number | undefined, unknown]> {
  client.on("error", () => undefined);
  const [, response] = (await once(client, "unexpected-response")) as [unknown, http.IncomingMessage];
  client.terminate();
  return [response.statusCode, response.headers["x-reason"]];
}

describe("the WebSocket tunnel", () => {
  it("carries messages both ways, counts their bytes, and sends ruled headers and the exact path", async (t) => {
    let seen: http.IncomingMessage | null = null;
    const tool = await webSocketTool(t, (socket, request) => {
      seen = request;
      socket.on("message", (data: Buffer) => socket.send(`echo ${data.toString()}`));
    });
    const upstream = upstreamConfig(`${tool}/base`, {
      strip_prefix: "/live",
      credential: { header: "authorization", prefix: "Bearer ", from: { env: "K" } },
    });
    const gate = await tunnelGateway(t, upstream, { credential: "s3cret" });
    const client = new WebSocket(`${gate.origin}/live/a%2Fb?x=1&y=%20?z`, {
      headers: {
        authorization: "DPoP mine",
        "x-cordon-agent": "forged",
        x_forwarded_for: "1",
        cookie: "c=1",
        "x-kept": "1",
      },
    });
    await once(client, "open");
    client.send("hello");
    const [data] = (await once(client, "message")) as [Buffer];
    assert.equal(data.toString(), "echo hello");
    client.close();
    const outcome = await (await gate.tunnel).closed;
    assert.deepEqual([outcome.status, outcome.failure, outcome.opened, outcome.sent], [101, null, true, true]);
    assert.ok(outcome.bytesIn >= 6 + 5 && outcome.bytesOut >= 2 + 10);
    const { url, headers } = seen as unknown as http.IncomingMessage;
    assert.equal(url, "/base/a%2Fb?x=1&y=%20?z");
    assert.deepEqual(
      [
        headers.authorization,
        headers["x-cordon-agent"],
        headers["x_forwarded_for"],
        headers.cookie,
        headers["x-kept"],
        headers.host,
      ],
      ["Bearer s3cret", "me", undefined, undefined, "1", new URL(tool).host],
    );
  });

  it("H20: is cut at once, on both sides", async (t) => {
    const { promise: toolClosed, resolve } = Promise.withResolvers<number>();
    const tool = await webSocketTool(t, (socket) => socket.on("close", resolve));
    const gate = await tunnelGateway(t, upstreamConfig(tool));
    const client = new WebSocket(gate.origin);
    await once(client, "open");
    const handle = await gate.tunnel;
    handle.cut(deny("stream.cut_containment"));
    await Promise.all([once(client, "close"), toolClosed]);
    const outcome = await handle.closed;
    assert.deepEqual([outcome.failure?.reason, outcome.opened], ["stream.cut_containment", true]);
  });

  it("ends when either side goes away", async (t) => {
    const tool = await webSocketTool(t, (socket) => socket.on("message", () => socket.terminate()));
    const gate = await tunnelGateway(t, upstreamConfig(tool));
    const client = new WebSocket(gate.origin);
    await once(client, "open");
    client.send("go");
    await once(client, "close");
    await (await gate.tunnel).closed;

    const { promise: toolClosed, resolve } = Promise.withResolvers<number>();
    const second = await tunnelGateway(
      t,
      upstreamConfig(await webSocketTool(t, (socket) => socket.on("close", resolve))),
    );
    const leaving = new WebSocket(second.origin);
    await once(leaving, "open");
    leaving.terminate();
    await toolClosed;
    await (await second.tunnel).closed;
  });

  it("sends nothing when the last check refuses", async (t) => {
    let requests = 0;
    const tool = await rawTool(t, () => {
      requests += 1;
    });
    const gate = await tunnelGateway(t, upstreamConfig(tool), { beforeSend: () => deny("containment.blocked") });
    assert.deepEqual(await refusal(new WebSocket(gate.origin)), [502, "containment.blocked"]);
    assert.deepEqual([(await (await gate.tunnel).closed).sent, requests], [false, 0]);
  });

  it("H19: passes on no answer but a true 101", async (t) => {
    const answers = [
      "HTTP/1.1 200 OK\r\nX-Secret: 1\r\nContent-Length: 6\r\n\r\nsecret",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
      "nonsense\r\n\r\n",
    ];
    for (const answer of answers) {
      const tool = await rawTool(t, (socket: net.Socket) => socket.write(answer));
      const gate = await tunnelGateway(t, upstreamConfig(tool));
      const [status, reason] = await refusal(new WebSocket(gate.origin));
      assert.equal(status, 502);
      assert.ok(reason === "upstream.protocol", `${String(reason)} for ${answer}`);
      assert.equal((await (await gate.tunnel).closed).opened, false);
    }
  });

  it("H17: is refused where the tool is silent, closes, or may not be connected to", async (t) => {
    const silent = await rawTool(t, () => undefined);
    const late = await tunnelGateway(t, upstreamConfig(silent, { headers_timeout_ms: 100 }));
    assert.deepEqual(await refusal(new WebSocket(late.origin)), [502, "upstream.timeout"]);
    const closing = await tunnelGateway(t, upstreamConfig(await rawTool(t, (socket) => socket.destroy())));
    assert.deepEqual(await refusal(new WebSocket(closing.origin)), [502, "upstream.closed"]);
    const refused = await tunnelGateway(
      t,
      upstreamConfig(await httpTool(t, () => undefined), { allow_private_addresses: false }),
    );
    assert.deepEqual(await refusal(new WebSocket(refused.origin)), [502, "upstream.address_refused"]);
  });
});
