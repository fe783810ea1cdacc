import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import http from "node:http";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { deny } from "../../src/errors.ts";
import { KEPT_BYTES_MAX } from "../../src/upstream/kept-response.ts";
import { call, gateway, httpTool, upstreamConfig } from "../fixtures/forwarding.ts";

const json = { "content-type": "application/json; charset=utf-8" };

describe("redaction", () => {
  it("removes the values, keeps the rest exactly, and corrects what describes the bytes", async (t) => {
    let asked: http.IncomingHttpHeaders = {};
    const tool = await httpTool(t, (request, response) => {
      asked = request.headers;
      response.writeHead(200, { ...json, etag: '"1"', "content-digest": "sha-256=:x:", "x-kept": "1" });
      response.write('{"id":9007199254740993,"sal');
      response.end('ary":1e400,"deep":{"salary":1.50,"name":"x"}}');
    });
    const gate = await gateway(t, upstreamConfig(tool), { redact: ["/salary", "/deep/salary", "/absent/x"] });
    const outcome = gate.nextOutcome();
    const answer = await call(gate.origin, {
      headers: { "accept-encoding": "gzip", range: "bytes=0-1", "if-range": '"1"' },
    });
    assert.equal(answer.body.toString(), '{"id":9007199254740993,"deep":{"name":"x"}}');
    assert.equal(answer.headers["content-length"], String(answer.body.length));
    assert.deepEqual(
      [answer.headers["etag"], answer.headers["content-digest"], answer.headers["x-kept"]],
      [undefined, undefined, "1"],
    );
    assert.deepEqual([asked["accept-encoding"], asked["range"], asked["if-range"]], [undefined, undefined, undefined]);
    assert.equal((await outcome).failure, null);
  });

  for (const follow of [true, false]) {
    it(`withholds an answer that is cut while it waits for its turn, ${follow ? "followed" : "at once"}`, async (t) => {
      const { promise: whole, resolve } = Promise.withResolvers<void>();
      const onWhole = (): void => resolve();
      // undici tells it just before the forwarder hears of it.
      subscribe("undici:request:trailers", onWhole);
      t.after(() => unsubscribe("undici:request:trailers", onWhole));
      const tool = await httpTool(t, (request, response) => {
        request.resume().on("end", () => response.writeHead(201, json).end('{"a":"secret"}'));
      });
      const gate = await gateway(t, upstreamConfig(tool), { redact: ["/salary"] });
      const handle = gate.nextHandle();
      const answer = call(gate.origin, { method: "POST", body: "pay" });
      const opened = await handle;
      await whole;
      opened.cut(deny("stream.cut_containment"), { follow });
      const outcome = await opened.done;
      assert.deepEqual(
        [outcome.status, outcome.failure?.reason, outcome.responseStarted],
        [201, "stream.cut_containment", false],
      );
      const got = await answer;
      assert.deepEqual([got.status, got.body.length], [403, 0]);
    });
  }

  const refused: readonly (readonly [string, number, http.OutgoingHttpHeaders, string | Buffer])[] = [
    ["HTML", 200, { "content-type": "text/html" }, "{}"],
    ["no media type", 200, {}, "{}"],
    ["an encoded body", 200, { ...json, "content-encoding": "gzip" }, gzipSync("{}")],
    ["partial content", 206, { ...json, "content-range": "bytes 0-1/9" }, "{}"],
    ["malformed JSON", 200, json, '{"salary":1'],
    ["a second document", 200, json, "{} {}"],
    ["invalid UTF-8", 200, json, Buffer.from([0x22, 0xff, 0x22])],
    ["another charset", 200, { "content-type": "application/json; charset=utf-16" }, "{}"],
    ["an event stream", 200, { "content-type": "text/event-stream" }, "data: {}\n\n"],
  ];
  for (const [title, status, headers, body] of refused) {
    it(`refuses ${title} and sends none of it`, async (t) => {
      const tool = await httpTool(t, (_request, response) => response.writeHead(status, headers).end(body));
      const gate = await gateway(t, upstreamConfig(tool), { redact: ["/salary"] });
      const answer = await call(gate.origin);
      assert.deepEqual(
        [answer.status, answer.headers["x-reason"], answer.body.length],
        [502, "upstream.cannot_redact", 0],
      );
    });
  }

  it("refuses a body over the cap before it is whole", async (t) => {
    const tool = await httpTool(t, (_request, response) =>
      response.writeHead(200, json).end(JSON.stringify("x".repeat(2000))),
    );
    const gate = await gateway(t, upstreamConfig(tool), { redact: ["/salary"], responseBytesMax: 1000 });
    assert.equal((await call(gate.origin)).headers["x-reason"], "upstream.response_too_large");
  });

  it("refuses a document over the limit for redaction: by its length up front, without one while it comes", async (t) => {
    const document = JSON.stringify("x".repeat(998));
    const tool = await httpTool(t, (request, response) => {
      if (request.url === "/announced") response.writeHead(200, { ...json, "content-length": "1001" }).flushHeaders();
      else if (request.url === "/chunked") response.writeHead(200, json).write(`${document} `);
      else response.writeHead(200, json).end(document);
    });
    const limits = { redactBytesMax: 1000, responseBytesMax: 2000 };
    const gate = await gateway(t, upstreamConfig(tool), { redact: ["/salary"], ...limits });
    for (const path of ["/announced", "/chunked"]) {
      const outcome = gate.nextOutcome();
      const answer = await call(gate.origin + path);
      assert.deepEqual(
        [answer.status, answer.headers["x-reason"], answer.body.length],
        [502, "upstream.cannot_redact", 0],
      );
      assert.equal((await outcome).failure?.detail, "larger than redact_bytes_max");
    }
    assert.equal((await call(gate.origin)).body.length, 1000, "a document of the limit is redacted");
    const plain = await gateway(t, upstreamConfig(tool), limits);
    assert.equal((await call(plain.origin)).status, 200, "what is not redacted is not held to the limit");
  });

  it("H17: holds a bounded number of bytes of all gathered documents, and gives them back", async (t) => {
    const half = Buffer.alloc(KEPT_BYTES_MAX / 2, " ");
    const tool = await httpTool(t, (request, response) => {
      response.writeHead(200, json).write(half);
      if (request.url === "/whole") response.end("{}");
    });
    const gate = await gateway(t, upstreamConfig(tool), {
      redact: ["/salary"],
      redactBytesMax: KEPT_BYTES_MAX,
      responseBytesMax: KEPT_BYTES_MAX,
    });
    const outcomes = [gate.nextOutcome(), gate.nextOutcome()];
    const requests = [http.get(gate.origin, { agent: false }), http.get(gate.origin, { agent: false })];
    for (const request of requests) request.on("error", () => undefined);
    // Two halves do not fit: a chunk costs more than its bytes.
    const refused = await Promise.race(
      requests.map((request) => new Promise<http.IncomingMessage>((resolve) => request.once("response", resolve))),
    );
    assert.deepEqual([refused.statusCode, refused.headers["x-reason"]], [503, "gateway.overloaded"]);
    for (const request of requests) request.destroy();
    await Promise.all(outcomes);
    const answer = await call(`${gate.origin}/whole`);
    assert.deepEqual([answer.status, answer.body.toString().trim()], [200, "{}"]);
    assert.equal((await call(`${gate.origin}/whole`)).status, 200, "also what was redacted is given back");
  });

  it("passes answers that have no body, without the length of the one they stand for", async (t) => {
    const tool = await httpTool(t, (request, response) =>
      response
        .writeHead(
          request.method === "HEAD" ? 200 : 204,
          request.method === "HEAD" ? { ...json, "content-length": "99" } : {},
        )
        .end(),
    );
    const gate = await gateway(t, upstreamConfig(tool), { redact: ["/salary"] });
    assert.equal((await call(gate.origin)).status, 204);
    const head = await call(gate.origin, { method: "HEAD" });
    assert.deepEqual([head.status, head.headers["content-length"]], [200, undefined]);
  });
});
