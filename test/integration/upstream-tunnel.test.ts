import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import type { Duplex } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import type { UpstreamConfig } from "../../src/config/schema.ts";
import { deny } from "../../src/errors.ts";
import { createForwarder, type UpstreamTarget } from "../../src/upstream/forwarder.ts";
import { openTunnel, type TunnelHandle, type TunnelRequest } from "../../src/upstream/tunnel.ts";
import { httpTool, listen, rawTool, upstreamConfig } from "../fixtures/forwarding.ts";

interface TunnelGateway {
  readonly origin: string;
  readonly tunnel: Promise<TunnelHandle>;
}

/** Runs before the tunnel is opened, as the judging of a request does. */
type Prepare = (socket: Duplex, target: UpstreamTarget) => Promise<Partial<TunnelRequest>>;

async function tunnelGateway(
  t: TestContext,
  upstream: UpstreamConfig,
  changes: Partial<TunnelRequest> & { credential?: string; prepare?: Prepare } = {},
): Promise<TunnelGateway> {
  const { prepare, ...rest } = changes;
  const forwarder = createForwarder();
  const target = forwarder.prepare(upstream, changes.credential);
  const { promise: tunnel, resolve } = Promise.withResolvers<TunnelHandle>();
  const server = http.createServer();
  server.on("upgrade", async (request: http.IncomingMessage, socket: Duplex, head) => {
    const prepared = await prepare?.(socket, target);
    const handle = openTunnel({
      target,
      request,
      socket,
      head,
      path: request.url ?? "/",
      identity: [["x-cordon-agent", "me"]],
      beforeSend: () => null,
      ...rest,
      ...prepared,
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

function upgradeHead(method: string): string {
  return [
    `${method} / HTTP/1.1`,
    "Host: a",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "\r\n",
  ].join("\r\n");
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

  it("H20: is cut with a close frame between two frames of its tool, and is reset in the middle of one", async (t) => {
    const whole = Buffer.from([0x81, 2, 0x68, 0x69]);
    for (const [sent, code] of [
      [whole, 1008],
      [Buffer.concat([whole, whole.subarray(0, 3)]), 1006],
    ] as const) {
      const { promise: toolClosed, resolve } = Promise.withResolvers<number>();
      const tool = await webSocketTool(t, (socket, request) => {
        socket.on("close", resolve);
        request.socket.write(sent);
      });
      const gate = await tunnelGateway(t, upstreamConfig(tool));
      const client = new WebSocket(gate.origin);
      client.on("error", () => client.terminate());
      const closed = once(client, "close");
      await once(client, "message");
      (await gate.tunnel).cut(deny("stream.cut_policy"));
      assert.equal((await closed)[0], code);
      assert.equal(await toolClosed, 1006);
    }
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

  it("H18: connects to no tool for a client that was gone before the tunnel was opened", async (t) => {
    let connections = 0;
    const server = net.createServer(() => {
      connections += 1;
    });
    const upstream = upstreamConfig(`http://127.0.0.1:${await listen(t, server)}`);
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    const gate = await tunnelGateway(t, upstream, {
      prepare: async (socket) => {
        socket.on("error", () => undefined).resume();
        reach();
        await new Promise((resolve) => socket.once("close", resolve));
        return {};
      },
    });
    const client = net.connect(Number(new URL(gate.origin).port), "127.0.0.1");
    client.write(upgradeHead("GET"));
    await reached;
    client.resetAndDestroy();
    const outcome = await (await gate.tunnel).closed;
    assert.deepEqual([outcome.failure?.reason, outcome.sent, outcome.opened], ["exchange.client_closed", false, false]);
    assert.equal(connections, 0);
  });

  it("H18: sends nothing for a client that was gone when the connection was ready", async (t) => {
    let asked = 0;
    let requests = 0;
    const tool = await rawTool(t, () => {
      requests += 1;
    });
    const gate = await tunnelGateway(t, upstreamConfig(tool), {
      beforeSend: () => {
        asked += 1;
        return null;
      },
      prepare: async (socket, target) => ({
        target: {
          ...target,
          connect: (callback) =>
            target.connect((error, toolSocket) => {
              socket.destroy();
              callback(error, toolSocket);
            }),
        },
      }),
    });
    const client = net.connect(Number(new URL(gate.origin).port), "127.0.0.1");
    client.on("error", () => undefined).write(upgradeHead("GET"));
    const outcome = await (await gate.tunnel).closed;
    assert.deepEqual([outcome.failure?.reason, outcome.sent], ["exchange.client_closed", false]);
    assert.deepEqual([asked, requests], [0, 0]);
  });

  it("H19: asks no tool for an upgrade that is no GET", async (t) => {
    let requests = 0;
    const tool = await rawTool(t, () => {
      requests += 1;
    });
    const gate = await tunnelGateway(t, upstreamConfig(tool));
    const client = net.connect(Number(new URL(gate.origin).port), "127.0.0.1");
    client.write(upgradeHead("POST"));
    const [answer] = (await once(client, "data")) as [Buffer];
    assert.match(answer.toString(), /X-Reason: upstream\.protocol/);
    const outcome = await (await gate.tunnel).closed;
    assert.deepEqual([outcome.failure?.reason, outcome.sent, requests], ["upstream.protocol", false, 0]);
    client.destroy();
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
