// H02, H05: nginx or haproxy in front of the gateway, as a TLS terminator stands there. The gateway judges the requests that
// they read, each on its own; and a tool cannot make them answer in its place.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { call, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { hostOf, openRaw, rawRequest } from "./raw-client.ts";
import { type RealServer, requireServers, skipWithoutServers, startHaproxy, startNginx } from "./real-servers.ts";
import { framedBody } from "./recording-upstream.ts";

const PATH = "/ats/jobs/J42/candidates/C1";
const INTERNAL = "what only nginx itself may ask for";

describe("H02 H05 a server in front of the gateway", { skip: skipWithoutServers }, () => {
  let g: TestGateway;
  let agent: TestAgent;
  let nginx: RealServer;
  let haproxy: RealServer;
  let withoutGateway: RealServer;
  before(async () => {
    requireServers();
    const location = `location /internal { internal; return 200 "${INTERNAL}"; }`;
    g = await startTestGateway(({ toolUrl }) => ({
      routes: [
        {
          name: "any",
          path: "/ats/**",
          methods: ["GET", "POST"],
          mode: "observe",
          body: "stream",
          resource: { type: "any", classification: "any" },
          upstream: { url: toolUrl, allow_private_addresses: true },
        },
      ],
    }));
    agent = await g.agent();
    nginx = await startNginx(g.url, location);
    haproxy = await startHaproxy(g.url);
    withoutGateway = await startNginx(g.tool.url, location);
  });
  after(async () => {
    await Promise.all([nginx.close(), haproxy.close(), withoutGateway.close()]);
    await g.close();
  });
  beforeEach(() => {
    g.tool.seen.length = 0;
    g.tool.answer = (_request, response) => void response.writeHead(200, { "content-length": 2 }).end("{}");
  });

  for (const name of ["nginx", "haproxy"] as const) {
    test(`H02 requests that come through ${name} are the ones that ${name} read, in their order`, async () => {
      const front = name === "nginx" ? nginx : haproxy;
      const parts: readonly (readonly [method: string, lines: readonly string[], body: string, read: string])[] = [
        ["POST", ["Content-Length: 5"], "hello", "hello"],
        ["GET", [], "", ""],
        ["POST", ["Transfer-Encoding: chunked"], "5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", "hello"],
        ["GET", ["Connection: close"], "", ""],
      ];
      const requests = parts.map(async ([method, lines, body], index) => {
        const { authorization, dpop } = await agent.headers(`${g.url}${PATH}/${index}`, method);
        const own = [`Host: ${hostOf(g.url)}`, `Authorization: ${authorization}`, `DPoP: ${dpop}`];
        return rawRequest(`${method} ${PATH}/${index} HTTP/1.1`, [...own, ...lines], body);
      });
      const connection = await openRaw(front.url);
      connection.write((await Promise.all(requests)).join(""));
      await connection.closed;
      connection.destroy();
      await front.logged(`${PATH}/${parts.length - 1}`);
      const expected = parts.map(([method, , , read], index) => ({
        method,
        target: `${PATH}/${index}`,
        ...framedBody(Buffer.from(read)),
      }));
      const ofTool = g.tool.seen.map(({ method, url, body }) => ({
        method,
        target: url,
        ...framedBody(Buffer.from(body)),
      }));
      assert.deepEqual(ofTool, expected);
      assert.deepEqual(
        front.log.splice(0),
        expected.map((one) => ({ ...one, status: 200 })),
      );
    });
  }

  test("H05 a tool's X-Accel-Redirect does not make nginx in front of the gateway answer in its place", async () => {
    g.tool.answer = (_request, response) => {
      response.writeHead(200, { "x-accel-redirect": "/internal", "content-length": 4 }).end("tool");
    };
    const direct = await call(withoutGateway.url + PATH);
    assert.equal(direct.text, INTERNAL, "nginx obeys a tool that stands right behind it");
    const answer = await call(nginx.url + PATH, { headers: { ...(await agent.headers(g.url + PATH)) } });
    assert.deepEqual([answer.status, answer.text], [200, "tool"]);
  });
});
