// H17: a tool that closes, stalls, floods or answers unasked. One caller sees the fault, with bounded memory, and no other does.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { after, before, describe, test } from "node:test";
import { accessLine } from "../fixtures/access-lines.ts";
import { type RawTool, startRawTool, toolRoute } from "../fixtures/scripted-tool.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 30_000 };
const STALL_MS = 300;

const answerOf = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe("H17 a tool that misbehaves", () => {
  let g: TestGateway;
  let tool: RawTool;
  let agent: TestAgent;
  before(async () => {
    tool = await startRawTool();
    const upstream = { headers_timeout_ms: STALL_MS, body_idle_timeout_ms: STALL_MS };
    g = await startTestGateway({
      routes: [
        toolRoute("tool", tool.url, { upstream }),
        toolRoute("strict", tool.url, { upstream, audit: "strict", limits: { response_bytes_max: 100_000 } }),
        // One connection: whatever a tool leaves on it would meet the next caller.
        toolRoute("single", tool.url, { upstream: { connections_max: 1 } }),
        {
          ...toolRoute("redacted", tool.url, { upstream, methods: ["GET"] }),
          path: "/redacted/{job_id}/{id}",
          resource: { type: "candidate_profiles", classification: "interview_safe" },
        },
      ],
    });
    agent = await g.agent();
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  /** One call; where the answer does not end cleanly, `complete` is false. */
  async function ask(target: string): Promise<{ status: number | undefined; text: string; complete: boolean }> {
    const url = g.url + target;
    const asked = request(url, { headers: await agent.headers(url), agent: false });
    asked.end();
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    let text = "";
    answer.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    answer.on("error", () => answer.destroy());
    await new Promise<void>((resolve) => answer.once("close", () => resolve()));
    return { status: answer.statusCode, text, complete: answer.complete };
  }
  async function outcomeOf(id: unknown): Promise<Record<string, unknown> | undefined> {
    const isIt = (line: Record<string, unknown>): boolean => line["type"] === "outcome" && line["request_id"] === id;
    return (await g.lines("audit", isIt)).find(isIt);
  }

  const FAULTS: readonly (readonly [name: string, bytes: string | null, status: number, reason: string])[] = [
    ["closes without an answer", "", 502, "upstream.closed"],
    ["closes in the middle of its head", "HTTP/1.1 200 OK\r\nContent-Le", 502, "upstream.closed"],
    ["answers something that is not HTTP", "SSH-2.0-OpenSSH\r\n\r\n", 502, "upstream.protocol"],
    ["frames its answer twice", answerOf("x").replace("OK", "OK\r\nTransfer-Encoding: chunked"), 502, "any"],
    [
      "switches protocols unasked",
      "HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
      502,
      "upstream.protocol",
    ],
    ["never answers", null, 504, "upstream.timeout"],
    ["sends 1xx without end", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(50), 502, "upstream.protocol"],
  ];
  for (const [index, [name, bytes, status, reason]] of FAULTS.entries()) {
    test(`H17 a tool that ${name} is ${status}, in one line and with an outcome`, LIMIT, async () => {
      tool.answer = (socket) => void (bytes !== null && socket.end(bytes, "latin1"));
      for (const route of ["tool", "strict"]) {
        const target = `/${route}/fault-${index}`;
        const answer = await agent.call(g.url + target);
        assert.equal(answer.status, status);
        const line = await accessLine(g, target);
        assert.deepEqual([line["status"], line["outcome"]], [status, "failed"]);
        assert.match(String(line["reason"]), reason === "any" ? /^upstream\./ : new RegExp(`^${reason}$`));
        const outcome = await outcomeOf(line["request_id"]);
        assert.equal(outcome?.["sent"], true, "it may have been done, and the record says so");
      }
    });
  }

  for (const head of ["Content-Length: 100", "Transfer-Encoding: chunked", "Connection: close\r\nContent-Length: 9"]) {
    test(`H17 a tool that closes in mid-body (${head.split("\r\n").at(-1)}) never looks complete`, LIMIT, async () => {
      tool.answer = (socket) => void socket.end(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n5\r\nhel`);
      const target = `/tool/mid-body-${head.length}`;
      const answer = await ask(target);
      assert.deepEqual([answer.status, answer.complete], [200, false]);
      const line = await accessLine(g, target);
      assert.deepEqual([line["outcome"], line["reason"]], ["failed", "upstream.closed"]);
      assert.equal((await outcomeOf(line["request_id"]))?.["reason"], "upstream.closed");
    });
  }

  test("H17 a tool that stalls in mid-body is cut after the idle time, and never looks complete", LIMIT, async () => {
    tool.answer = (socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    const answer = await ask("/tool/stall");
    assert.deepEqual([answer.status, answer.text, answer.complete], [200, "half", false]);
    assert.equal((await accessLine(g, "/tool/stall"))["reason"], "upstream.timeout");
  });

  test(
    "H17 an answer that must be redacted is 502 or 504 when it breaks off: no part of it goes out",
    LIMIT,
    async () => {
      const half = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"salary":1';
      tool.answer = (socket) => void socket.end(half);
      const closed = await ask("/redacted/J42/closed");
      assert.equal(closed.status, 502);
      assert.ok(!closed.text.includes("salary"));
      tool.answer = (socket) => void socket.write(half);
      const stalled = await ask("/redacted/J42/stalled");
      assert.equal(stalled.status, 504);
      assert.ok(!stalled.text.includes("salary"));
      assert.equal((await accessLine(g, "/redacted/J42/closed"))["reason"], "upstream.closed");
      assert.equal((await accessLine(g, "/redacted/J42/stalled"))["reason"], "upstream.timeout");
    },
  );

  test("H17 headers without end are refused at a bounded size", LIMIT, async () => {
    let written = 0;
    tool.answer = (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const more = (error?: Error | null): void => {
        if (error || socket.destroyed || written > 100_000_000) return;
        const line = `X-Pad-${written}: ${"a".repeat(8000)}\r\n`;
        written += line.length;
        socket.write(line, more);
      };
      more();
    };
    const before = process.memoryUsage().rss;
    assert.equal((await agent.call(`${g.url}/tool/headers`)).status, 502);
    assert.ok(written < 20_000_000, `${written} bytes were taken`);
    assert.ok(process.memoryUsage().rss - before < 50_000_000);
    assert.equal((await accessLine(g, "/tool/headers"))["reason"], "upstream.protocol");
  });

  test("H17 a body above the cap is cut, announced or not", LIMIT, async () => {
    tool.answer = (socket) => void socket.end(answerOf("x".repeat(100_001)));
    assert.equal((await agent.call(`${g.url}/strict/announced`)).status, 502);
    tool.answer = (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      const more = (error?: Error | null): void => {
        if (!error && !socket.destroyed) socket.write(`1000\r\n${"x".repeat(4096)}\r\n`, more);
      };
      more();
    };
    assert.equal((await ask("/strict/unannounced")).complete, false);
    for (const name of ["announced", "unannounced"]) {
      assert.equal((await accessLine(g, `/strict/${name}`))["reason"], "upstream.response_too_large");
    }
  });

  test("H17 an answer that comes unasked on an idle connection is never given to the next caller", LIMIT, async () => {
    tool.answer = (socket) => void socket.write(answerOf("mine"));
    tool.sockets.length = 0;
    assert.equal((await agent.call(`${g.url}/single/first`)).text, "mine");
    const [idle] = tool.sockets;
    assert.ok(idle && !idle.destroyed, "the connection is kept");
    const closed = new Promise<void>((resolve) => idle.once("close", () => resolve()));
    idle.write(answerOf("poison"));
    await closed;
    const other = await g.agent();
    assert.equal((await other.call(`${g.url}/single/second`)).text, "mine");
    assert.equal(tool.sockets.length, 2, "on a connection of its own");
  });

  test("H17 a second answer behind the first is never given to the next caller", LIMIT, async () => {
    tool.answer = (socket, head) => {
      const path = /^GET (\S+)/.exec(head)?.[1] ?? "";
      socket.write(answerOf(`for ${path}`) + answerOf(`poison of ${path}`));
    };
    const others = await Promise.all(Array.from({ length: 3 }, () => g.agent()));
    for (let round = 0; round < 9; round++) {
      const target = `/single/pair-${round}`;
      const answer = await (others[round % 3] ?? agent).call(g.url + target);
      // The connection is spoiled: the answer may be lost with it, but it is never another one's.
      if (answer.status === 200) assert.equal(answer.text, `for ${target}`);
      else assert.equal(answer.status, 502);
    }
  });

  test("H17 one caller's fault leaves other callers alone", LIMIT, async () => {
    tool.answer = (socket, head) => {
      if (head.includes("/bad-")) socket.end("garbage");
      else socket.write(answerOf("fine"));
    };
    const calls = Array.from({ length: 20 }, (_, n) =>
      agent.call(`${g.url}/tool/${n % 2 === 0 ? "bad" : "good"}-${n}`),
    );
    const answers = await Promise.all(calls);
    assert.deepEqual(
      answers.map((answer) => answer.status),
      Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? 502 : 200)),
    );
  });
});
