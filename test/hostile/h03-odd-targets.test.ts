// H03, H10, H11, H19: targets, bodies and upgrades that other readers take for something else. Refused before policy.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { hostOf, type RawAnswer, rawRequest, askRaw } from "./raw-client.ts";

const PATH = "/ats/jobs/J42/candidates/C1";
const BODY_BYTES_MAX = 2000;

describe("H03 H10 H11 H19 odd targets, bodies and upgrades", () => {
  let g: TestGateway;
  let agent: TestAgent;
  before(async () => {
    g = await startTestGateway(({ toolUrl }) => {
      const resource = { type: "candidate_profiles", classification: "interview_safe" };
      const upstream = { url: toolUrl, strip_prefix: "/ats", allow_private_addresses: true };
      const limits = { body_bytes_max: BODY_BYTES_MAX };
      return {
        routes: [
          { name: "open", path: "/ats/**", methods: ["GET", "POST"], mode: "observe", resource, upstream, limits },
          {
            name: "segment",
            path: "/ats/segment/{name}",
            methods: ["GET"],
            mode: "observe",
            encoded_slash: "segment",
            resource,
            upstream,
          },
        ],
      };
    });
    agent = await g.agent();
    g.tool.answer = (_request, response) => void response.writeHead(200, { "content-length": 2 }).end("{}");
  });
  after(() => g.close());
  beforeEach(() => {
    g.tool.seen.length = 0;
  });

  /** Good credentials for `proven`; what goes out is `target`. */
  async function send(
    target: string,
    more: readonly string[] = [],
    body = "",
    proven = target.split("?")[0] ?? "",
  ): Promise<RawAnswer> {
    const method = more.length > 0 && body !== "" ? "POST" : "GET";
    const { authorization, dpop } = await agent.headers(/^https?:/.test(proven) ? proven : g.url + proven, method);
    const lines = [`Host: ${hostOf(g.url)}`, `Authorization: ${authorization}`, `DPoP: ${dpop}`, ...more];
    return askRaw(g.url, Buffer.from(rawRequest(`${method} ${target} HTTP/1.1`, lines, body), "latin1"));
  }

  test("H03 a plain target is forwarded byte for byte, so that only the oddity is to blame", async () => {
    assert.equal((await send(`${PATH}?a=%C3%A4&b=c+d`)).status, 200);
    assert.equal(g.tool.seen[0]?.url, "/jobs/J42/candidates/C1?a=%C3%A4&b=c+d");
  });

  for (const target of [
    "/ats//jobs",
    "//ats/jobs",
    "/ats/./jobs",
    "/ats/../ats/jobs",
    "/ats/jobs/..",
    "/ats/..;/jobs",
    "/ats/%2e%2e/jobs",
    "/ats/%2E/jobs",
    "/ats/a\\b",
    "/ats/a#b",
    "/ats/a%00b",
    "/ats/a%0d%0ab",
    "/ats/\u0001a",
    "/ats/\u00e4",
    "/%61ts/jobs",
    "/ats/%6aobs",
    "/ats/%252e%252e/x",
    "/ats/%c0%ae/x",
    "/ats/a%zz",
    "http://evil.example/ats/jobs",
    "https://evil.example/ats/jobs",
    "*",
    "/ats/jobs?a=1&a=2",
    "/ats/jobs?a=1&%61=2",
    "/ats/jobs?a=%ff",
    "/ats/jobs?a=%zz",
  ]) {
    test(`H03 the target ${JSON.stringify(target)} is refused with 400 and never judged`, async () => {
      const answer = await send(target, [], "", PATH);
      assert.equal(answer.status, 400);
      assert.equal(g.tool.seen.length, 0);
    });
  }

  test("H03 an encoded slash or backslash is refused with 400 on a route that does not ask for it", async () => {
    for (const escape of ["%2f", "%2F", "%5c", "%5C"]) {
      assert.equal((await send(`/ats/a${escape}b`)).status, 400);
    }
    assert.equal(g.tool.seen.length, 0);
  });

  test("H03 an encoded slash reaches a route that wants it as one segment, and the raw bytes go to the tool", async () => {
    assert.equal((await send("/ats/segment/a%2Fb")).status, 200);
    assert.equal(g.tool.seen[0]?.url, "/segment/a%2Fb");
  });

  const json = ["Content-Type: application/json"];
  const withLength = (body: string): string[] => [...json, `Content-Length: ${Buffer.byteLength(body, "latin1")}`];
  for (const [body, status] of [
    ['{"a":1,"a":2}', 400],
    ['{"a":1,"A":2}', 400],
    ['{"__proto__":{}}', 400],
    ["[".repeat(900) + "]".repeat(900), 400],
    ['{"a":9007199254740993}', 400],
    ['{"a":1e400}', 400],
    ['{"a":"\u00ff"}', 400],
    ["\u00ef\u00bb\u00bf{}", 400],
    ["{}{}", 400],
    [`{"a":"${"x".repeat(BODY_BYTES_MAX)}"}`, 413],
  ] as const) {
    test(`H10 the body ${JSON.stringify(body.slice(0, 30))} is refused with ${status} and never judged`, async () => {
      const answer = await send(PATH, withLength(body), body);
      assert.equal(answer.status, status);
      assert.equal(g.tool.seen.length, 0);
    });
  }

  test("H10 a body that is accepted reaches the tool byte for byte", async () => {
    const body = ' {"b" : 1.0,\t"a":"\\u00e4" }\r\n';
    assert.equal((await send(PATH, withLength(body), body)).status, 200);
    assert.equal(g.tool.seen[0]?.body, body);
  });

  test("H10 an encoded body, or one of another type or charset, is refused with 415", async () => {
    for (const lines of [
      [...json, "Content-Encoding: gzip"],
      ["Content-Type: text/plain"],
      ["Content-Type: application/json; charset=utf-16"],
      ["Content-Type: application/json, text/plain"],
      ["X-None: 1"],
    ]) {
      assert.equal((await send(PATH, [...lines, "Content-Length: 2"], "{}")).status, 415);
    }
    assert.equal(g.tool.seen.length, 0);
  });

  test("H11 a body in chunks that grows over the limit is refused with 413 and never judged in part", async () => {
    const chunk = `400\r\n${"x".repeat(1024)}\r\n`;
    const answer = await send(PATH, [...json, "Transfer-Encoding: chunked"], chunk.repeat(4));
    assert.equal(answer.status, 413);
    assert.equal(g.tool.seen.length, 0);
  });

  test("H19 an upgrade, h2c and CONNECT are refused where the route does not allow them", async () => {
    for (const lines of [
      [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
      ],
      ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"],
      ["Upgrade: websocket"],
    ]) {
      assert.equal((await send(PATH, lines)).status, 400);
    }
    const connect = await askRaw(g.url, rawRequest("CONNECT 127.0.0.1:22 HTTP/1.1", ["Host: 127.0.0.1:22"]));
    assert.equal(connect.status, 405);
    assert.equal(g.tool.seen.length, 0);
  });
});
