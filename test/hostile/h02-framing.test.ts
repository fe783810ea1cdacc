// H01, H02: requests that two parsers would frame differently. Refused with 400 or 431, the connection closed, and what
// was hidden behind the first request never reaches the tool, although it carries good credentials of its own.
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { hostOf, openRaw, rawRequest, sendRaw } from "./raw-client.ts";

const PATH = "/ats/jobs/J42/candidates/C1/score";
const HIDDEN = "/ats/jobs/J42/candidates/HIDDEN";

/** Framed by its length, as the raw client reads it. */
const answerOk = (_request: IncomingMessage, response: ServerResponse): void => {
  response.writeHead(200, { "content-type": "application/json", "content-length": 2 }).end("{}");
};

describe("H01 H02 requests that can be framed in two ways", () => {
  let g: TestGateway;
  let agent: TestAgent;
  before(async () => {
    g = await startTestGateway({ limits: { header_bytes_max: 65_536, headers_max: 100 } });
    agent = await g.agent();
    g.tool.answer = answerOk;
  });
  after(() => g.close());
  beforeEach(() => {
    g.tool.answer = answerOk;
    g.tool.seen.length = 0;
  });

  const lines = async (method: string, path: string): Promise<string[]> => {
    const { authorization, dpop } = await agent.headers(g.url + path, method);
    return [`Host: ${hostOf(g.url)}`, `Authorization: ${authorization}`, `DPoP: ${dpop}`];
  };
  const hidden = async (): Promise<string> => rawRequest(`GET ${HIDDEN} HTTP/1.1`, await lines("GET", HIDDEN));

  async function refused(framing: readonly string[], body: string, line = `POST ${PATH} HTTP/1.1`): Promise<void> {
    const bytes = rawRequest(
      line,
      [...(await lines("POST", PATH)), "Content-Type: application/json", ...framing],
      body,
    );
    const answers = await sendRaw(g.url, Buffer.from(bytes, "latin1"));
    assert.ok(answers.length <= 1, `${answers.length} answers`);
    assert.equal(answers[0]?.status, 400, String(answers[0]?.head));
    assert.equal(g.tool.seen.length, 0);
  }

  test("H02 the same request framed in one way is served, and so is the one after it", async () => {
    const body = '{"score":1}';
    const connection = await openRaw(g.url);
    const first = rawRequest(
      `POST ${PATH} HTTP/1.1`,
      [...(await lines("POST", PATH)), "Content-Type: application/json", `Content-Length: ${body.length}`],
      body,
    );
    connection.write(first + (await hidden()));
    assert.deepEqual(
      (await connection.answers(2)).map(({ status }) => status),
      [200, 200],
    );
    connection.destroy();
    const chunked = await openRaw(g.url);
    chunked.write(
      rawRequest(
        `POST ${PATH} HTTP/1.1`,
        [...(await lines("POST", PATH)), "Content-Type: application/json", "Transfer-Encoding: chunked"],
        `b\r\n${body}\r\n0\r\n\r\n`,
      ),
    );
    assert.equal((await chunked.answers(1))[0]?.status, 200);
    chunked.destroy();
    assert.equal(g.tool.seen[2]?.body, body);
  });

  const CHUNKED = ["Transfer-Encoding: chunked"];
  const cases: readonly (readonly [string, readonly string[], string])[] = [
    ["Content-Length and Transfer-Encoding", ["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n"],
    ["Transfer-Encoding and Content-Length", ["Transfer-Encoding: chunked", "Content-Length: 5"], "0\r\n\r\n"],
    ["two different Content-Length", ["Content-Length: 2", "Content-Length: 60"], "{}"],
    ["two equal Content-Length", ["Content-Length: 2", "Content-Length: 2"], "{}"],
    ["a list of Content-Length", ["Content-Length: 2, 2"], "{}"],
    ["a signed Content-Length", ["Content-Length: +2"], "{}"],
    ["a negative Content-Length", ["Content-Length: -2"], "{}"],
    ["a hexadecimal Content-Length", ["Content-Length: 0x2"], "{}"],
    ["an endless Content-Length", ["Content-Length: 99999999999999999999999999"], "{}"],
    ["a Content-Length that a double does not carry", ["Content-Length: 9007199254740993"], "{}"],
    ["an empty Content-Length", ["Content-Length: "], "{}"],
    ["a space before the colon", ["Content-Length : 2"], "{}"],
    ["a tab before the colon", ["Transfer-Encoding\t: chunked"], "0\r\n\r\n"],
    ["a folded header", ["X-A: b\r\n Content-Length: 2"], "{}"],
    ["a folded Transfer-Encoding", ["Transfer-Encoding:\r\n chunked"], "0\r\n\r\n"],
    ["a bare LF in the head", ["X-A: b\nContent-Length: 2"], "{}"],
    ["a bare CR in a value", ["X-A: b\rContent-Length: 2"], "{}"],
    ["a NUL in a value", ["X-A: b\u0000c", "Content-Length: 2"], "{}"],
    ["a line without a colon", ["garbage", "Content-Length: 2"], "{}"],
    ["an empty header name", [": x", "Content-Length: 2"], "{}"],
    ["chunked twice", ["Transfer-Encoding: chunked, chunked"], "0\r\n\r\n"],
    ["chunked in two headers", ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], "0\r\n\r\n"],
    ["identity and chunked", ["Transfer-Encoding: identity", "Transfer-Encoding: chunked"], "0\r\n\r\n"],
    ["a coding before chunked", ["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"],
    ["a coding after chunked", ["Transfer-Encoding: chunked, gzip"], "0\r\n\r\n"],
    ["an unknown coding", ["Transfer-Encoding: xchunked"], "0\r\n\r\n"],
    ["chunked with a vertical tab", ["Transfer-Encoding: \u000bchunked"], "0\r\n\r\n"],
    ["chunked in quotes", ['Transfer-Encoding: "chunked"'], "0\r\n\r\n"],
    ["a chunk size with a sign", CHUNKED, "+2\r\n{}\r\n0\r\n\r\n"],
    ["a chunk size in C notation", CHUNKED, "0x2\r\n{}\r\n0\r\n\r\n"],
    ["a chunk size with a space before it", CHUNKED, " 2\r\n{}\r\n0\r\n\r\n"],
    ["a chunk size that overflows", CHUNKED, "10000000000000002\r\n{}\r\n0\r\n\r\n"],
    ["a chunk that is longer than its size", CHUNKED, "1\r\n{}\r\n0\r\n\r\n"],
    ["a chunk size that ends in a bare LF", CHUNKED, "2\n{}\r\n0\r\n\r\n"],
    ["a chunk extension that ends in a bare LF", CHUNKED, "2;a\n{}\r\n0\r\n\r\n"],
    ["a chunk extension with a bare CR", CHUNKED, "2;a\rb\r\n{}\r\n0\r\n\r\n"],
    ["a chunk that ends in a bare LF", CHUNKED, "2\r\n{}\n0\r\n\r\n"],
    ["a last chunk that ends in a bare LF", CHUNKED, "2\r\n{}\r\n0\n\r\n"],
    ["a chunk extension that is far too long", CHUNKED, `2;${"a".repeat(20_000)}\r\n{}\r\n0\r\n\r\n`],
  ];
  for (const [what, framing, body] of cases) {
    test(`H02 ${what} is refused, the connection closed, and what hides behind it never reaches the tool`, async () => {
      await refused(framing, body + (await hidden()));
    });
  }

  test("H02 a body on HTTP/1.0 in chunks, HTTP/0.9 and HTTP/2.0 on the request line are refused", async () => {
    await refused(["Transfer-Encoding: chunked"], `0\r\n\r\n${await hidden()}`, `POST ${PATH} HTTP/1.0`);
    for (const version of ["HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "HTTP/1,1", "http/1.1", "HTTP/1.1x"]) {
      await refused(["Content-Length: 2"], "{}", `POST ${PATH} ${version}`);
    }
  });

  test("H02 a request line with a tab, a control byte or no target is refused", async () => {
    for (const line of [
      `POST\t${PATH} HTTP/1.1`,
      `POST ${PATH}\tHTTP/1.1`,
      "POST HTTP/1.1",
      `PO\u0001ST ${PATH} HTTP/1.1`,
      ` POST ${PATH} HTTP/1.1`,
    ]) {
      await refused(["Content-Length: 2"], "{}", line);
    }
  });

  test("H02 a trailer cannot bring back a header that was judged", async () => {
    const connection = await openRaw(g.url);
    const head = [
      ...(await lines("POST", PATH)),
      "Content-Type: application/json",
      "Transfer-Encoding: chunked",
      "Trailer: x-cordon-agent",
    ];
    connection.write(
      rawRequest(
        `POST ${PATH} HTTP/1.1`,
        head,
        'b\r\n{"score":1}\r\n0\r\nx-cordon-agent: spiffe://evil\r\nauthorization: Bearer evil\r\n\r\n',
      ),
    );
    assert.equal((await connection.answers(1))[0]?.status, 200);
    connection.destroy();
    assert.equal(g.tool.seen[0]?.headers["x-cordon-agent"], agent.id);
    assert.ok(!JSON.stringify(g.tool.seen).includes("evil"));
  });

  test("H02 the second of two requests on a connection is judged on its own: without credentials it is refused", async () => {
    const connection = await openRaw(g.url);
    const bare = rawRequest(`GET ${HIDDEN} HTTP/1.1`, [`Host: ${hostOf(g.url)}`]);
    connection.write((await hidden()) + bare);
    assert.deepEqual(
      (await connection.answers(2)).map(({ status }) => status),
      [200, 401],
    );
    connection.destroy();
    assert.equal(g.tool.seen.length, 1);
  });

  test("H02 an upgrade or CONNECT behind an open request never writes into its answer, nor in its place", async () => {
    for (const second of [
      rawRequest(`GET ${HIDDEN} HTTP/1.1`, [
        ...(await lines("GET", HIDDEN)),
        "Connection: Upgrade",
        "Upgrade: websocket",
      ]),
      rawRequest("CONNECT evil.example:443 HTTP/1.1", ["Host: evil.example:443"]),
    ]) {
      // The tool answers only once the connection is gone: what the client reads is the gateway's alone.
      g.tool.answer = (_request, response) => void response.on("close", () => response.destroy());
      const connection = await openRaw(g.url);
      connection.write((await hidden()) + second);
      await connection.closed;
      connection.destroy();
      assert.equal(connection.received(), "");
    }
    await g.lines("access", (line) => line["reason"] === "exchange.connect_refused");
  });

  test("H02 an expectation that nobody knows is refused", async () => {
    await refused(["Expect: 200-ok", "Content-Length: 2"], "{}");
  });

  for (const pad of ["a: b", `x-padding: ${"y".repeat(10)}`]) {
    test(`H01 2,000 headers (${pad.length} bytes each) before the framing are refused with 431 and nothing is forwarded`, async () => {
      for (const framing of ["Content-Length: 2", "Transfer-Encoding: chunked"]) {
        const head = [
          ...(await lines("POST", PATH)),
          "Content-Type: application/json",
          ...Array.from({ length: 2000 }, () => pad),
          framing,
        ];
        const bytes = rawRequest(`POST ${PATH} HTTP/1.1`, head, `0\r\n\r\n${await hidden()}`);
        const answers = await sendRaw(g.url, bytes);
        assert.deepEqual(
          answers.map(({ status }) => status),
          [431],
        );
        assert.equal(g.tool.seen.length, 0);
      }
    });
  }

  test("H01 headers above the limit of bytes are refused with 431", async () => {
    const answers = await sendRaw(
      g.url,
      rawRequest(
        `POST ${PATH} HTTP/1.1`,
        [...(await lines("POST", PATH)), `X-A: ${"a".repeat(70_000)}`, "Content-Length: 2"],
        "{}",
      ),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      [431],
    );
    await g.lines("access", (line) => line["reason"] === "exchange.headers_too_large");
  });
});
