import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { describe, it } from "node:test";
import { call, gateway, httpTool, listen, rawTool, upstreamConfig } from "../fixtures/forwarding.ts";

async function closedPort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

describe("H17: a tool that fails", () => {
  const answers: readonly (readonly [string, string, number, string])[] = [
    ["is closed before it answers", "", 502, "upstream.closed"],
    ["answers something that is not HTTP", "SSH-2.0-x\r\n\r\n", 502, "upstream.protocol"],
    [
      "sends both length and transfer coding",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      502,
      "upstream.closed",
    ],
    [
      "sends a transfer coding beside chunked",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      502,
      "upstream.protocol",
    ],
    [
      "switches protocols unasked",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
      502,
      "upstream.protocol",
    ],
    ["sends 1xx answers without end", "HTTP/1.1 102 Processing\r\n\r\n".repeat(40), 502, "upstream.protocol"],
    [
      "announces more than the cap",
      "HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n",
      502,
      "upstream.response_too_large",
    ],
  ];
  for (const [title, bytes, status, reason] of answers) {
    it(`${title}: ${reason}`, async (t) => {
      const tool = await rawTool(t, (socket) => socket.end(bytes));
      const gate = await gateway(t, upstreamConfig(tool));
      const outcome = gate.nextOutcome();
      const answer = await call(gate.origin);
      assert.deepEqual([answer.status, answer.headers["x-reason"]], [status, reason]);
      assert.equal((await outcome).sent, true);
    });
  }

  it("is unreachable: nothing was sent, and the caller of an upload is still answered", async (t) => {
    const gate = await gateway(t, upstreamConfig(`http://127.0.0.1:${await closedPort()}`));
    for (const options of [{}, { method: "POST", body: Buffer.alloc(500_000) }]) {
      const outcome = gate.nextOutcome();
      const answer = await call(gate.origin, options);
      assert.deepEqual([answer.status, answer.headers["x-reason"]], [502, "upstream.unreachable"]);
      assert.equal((await outcome).sent, false);
    }
  });

  it("closes in mid-body: the client never sees a clean end", async (t) => {
    for (const head of [
      "Content-Length: 100",
      "Transfer-Encoding: chunked",
      "Connection: close\r\nTransfer-Encoding: chunked",
    ]) {
      const tool = await rawTool(t, (socket) => socket.end(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n5\r\nhello\r\n`));
      const gate = await gateway(t, upstreamConfig(tool));
      const outcome = gate.nextOutcome();
      const answer = await call(gate.origin).catch(() => null);
      assert.notEqual(answer?.complete, true);
      assert.deepEqual([(await outcome).failure?.reason, (await outcome).responseStarted], ["upstream.closed", true]);
    }
  });

  it("resets a body that only the end of the connection would delimit: no clean end", async (t) => {
    const tool = await rawTool(t, (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart", () =>
        setImmediate(() => socket.resetAndDestroy()),
      );
    });
    const gate = await gateway(t, upstreamConfig(tool));
    const outcome = gate.nextOutcome();
    const answer = await call(gate.origin).catch(() => null);
    assert.notEqual(answer?.complete, true);
    assert.equal((await outcome).failure?.reason, "upstream.closed");
  });

  it("streams more than the cap: counted, and cut", async (t) => {
    const tool = await httpTool(t, (_request, response) => {
      response.on("error", () => response.destroy());
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536)));
        if (!response.destroyed) response.once("drain", more);
      };
      more();
    });
    const gate = await gateway(t, upstreamConfig(tool), { responseBytesMax: 200_000 });
    const outcome = gate.nextOutcome();
    const answer = await call(gate.origin).catch(() => null);
    assert.notEqual(answer?.complete, true);
    assert.equal((await outcome).failure?.reason, "upstream.response_too_large");
  });

  it("sends headers without end: refused at a bounded size", async (t) => {
    let written = 0;
    const tool = await rawTool(t, (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const more = () => {
        if (socket.destroyed || written > 100_000_000) return;
        const line = `X-Pad-${written}: ${"a".repeat(1000)}\r\n`;
        written += line.length;
        socket.write(line, more);
      };
      more();
    });
    const gate = await gateway(t, upstreamConfig(tool));
    const answer = await call(gate.origin);
    assert.deepEqual([answer.status, answer.headers["x-reason"]], [502, "upstream.protocol"]);
    assert.ok(written < 10_000_000, `${written} bytes were taken`);
  });

  it("does not answer in time: 504", async (t) => {
    const tool = await rawTool(t, () => undefined);
    const gate = await gateway(t, upstreamConfig(tool, { headers_timeout_ms: 100 }));
    const answer = await call(gate.origin);
    assert.deepEqual([answer.status, answer.headers["x-reason"]], [504, "upstream.timeout"]);
  });

  it("stalls in mid-body: cut without a clean end", async (t) => {
    const tool = await rawTool(t, (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"));
    const gate = await gateway(t, upstreamConfig(tool, { body_idle_timeout_ms: 100 }));
    const outcome = gate.nextOutcome();
    const answer = await call(gate.origin).catch(() => null);
    assert.notEqual(answer?.complete, true);
    assert.equal((await outcome).failure?.reason, "upstream.timeout");
  });

  it("answers unasked on an idle connection: never delivered to the next caller", async (t) => {
    let connections = 0;
    let first: net.Socket | null = null;
    const server = net.createServer((socket) => {
      connections += 1;
      first ??= socket;
      const name = `answer of connection ${connections}`;
      socket.on("data", () => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`));
    });
    const port = await listen(t, server);
    const gate = await gateway(t, upstreamConfig(`http://127.0.0.1:${port}`));
    assert.equal((await call(gate.origin)).body.toString(), "answer of connection 1");
    const idle = first as unknown as net.Socket;
    const closed = once(idle, "close");
    idle.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    await closed;
    assert.equal((await call(gate.origin)).body.toString(), "answer of connection 2");
  });

  it("closes after a request was sent: it is never sent twice, whatever the method", async (t) => {
    let requests = 0;
    const tool = await rawTool(t, (socket) => {
      requests += 1;
      if (requests === 1) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      else socket.destroy();
    });
    const gate = await gateway(t, upstreamConfig(tool));
    await call(gate.origin);
    assert.equal((await call(gate.origin)).headers["x-reason"], "upstream.closed");
    assert.equal((await call(gate.origin, { method: "POST", body: "x" })).headers["x-reason"], "upstream.closed");
    assert.equal(requests, 3);
  });

  it("has every connection taken: the wait for one is bounded", async (t) => {
    const tool = await rawTool(t, (socket) =>
      socket.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"),
    );
    const gate = await gateway(t, upstreamConfig(tool, { connections_max: 1, headers_timeout_ms: 200 }));
    const request = http.get(gate.origin, { agent: false });
    await once(request, "response");
    const outcome = gate.nextOutcome();
    const answer = await call(gate.origin);
    assert.deepEqual([answer.status, answer.headers["x-reason"]], [504, "upstream.timeout"]);
    assert.equal((await outcome).sent, false);
    request.on("error", () => undefined).destroy();
  });
});

