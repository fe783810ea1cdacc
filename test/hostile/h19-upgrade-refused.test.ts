// H19: upgrades that are not a WebSocket, not allowed, or not answered by one. No tunnel is opened, and each is one line in the log.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, beforeEach, describe, test } from "node:test";
import { accessLine } from "../fixtures/access-lines.ts";
import { type RawTool, startRawTool, toolRoute } from "../fixtures/scripted-tool.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { askRaw, hostOf, openRaw, type RawAnswer } from "./raw-client.ts";

const LIMIT = { timeout: 30_000 };
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = createHash("sha1").update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
const WEBSOCKET = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  `Sec-WebSocket-Key: ${KEY}`,
];
const switching = (lines: readonly string[]): string =>
  `HTTP/1.1 101 Switching Protocols\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
const GOOD = switching(["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${ACCEPT}`]);

describe("H19 upgrades", () => {
  let g: TestGateway;
  let tool: RawTool;
  let agent: TestAgent;
  before(async () => {
    tool = await startRawTool();
    const upstream = { headers_timeout_ms: 500 };
    g = await startTestGateway({
      routes: [
        toolRoute("socket", tool.url, { upgrade: ["websocket"], upstream }),
        toolRoute("denied", tool.url, {
          upgrade: ["websocket"],
          resource: { type: "nothing_allows", classification: "x" },
        }),
        {
          ...toolRoute("profile", tool.url, { upgrade: ["websocket"], methods: ["GET"] }),
          path: "/profile/{job_id}/{id}",
          resource: { type: "candidate_profiles", classification: "interview_safe" },
        },
        toolRoute("plain", tool.url),
      ],
    });
    agent = await g.agent();
  });
  after(async () => {
    await g.close();
    await tool.close();
  });
  beforeEach(() => {
    tool.sockets.length = 0;
    tool.answer = (socket) => void socket.write(GOOD);
  });

  async function head(target: string, lines: readonly string[], method = "GET"): Promise<string> {
    const { authorization, dpop } = await agent.headers(g.url + target, method);
    const own = [`Host: ${hostOf(g.url)}`, `Authorization: ${authorization}`, `DPoP: ${dpop}`];
    return `${[`${method} ${target} HTTP/1.1`, ...own, ...lines].join("\r\n")}\r\n\r\n`;
  }
  async function refusal(target: string, lines: readonly string[], method = "GET"): Promise<RawAnswer> {
    return askRaw(g.url, await head(target, lines, method));
  }

  test("H19 the same upgrade without a fault opens a tunnel, so that only the fault is to blame", LIMIT, async () => {
    const connection = await openRaw(g.url);
    connection.write(await head("/socket/good", WEBSOCKET));
    assert.equal(await connection.answered(), true);
    assert.match(connection.received(), /^HTTP\/1\.1 101 /);
    assert.match(connection.received(), new RegExp(`sec-websocket-accept: ${ACCEPT.replaceAll("+", "\\+")}`, "i"));
    connection.destroy();
    assert.equal((await accessLine(g, "/socket/good"))["status"], 101);
  });

  const REFUSED: readonly (readonly [what: string, path: string, lines: readonly string[], method: string])[] = [
    ["a WebSocket on a route that allows none", "/plain/websocket", WEBSOCKET, "GET"],
    ["h2c", "/socket/h2c", ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"], "GET"],
    ["another protocol", "/socket/tls", ["Connection: Upgrade", "Upgrade: TLS/1.0"], "GET"],
    [
      "a list of protocols",
      "/socket/list",
      ["Connection: Upgrade", "Upgrade: websocket, h2c", ...WEBSOCKET.slice(2)],
      "GET",
    ],
    ["a WebSocket with a body", "/socket/body", [...WEBSOCKET, "Content-Length: 5"], "GET"],
    ["a WebSocket with a chunked body", "/socket/chunked", [...WEBSOCKET, "Transfer-Encoding: chunked"], "GET"],
    ["a WebSocket by POST", "/socket/post", WEBSOCKET, "POST"],
  ];
  for (const [what, path, lines, method] of REFUSED) {
    test(`H19 ${what} is refused, and the tool sees nothing`, LIMIT, async () => {
      const answer = await refusal(path, lines, method);
      assert.ok(answer.status === 400 || answer.status === 405, answer.head);
      assert.equal(tool.sockets.length, 0);
      const line = await accessLine(g, path);
      assert.deepEqual([line["status"], line["outcome"]], [answer.status, "denied"]);
      assert.match(String(line["reason"]), /^exchange\.|^route\./);
    });
  }

  test("H19 CONNECT is refused with and without credentials, and nobody is connected to", LIMIT, async () => {
    const target = tool.url.replace("http://", "");
    const answer = await askRaw(g.url, `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    assert.equal(answer.status, 405);
    const { authorization, dpop } = await agent.headers(`${g.url}/`, "CONNECT");
    const proven = await askRaw(
      g.url,
      `CONNECT ${target} HTTP/1.1\r\nHost: ${hostOf(g.url)}\r\nAuthorization: ${authorization}\r\nDPoP: ${dpop}\r\n\r\n`,
    );
    assert.equal(proven.status, 405);
    assert.equal(tool.sockets.length, 0);
    const isIt = (line: Record<string, unknown>): boolean => line["reason"] === "exchange.connect_refused";
    await g.lines("access", isIt);
  });

  test("H19 an upgrade that policy denies, or whose answers it wants redacted, opens no tunnel", LIMIT, async () => {
    assert.equal((await refusal("/denied/1", WEBSOCKET)).status, 403);
    assert.equal((await accessLine(g, "/denied/1"))["reason"], "policy.denied");
    assert.equal((await refusal("/profile/J42/1", WEBSOCKET)).status, 502);
    assert.equal((await accessLine(g, "/profile/J42/1"))["reason"], "upstream.cannot_redact");
    assert.equal(tool.sockets.length, 0);
  });

  test("H19 an upgrade of a blocked agent is refused", LIMIT, async () => {
    const other = await g.agent();
    const blocked = { id: other.id, mode: "blocked", reason: "a test of upgrades" };
    assert.equal((await g.operate("PUT", "/v1/containment/agent", blocked)).status, 200);
    const { authorization, dpop } = await other.headers(`${g.url}/socket/blocked`);
    const own = [`Host: ${hostOf(g.url)}`, `Authorization: ${authorization}`, `DPoP: ${dpop}`];
    const bytes = `${["GET /socket/blocked HTTP/1.1", ...own, ...WEBSOCKET].join("\r\n")}\r\n\r\n`;
    assert.equal((await askRaw(g.url, bytes)).status, 403);
    assert.equal(tool.sockets.length, 0);
  });

  const ANSWERS: readonly (readonly [what: string, bytes: string | null, status: number, reason: string])[] = [
    ["answers 200", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret", 502, "upstream.protocol"],
    ["refuses with 403", "HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nsecret", 502, "upstream.protocol"],
    ["switches to another protocol", switching(["Upgrade: h2c", "Connection: Upgrade"]), 502, "upstream.protocol"],
    [
      "does not prove that it read the key",
      switching(["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: AAAA"]),
      502,
      "upstream.protocol",
    ],
    ["closes", "", 502, "upstream.closed"],
    ["never answers", null, 504, "upstream.timeout"],
  ];
  for (const [index, [what, bytes, status, reason]] of ANSWERS.entries()) {
    test(`H19 a tool that ${what} opens no tunnel`, LIMIT, async () => {
      tool.answer = (socket) => void (bytes === "" ? socket.end() : bytes !== null && socket.write(bytes));
      const answer = await refusal(`/socket/answer-${index}`, WEBSOCKET);
      assert.equal(answer.status, status);
      assert.ok(!answer.body.includes("secret"), "what the tool said goes to nobody");
      const line = await accessLine(g, `/socket/answer-${index}`);
      assert.deepEqual([line["status"], line["outcome"], line["reason"]], [status, "failed", reason]);
    });
  }

  test("H19 bytes behind the upgrade reach the tool only when the tunnel is open", LIMIT, async () => {
    const sent = Promise.withResolvers<string>();
    tool.answer = (socket, text) => {
      if (text.includes("smuggled")) sent.resolve(text);
      else socket.end("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", () => sent.resolve(text));
    };
    const smuggled = `${await head("/socket/behind", WEBSOCKET)}GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n`;
    assert.equal((await askRaw(g.url, smuggled)).status, 502);
    assert.ok(!(await sent.promise).includes("smuggled"), "a tool that did not switch would read it as a request");
  });
});
