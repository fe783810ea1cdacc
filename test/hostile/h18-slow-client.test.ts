// H18: a caller that sends its head or its body drop by drop, or never reads. It is ended in time, in one line, and costs nobody else.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { setInterval } from "node:timers";
import { accessLine } from "../fixtures/access-lines.ts";
import { type ScriptedTool, startScriptedTool, toolRoute } from "../fixtures/scripted-tool.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { hostOf, openRaw, type RawConnection } from "./raw-client.ts";

const LIMIT = { timeout: 30_000 };
const DRIP_MS = 100;
const HEADERS_TIMEOUT_MS = 500;
const REQUEST_TIMEOUT_MS = 1000;
/** Node looks for connections that took too long once a second. */
const SLACK_MS = 4000;
const IDLE_MS = 300;

describe("H18 slow callers", () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  let agent: TestAgent;
  before(async () => {
    tool = await startScriptedTool();
    const upstream = { body_idle_timeout_ms: IDLE_MS };
    g = await startTestGateway({
      limits: { headers_timeout_ms: HEADERS_TIMEOUT_MS, request_timeout_ms: REQUEST_TIMEOUT_MS },
      routes: [
        toolRoute("json", tool.url, { upstream }),
        toolRoute("upload", tool.url, { upstream, body: "stream" }),
        toolRoute("large", tool.url, { upstream, limits: { response_bytes_max: 2 ** 30 } }),
      ],
    });
    agent = await g.agent();
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  /** Writes one drop after the other until the other side ends the connection. */
  async function drip(connection: RawConnection, drop: string): Promise<number> {
    const startedAt = performance.now();
    const timer = setInterval(() => connection.write(drop), DRIP_MS);
    await connection.closed;
    clearInterval(timer);
    connection.destroy();
    return performance.now() - startedAt;
  }
  async function head(target: string, more: string): Promise<string> {
    const credentials = await agent.headers(g.url + target, "POST");
    return `POST ${target} HTTP/1.1\r\nHost: ${hostOf(g.url)}\r\nAuthorization: ${credentials.authorization}\r\nDPoP: ${credentials.dpop}\r\nContent-Type: application/json\r\n${more}\r\n\r\n`;
  }
  /** Lines of requests whose head never came. */
  const headless = (lines: Record<string, unknown>[]): Record<string, unknown>[] =>
    lines.filter((line) => line["reason"] === "exchange.timeout" && line["path"] === "");

  test("H18 a head that comes drop by drop is 408 in time, and others are served meanwhile", LIMIT, async () => {
    const slow = await Promise.all(Array.from({ length: 10 }, () => openRaw(g.url)));
    for (const connection of slow) connection.write(`GET /json/1 HTTP/1.1\r\nHost: ${hostOf(g.url)}\r\nX-Drip: `);
    const times = Promise.all(slow.map((connection) => drip(connection, "a")));
    let served = 0;
    while (slow.some((connection) => connection.received() === "")) {
      assert.equal((await agent.call(`${g.url}/json/honest`)).status, 200);
      served += 1;
    }
    assert.ok(served > 0);
    for (const tookMs of await times) assert.ok(tookMs < HEADERS_TIMEOUT_MS + SLACK_MS, `${tookMs} ms`);
    for (const connection of slow) assert.match(connection.received(), /^HTTP\/1\.1 408 /);
    // Lines are in order: those of the slow ones stand before that of a call made now.
    await agent.call(`${g.url}/json/after`);
    await accessLine(g, "/json/after");
    assert.equal(headless(await g.lines("access", () => true)).length, slow.length);
  });

  test("H18 a body that comes drop by drop is 408 in time, and the tool sees nothing of it", LIMIT, async () => {
    tool.handle = () => assert.fail("the tool was called");
    const connection = await openRaw(g.url);
    connection.write(await head("/json/drip", "Content-Length: 100000"));
    const tookMs = await drip(connection, " ");
    assert.ok(tookMs < REQUEST_TIMEOUT_MS + SLACK_MS, `${tookMs} ms`);
    assert.match(connection.received(), /^HTTP\/1\.1 408 /);
    const line = await accessLine(g, "/json/drip");
    assert.deepEqual([line["status"], line["outcome"], line["reason"]], [408, "denied", "exchange.timeout"]);
    assert.equal(line["agent"], agent.id, "the line knows whose it was");
  });

  test("H18 an upload that comes drop by drop is ended in time, and the tool's request with it", LIMIT, async () => {
    const arriving = Promise.withResolvers<IncomingMessage>();
    tool.handle = (atTool) => arriving.resolve(atTool.resume());
    const connection = await openRaw(g.url);
    connection.write(await head("/upload/drip", "Content-Length: 100000"));
    const dripped = drip(connection, "x");
    const atTool = await arriving.promise;
    const aborted = new Promise<void>((resolve) => atTool.once("close", () => resolve()));
    assert.ok((await dripped) < REQUEST_TIMEOUT_MS + SLACK_MS);
    await aborted;
    assert.equal(atTool.complete, false);
    const line = await accessLine(g, "/upload/drip");
    assert.deepEqual([line["status"], line["outcome"], line["reason"]], [408, "failed", "exchange.timeout"]);
    const isIt = (one: Record<string, unknown>): boolean =>
      one["type"] === "outcome" && one["request_id"] === line["request_id"];
    const outcome = (await g.lines("audit", isIt)).find(isIt);
    assert.deepEqual([outcome?.["sent"], outcome?.["outcome"]], [true, "failed"]);
  });

  test("H18 a caller who never reads is cut after the idle time, with bounded memory", LIMIT, async () => {
    let written = 0;
    const chunk = Buffer.alloc(262_144);
    tool.handle = (_atTool, answer) => {
      answer.writeHead(200, { "content-length": String(2 ** 29) });
      const more = (): void => {
        do written += chunk.length;
        while (!answer.destroyed && answer.write(chunk));
        if (!answer.destroyed) answer.once("drain", more);
      };
      more();
    };
    const before = process.memoryUsage().rss;
    const target = "/large/unread";
    const credentials = await agent.headers(g.url + target);
    const socket = connect(Number(new URL(g.url).port), "127.0.0.1").pause();
    socket.on("error", () => socket.destroy());
    await once(socket, "connect");
    socket.write(
      `GET ${target} HTTP/1.1\r\nHost: ${hostOf(g.url)}\r\nAuthorization: ${credentials.authorization}\r\nDPoP: ${credentials.dpop}\r\n\r\n`,
    );
    const line = await accessLine(g, target);
    assert.deepEqual([line["outcome"], line["reason"]], ["failed", "exchange.client_closed"]);
    assert.match(String(line["detail"]), /stopped reading/);
    assert.ok(written < 40 * 2 ** 20, `${written} bytes were taken from the tool`);
    const growth = process.memoryUsage().rss - before;
    assert.ok(growth < 64 * 2 ** 20, `grew by ${growth} bytes`);
    socket.destroy();
  });
});