describe("H18: a client that fails", () => {
  it("goes away in mid-upload: the tool's request is aborted, not completed", async (t) => {
    const { promise: ended, resolve } = Promise.withResolvers<boolean>();
    const { promise: began, resolve: begin } = Promise.withResolvers<void>();
    const tool = await httpTool(t, (request) => {
      request.once("data", () => begin());
      request.on("error", () => resolve(request.complete));
      request.on("end", () => resolve(true));
    });
    const gate = await gateway(t, upstreamConfig(tool));
    const outcome = gate.nextOutcome();
    const request = http.request(gate.origin, { agent: false, method: "POST" });
    request.on("error", () => undefined);
    request.write("half");
    await began;
    request.destroy();
    assert.equal(await ended, false);
    assert.equal((await outcome).failure?.reason, "exchange.client_closed");
  });

  it("never reads: cut after the idle time, with bounded memory", async (t) => {
    const tool = await httpTool(t, (_request, response) => {
      response.on("error", () => response.destroy());
      response.writeHead(200, { "content-length": String(2 ** 29) });
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(262_144)));
        if (!response.destroyed) response.once("drain", more);
      };
      more();
    });
    const gate = await gateway(t, upstreamConfig(tool, { body_idle_timeout_ms: 200 }), { responseBytesMax: 2 ** 30 });
    const outcome = gate.nextOutcome();
    const socket = net.connect(gate.port, "127.0.0.1").pause();
    socket.on("error", () => socket.destroy());
    socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const { failure, responseBytes } = await outcome;
    assert.equal(failure?.detail, "the client stopped reading");
    assert.ok(responseBytes < 20_000_000, `${responseBytes} bytes were taken`);
    socket.destroy();
  });
});
