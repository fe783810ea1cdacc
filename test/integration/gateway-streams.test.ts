// Bodies that flow: event streams, uploads that ask first, trailers, slow readers and callers who leave, through the whole gateway.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { accessLine } from "../fixtures/access-lines.ts";
import { type ScriptedTool, startScriptedTool, toolRoute } from "../fixtures/scripted-tool.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 30_000 };
const quarterSecond = (): Promise<void> => setTimeout(250);

describe("streams through the gateway", () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  let agent: TestAgent;
  before(async () => {
    tool = await startScriptedTool();
    g = await startTestGateway({
      routes: [
        toolRoute("events", tool.url),
        toolRoute("json", tool.url),
        toolRoute("upload", tool.url, { body: "stream" }),
        toolRoute("denied", tool.url, { body: "stream", resource: { type: "nothing_allows", classification: "x" } }),
        toolRoute("denied-json", tool.url, { resource: { type: "nothing_allows", classification: "x" } }),
      ],
    });
    agent = await g.agent();
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  interface AskOptions {
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
  }
  async function ask(target: string, { method = "GET", headers = {} }: AskOptions = {}): Promise<ClientRequest> {
    const url = g.url + target;
    return request(url, { method, headers: { ...(await agent.headers(url, method)), ...headers }, agent: false });
  }
  const responseTo = async (asked: ClientRequest): Promise<IncomingMessage> =>
    ((await once(asked, "response")) as [IncomingMessage])[0];
  async function textOf(body: IncomingMessage): Promise<string> {
    let text = "";
    for await (const chunk of body) text += String(chunk);
    return text;
  }
  /** The tool's side of the next request. */
  function nextAtTool(): Promise<{ atTool: IncomingMessage; answer: ServerResponse }> {
    return new Promise((resolve) => {
      tool.handle = (atTool, answer) => resolve({ atTool, answer });
    });
  }

  test("each event of a stream reaches the caller before the tool sends the next one", LIMIT, async () => {
    const arriving = nextAtTool();
    const asked = await ask("/events/1");
    asked.end();
    const { answer } = await arriving;
    answer.writeHead(200, { "content-type": "text/event-stream" });
    answer.flushHeaders();
    const stream = await responseTo(asked);
    assert.equal(stream.headers["content-type"], "text/event-stream");
    for (let n = 1; n <= 5; n++) {
      const event = once(stream, "data");
      answer.write(`data: ${n}\n\n`);
      assert.equal(String((await event)[0]), `data: ${n}\n\n`);
    }
    const ended = once(stream, "end");
    answer.end();
    await ended;
    const line = await accessLine(g, "/events/1");
    assert.deepEqual([line["status"], line["outcome"], line["bytes_out"]], [200, "forwarded", 45]);
  });

  test("100-continue: a JSON body and a streamed upload are asked for, and judged", LIMIT, async () => {
    tool.handle = (atTool, answer) => void textOf(atTool).then((text) => answer.end(`got ${text.length}`));
    for (const target of ["/json/continue", "/upload/continue"]) {
      const asked = await ask(target, {
        method: "POST",
        headers: { expect: "100-continue", "content-type": "application/json", "content-length": "7" },
      });
      const refusedAt = responseTo(asked);
      asked.flushHeaders();
      await once(asked, "continue");
      asked.end('{"a":1}');
      const answer = await refusedAt;
      assert.deepEqual([answer.statusCode, await textOf(answer)], [200, "got 7"], target);
    }
  });

  test("100-continue: an upload is asked for only after the policy allowed it", LIMIT, async () => {
    const decided = g.lines("decision", (line) => JSON.stringify(line).includes('"after-decision"'));
    tool.handle = (atTool, answer) => void textOf(atTool).then((text) => answer.end(text));
    const asked = await ask("/upload/after-decision", {
      method: "POST",
      headers: { expect: "100-continue", "content-length": "2" },
    });
    asked.flushHeaders();
    await once(asked, "continue");
    // Nothing but the head was sent so far, and the decision is made.
    await decided;
    const answer = responseTo(asked);
    asked.end("ok");
    assert.equal(await textOf(await answer), "ok");
  });

  test(
    "100-continue: a request that is denied gets its answer and no 100, and the connection ends",
    LIMIT,
    async () => {
      tool.handle = () => assert.fail("the tool was called");
      const { host } = new URL(g.url);
      const refusals: [string, number, Record<string, string>][] = [
        ["/denied/continue", 403, await agent.headers(`${g.url}/denied/continue`, "POST")],
        ["/upload/unproven", 401, {}],
        ["/json/unproven", 401, {}],
        ["/json/too-large", 413, await agent.headers(`${g.url}/json/too-large`, "POST")],
        ["/nothing/here", 404, await agent.headers(`${g.url}/nothing/here`, "POST")],
      ];
      for (const [target, status, headers] of refusals) {
        const socket = connect(Number(new URL(g.url).port), "127.0.0.1");
        let text = "";
        socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
        const lines = Object.entries({ ...headers, host, expect: "100-continue", "content-type": "application/json" });
        const length = status === 413 ? 2_000_000 : 70_000;
        socket.write(
          `POST ${target} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}content-length: ${length}\r\n\r\n`,
        );
        await once(socket, "close");
        assert.match(text, new RegExp(`^HTTP/1\\.1 ${status} `), target);
        assert.doesNotMatch(text, /HTTP\/1\.1 100/);
      }
    },
  );

  test("100-continue: where policy needs the body it is asked for, and the denial is the answer", LIMIT, async () => {
    tool.handle = () => assert.fail("the tool was called");
    const asked = await ask("/denied-json/1", {
      method: "POST",
      headers: { expect: "100-continue", "content-type": "application/json", "content-length": "2" },
    });
    asked.flushHeaders();
    await once(asked, "continue");
    const answer = responseTo(asked);
    asked.end("{}");
    assert.equal((await answer).statusCode, 403);
    (await answer).resume();
  });

  test(
    "trailers of the tool reach the caller, those of the caller with gateway names do not reach the tool",
    LIMIT,
    async () => {
      tool.handle = (_atTool, answer) => {
        answer.writeHead(200, { "content-type": "text/plain", trailer: "x-checksum" });
        answer.write("body");
        answer.addTrailers({ "x-checksum": "abc", "x-cordon-agent": "a lie" });
        answer.end();
      };
      const asked = await ask("/events/trailers");
      asked.end();
      const answer = await responseTo(asked);
      assert.equal(await textOf(answer), "body");
      assert.equal(answer.trailers["x-checksum"], "abc");
      assert.equal(answer.trailers["x-cordon-agent"], undefined);
    },
  );

  test("an upload flows on while it is sent, and is not gathered first", LIMIT, async () => {
    const arriving = nextAtTool();
    const asked = await ask("/upload/flow", { method: "POST" });
    asked.write("one");
    const { atTool, answer } = await arriving;
    assert.equal(String((await once(atTool, "data"))[0]), "one");
    const second = once(atTool, "data");
    asked.write("two");
    assert.equal(String((await second)[0]), "two");
    const response = responseTo(asked);
    atTool.once("end", () => answer.end("done"));
    asked.end();
    assert.equal(await textOf(await response), "done");
  });

  test("a slow reader of 50 MB costs no memory to speak of: the tool is held back", LIMIT, async () => {
    const BYTES = 50 * 2 ** 20;
    const chunk = Buffer.alloc(65_536, "x");
    let written = 0;
    tool.handle = (_atTool, answer) => {
      answer.writeHead(200, { "content-type": "application/octet-stream", "content-length": String(BYTES) });
      const more = (): void => {
        while (written < BYTES) {
          written += chunk.length;
          if (answer.write(chunk)) continue;
          answer.once("drain", more);
          return;
        }
        answer.end();
      };
      more();
    };
    const rssBefore = process.memoryUsage().rss;
    const asked = await ask("/events/backpressure");
    asked.end();
    const answer = await responseTo(asked);
    answer.pause();
    // Buffers are full when two looks see the same; nothing tells of what does not happen.
    for (let before = -1; before !== written; await quarterSecond()) before = written;
    assert.ok(written < 25 * 2 ** 20, `${written} bytes were taken from the tool while nobody read`);
    const growth = process.memoryUsage().rss - rssBefore;
    assert.ok(growth < 40 * 2 ** 20, `grew by ${growth} bytes`);
    let read = 0;
    answer.on("data", (part: Buffer) => (read += part.length));
    const ended = once(answer, "end");
    answer.resume();
    await ended;
    assert.equal(read, BYTES);
    assert.equal((await accessLine(g, "/events/backpressure"))["bytes_out"], BYTES);
  });

  test("a caller who leaves takes the tool's request along, and is one line with 499", LIMIT, async () => {
    for (const [target, method] of [
      ["/events/left-before", "GET"],
      ["/upload/left-upload", "POST"],
    ] as const) {
      const arriving = nextAtTool();
      const asked = await ask(target, { method });
      asked.on("error", () => asked.destroy());
      if (method === "POST") asked.write("half");
      else asked.end();
      const { atTool } = await arriving;
      const aborted = new Promise<void>((resolve) => atTool.once("close", () => resolve()));
      asked.destroy();
      await aborted;
      const line = await accessLine(g, target);
      assert.deepEqual(
        [line["status"], line["outcome"], line["reason"]],
        [499, "failed", "exchange.client_closed"],
        target,
      );
    }
  });

  test("a caller who leaves in the middle of a stream ends it at the tool too, in one line", LIMIT, async () => {
    const arriving = nextAtTool();
    const asked = await ask("/events/left-stream");
    asked.on("error", () => asked.destroy());
    asked.end();
    const { answer } = await arriving;
    answer.writeHead(200, { "content-type": "text/event-stream" });
    answer.write("data: 1\n\n");
    const stream = await responseTo(asked);
    stream.on("error", () => stream.destroy());
    await once(stream, "data");
    const aborted = new Promise<void>((resolve) => answer.once("close", () => resolve()));
    asked.destroy();
    await aborted;
    const line = await accessLine(g, "/events/left-stream");
    assert.deepEqual([line["outcome"], line["reason"]], ["failed", "exchange.client_closed"]);
  });
});
