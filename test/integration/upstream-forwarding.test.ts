import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { describe, it } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { deny } from "../../src/errors.ts";
import { call, gateway, httpTool, listen, rawTool, upstreamConfig } from "../fixtures/forwarding.ts";

const sha256 = (data: string | Buffer) => createHash("sha256").update(data).digest("hex");

describe("the forwarder", () => {
  it("streams a request and its response, and hashes both bodies", async (t) => {
    const tool = await httpTool(t, (request, response) => {
      response.writeHead(
        201,
        [
          ["Set-Cookie", "a=1"],
          ["Set-Cookie", "b=2"],
          ["X-Tool", request.url ?? ""],
        ].flat(),
      );
      request.pipe(response);
    });
    const gate = await gateway(t, upstreamConfig(`${tool}/base/`, { strip_prefix: "/ats" }));
    const outcome = gate.nextOutcome();
    const body = Buffer.alloc(300_000, "x");
    const answer = await call(`${gate.origin}/ats/jobs?id=%2F1`, { method: "POST", body });
    assert.equal(answer.status, 201);
    assert.equal(answer.headers["x-tool"], "/base/jobs?id=%2F1");
    assert.deepEqual(answer.headers["set-cookie"], ["a=1", "b=2"]);
    assert.deepEqual(answer.body, body);
    const { upstreamMs, ...rest } = await outcome;
    assert.ok(upstreamMs !== null && upstreamMs > 0);
    assert.deepEqual(rest, {
      sent: true,
      requestComplete: true,
      status: 201,
      failure: null,
      responseStarted: true,
      requestBytes: 300_000,
      responseBytes: 300_000,
      requestSha256: sha256(body),
      responseSha256: sha256(body),
    });
  });

  it("sends a judged buffer as it is, with its length", async (t) => {
    const tool = await httpTool(t, (request, response) => {
      assert.equal(request.headers["content-length"], "9");
      request.pipe(response);
    });
    const gate = await gateway(t, upstreamConfig(tool), { body: Buffer.from('{"a": 1 }') });
    const outcome = gate.nextOutcome();
    const answer = await call(gate.origin, { method: "POST", body: "ignored" });
    assert.equal(answer.body.toString(), '{"a": 1 }');
    assert.equal((await outcome).requestSha256, sha256('{"a": 1 }'));
  });

  it("passes the first event of a stream on before the tool sends the second, and its head before the first", async (t) => {
    let stream: http.ServerResponse | null = null;
    const tool = await httpTool(t, (_request, response) => {
      stream = response.writeHead(200, { "content-type": "text/event-stream" });
      stream.flushHeaders();
    });
    const gate = await gateway(t, upstreamConfig(tool));
    const request = http.get(gate.origin, { agent: false });
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    const out = stream as unknown as http.ServerResponse;
    for (const event of ["data: 1\n\n", "data: 2\n\n"]) {
      out.write(event);
      const [chunk] = (await once(response, "data")) as [Buffer];
      assert.equal(chunk.toString(), event);
    }
    out.end();
    await once(response, "end");
  });

  it("passes trailers on, but none that frames or authorises", async (t) => {
    const tool = await rawTool(t, (socket) => {
      socket.end(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\nSet-Cookie: a=1\r\n\r\n",
      );
    });
    const gate = await gateway(t, upstreamConfig(tool));
    const answer = await call(gate.origin);
    assert.equal(answer.body.toString(), "hi");
    assert.deepEqual({ ...answer.trailers }, { "x-sum": "7" });
  });

  it("leaves an encoded body as it is", async (t) => {
    const zipped = gzipSync("hello");
    const tool = await httpTool(t, (_request, response) =>
      response.writeHead(200, { "content-encoding": "gzip" }).end(zipped),
    );
    const gate = await gateway(t, upstreamConfig(tool));
    const answer = await call(gate.origin, { headers: { "accept-encoding": "gzip" } });
    assert.equal(gunzipSync(answer.body).toString(), "hello");
  });

  it("answers HEAD, 204 and 304 without a body", async (t) => {
    const tool = await httpTool(t, (request, response) => {
      const status = Number(request.url?.slice(1));
      response
        .writeHead(status, status === 200 ? { "content-length": "5" } : {})
        .end(status === 200 && request.method !== "HEAD" ? "hello" : undefined);
    });
    const gate = await gateway(t, upstreamConfig(tool));
    const head = await call(`${gate.origin}/200`, { method: "HEAD" });
    assert.deepEqual([head.status, head.headers["content-length"], head.body.length], [200, "5", 0]);
    for (const status of [204, 304]) {
      const answer = await call(`${gate.origin}/${status}`);
      assert.deepEqual([answer.status, answer.body.length, answer.complete], [status, 0, true]);
    }
  });

  it("follows no redirect", async (t) => {
    let requests = 0;
    const tool = await httpTool(t, (_request, response) => {
      requests += 1;
      response.writeHead(307, { location: "/elsewhere" }).end();
    });
    const gate = await gateway(t, upstreamConfig(tool));
    assert.equal((await call(gate.origin)).status, 307);
    assert.equal(requests, 1);
  });

  it("drops a 103 and passes the answer that follows", async (t) => {
    const tool = await rawTool(t, (socket) =>
      socket.end("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    );
    const gate = await gateway(t, upstreamConfig(tool));
    const answer = await call(gate.origin);
    assert.deepEqual([answer.status, answer.body.toString(), answer.headers["link"]], [200, "ok", undefined]);
  });

  it("sends nothing when the last check refuses, and keeps the connection", async (t) => {
    let requests = 0;
    let connections = 0;
    const server = http.createServer((_request, response) => {
      requests += 1;
      response.end();
    });
    server.on("connection", () => {
      connections += 1;
    });
    const port = await listen(t, server);
    let refuse = false;
    const gate = await gateway(t, upstreamConfig(`http://127.0.0.1:${port}`), {
      beforeSend: () => (refuse ? deny("containment.blocked") : null),
    });
    await call(gate.origin);
    refuse = true;
    const outcome = gate.nextOutcome();
    const answer = await call(gate.origin, { method: "POST", body: "x" });
    assert.deepEqual([answer.status, answer.headers["x-reason"]], [403, "containment.blocked"]);
    assert.equal((await outcome).sent, false);
    refuse = false;
    await call(gate.origin);
    assert.deepEqual([requests, connections], [2, 1]);
  });

  it("aborts the tool's request when the client goes away", async (t) => {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const tool = await httpTool(t, (request, response) => {
      response.writeHead(200).write("first");
      request.socket.once("close", resolve);
    });
    const gate = await gateway(t, upstreamConfig(tool));
    const outcome = gate.nextOutcome();
    const request = http.get(gate.origin, { agent: false });
    request.on("error", () => request.destroy());
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.on("error", () => response.destroy());
    response.destroy();
    await closed;
    assert.equal((await outcome).failure?.reason, "exchange.client_closed");
  });

  it("holds the tool back while the client does not read", async (t) => {
    let written = 0;
    const { promise: stalled, resolve } = Promise.withResolvers<void>();
    const tool = await httpTool(t, (_request, response) => {
      const chunk = Buffer.alloc(262_144);
      response.writeHead(200);
      const more = () => {
        while (written < 200 * chunk.length) {
          written += chunk.length;
          if (!response.write(chunk)) {
            const quiet = setTimeout(resolve, 300);
            response.once("drain", () => {
              clearTimeout(quiet);
              more();
            });
            return;
          }
        }
        response.end();
      };
      more();
    });
    const gate = await gateway(t, upstreamConfig(tool), { responseBytesMax: 2 ** 30 });
    const request = http.get(gate.origin, { agent: false });
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    await stalled;
    assert.ok(written < 20 * 1_048_576, `${written} bytes were taken from the tool`);
    let received = 0;
    for await (const chunk of response) received += (chunk as Buffer).length;
    assert.equal(received, 200 * 262_144);
  });

  it("cuts an open stream without a clean end", async (t) => {
    const tool = await httpTool(t, (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
    });
    const gate = await gateway(t, upstreamConfig(tool));
    const handle = gate.nextHandle();
    const answer = call(gate.origin);
    const opened = await handle;
    setImmediate(() => opened.cut(deny("stream.cut_containment")));
    const outcome = await opened.done;
    assert.equal(outcome.failure?.reason, "stream.cut_containment");
    const got = await answer.catch(() => null);
    assert.ok(got === null || !got.complete || got.status === 403);
  });

  it("follows a write that was wholly sent to its outcome, and withholds its response", async (t) => {
    const { promise: arrived, resolve } = Promise.withResolvers<http.ServerResponse>();
    const tool = await httpTool(t, (request, response) => {
      request.resume().on("end", () => resolve(response));
    });
    const gate = await gateway(t, upstreamConfig(tool));
    const handle = gate.nextHandle();
    const answer = call(gate.origin, { method: "POST", body: "pay" });
    const toolResponse = await arrived;
    const opened = await handle;
    opened.cut(deny("stream.cut_containment"), { follow: true });
    toolResponse.writeHead(201).end("secret");
    const outcome = await opened.done;
    assert.deepEqual(
      [outcome.status, outcome.failure?.reason, outcome.responseBytes],
      [201, "stream.cut_containment", 6],
    );
    const got = await answer;
    assert.deepEqual([got.status, got.body.length], [403, 0]);
  });

  it("injects the tool's credential and the gateway's own headers in place of the client's", async (t) => {
    let headers: http.IncomingHttpHeaders = {};
    const tool = await httpTool(t, (request, response) => {
      headers = request.headers;
      response.end();
    });
    const gate = await gateway(
      t,
      upstreamConfig(tool, { credential: { header: "X-Api-Key", prefix: "key ", from: { env: "K" } } }),
      {
        credential: "s3cret",
        identity: [
          ["x-cordon-agent", "spiffe://a/b"],
          ["traceparent", "00-1"],
        ],
        responseHeaders: [["x-request-id", "r1"]],
      },
    );
    const answer = await call(gate.origin, {
      headers: {
        "x-api-key": "mine",
        x_api_key: "mine",
        "x-cordon-agent": "me",
        traceparent: "00-2",
        authorization: "DPoP t",
        "x-kept": "1",
      },
    });
    const { host, connection, ...rest } = headers;
    assert.equal(host, new URL(tool).host);
    assert.equal(connection, "keep-alive");
    assert.deepEqual(rest, {
      "x-api-key": "key s3cret",
      "x-cordon-agent": "spiffe://a/b",
      traceparent: "00-1",
      "x-kept": "1",
    });
    assert.equal(answer.headers["x-request-id"], "r1");
  });
});
