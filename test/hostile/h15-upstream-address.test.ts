// H15: a tool, a monitor or an issuer whose name leads to an address that is not allowed. A tool listens there and must see nothing.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { accessLine } from "../fixtures/access-lines.ts";
import { type ScriptedTool, startScriptedTool, toolRoute } from "../fixtures/scripted-tool.ts";
import { ISSUER, startTestGateway, type TestGateway, TRUST_DOMAIN } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 30_000 };

/** Hosts that lead to this machine or to a metadata service, and whether permission for private addresses helps. */
const HOSTS: readonly (readonly [name: string, host: string, allow: boolean])[] = [
  ["name", "localhost", false],
  ["literal", "127.0.0.1", false],
  ["short", "127.1", false],
  ["hex", "0x7f000001", false],
  ["mapped", "[::ffff:127.0.0.1]", false],
  ["unspecified", "0.0.0.0", true],
  ["private", "10.0.0.1", false],
  ["metadata", "169.254.169.254", true],
  ["metadata-v6", "[fd00:ec2::254]", true],
  ["metadata-mapped", "[::ffff:a9fe:a9fe]", true],
];

describe("H15 addresses that are not allowed", () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  let calls = 0;
  before(async () => {
    tool = await startScriptedTool();
    tool.server.on("connection", () => (calls += 1));
    const { port } = new URL(tool.url);
    g = await startTestGateway({
      routes: [
        ...HOSTS.map(([name, host, allow]) =>
          toolRoute(name, `http://${host}:${port}`, { upstream: { allow_private_addresses: allow } }),
        ),
        toolRoute("allowed", `http://localhost:${port}`),
        toolRoute("socket", `http://localhost:${port}`, {
          upgrade: ["websocket"],
          upstream: { allow_private_addresses: false },
        }),
      ],
      quarantine: { monitor: { url: `http://localhost:${port}`, allow_private_addresses: false } },
    });
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  for (const [name, host, allow] of HOSTS) {
    const permission = allow ? "even where private addresses are allowed" : "without permission";
    test(`H15 a tool at ${host} is refused at connect ${permission}`, LIMIT, async () => {
      calls = 0;
      const agent = await g.agent();
      for (const [method, body] of [
        ["GET", undefined],
        ["POST", "{}"],
      ] as const) {
        const answer = await agent.call(`${g.url}/${name}/${method}`, {
          method,
          headers: body === undefined ? {} : { "content-type": "application/json" },
          ...(body === undefined ? {} : { body }),
        });
        assert.equal(answer.status, 502);
        assert.equal(answer.json<{ code: string }>().code, "bad_gateway");
        assert.ok(!answer.text.includes(host), "the caller learns no address");
        const line = await accessLine(g, `/${name}/${method}`);
        assert.deepEqual([line["reason"], line["outcome"]], ["upstream.address_refused", "failed"]);
        const id = answer.json<{ request_id: string }>().request_id;
        const records = await g.lines("audit", (one) => one["type"] === "outcome" && one["request_id"] === id);
        assert.equal(records.find((one) => one["type"] === "outcome" && one["request_id"] === id)?.["sent"], false);
      }
      assert.equal(calls, 0, "nobody was connected to");
    });
  }

  test("H15 the same tool by the same name is reached where its route allows private addresses", LIMIT, async () => {
    const answer = await (await g.agent()).call(`${g.url}/allowed/1`);
    assert.equal(answer.status, 200);
  });

  test("H15 a redirect of a tool to a metadata service is handed on, and never followed", LIMIT, async () => {
    calls = 0;
    let requests = 0;
    tool.handle = (_request, response) => {
      requests += 1;
      response.writeHead(302, { location: "http://169.254.169.254/latest/meta-data/" }).end();
    };
    const answer = await (await g.agent()).call(`${g.url}/allowed/redirect`);
    assert.equal(answer.status, 302);
    assert.equal(requests, 1);
  });

  test("H15 a tunnel is refused in the same way", LIMIT, async () => {
    calls = 0;
    const url = `${g.url}/socket/1`;
    const client = new WebSocket(url.replace("http:", "ws:"), { headers: await (await g.agent()).headers(url) });
    client.on("error", () => client.terminate());
    const [, answer] = (await once(client, "unexpected-response")) as [unknown, IncomingMessage];
    assert.equal(answer.statusCode, 502);
    assert.equal((await accessLine(g, "/socket/1"))["reason"], "upstream.address_refused");
    assert.equal(calls, 0);
    answer.destroy();
  });

  test(
    "H15 the monitor of a quarantined agent is refused in the same way, and its tool sees nothing either",
    LIMIT,
    async () => {
      const agent = await g.agent();
      const applied = await g.operate("PUT", "/v1/containment/agent", {
        id: agent.id,
        mode: "quarantined",
        reason: "a test of addresses",
      });
      assert.equal(applied.status, 200, applied.text);
      calls = 0;
      assert.equal((await agent.call(`${g.url}/allowed/quarantined`)).status, 502);
      assert.equal((await accessLine(g, "/allowed/quarantined"))["reason"], "upstream.address_refused");
      assert.equal(calls, 0);
    },
  );
});

test("H15 an issuer's key set at a private address is not fetched without permission", LIMIT, async () => {
  const issuer = await startScriptedTool();
  let calls = 0;
  issuer.server.on("connection", () => (calls += 1));
  const g = await startTestGateway(({ port }) => ({
    issuers: [
      {
        issuer: ISSUER,
        audience: [`http://127.0.0.1:${port}`],
        trust_domain: TRUST_DOMAIN,
        jwks: { url: `${issuer.url.replace("127.0.0.1", "localhost")}/jwks` },
      },
    ],
  }));
  try {
    const answer = await (await g.agent()).call(`${g.url}/ats/jobs/J42/candidates/C1`);
    assert.equal(answer.status, 503);
    assert.equal(calls, 0);
    const [line] = await g.lines("access", () => true);
    assert.equal(line?.["reason"], "token.keys_unavailable");
  } finally {
    await g.close();
    await issuer.close();
  }
});
