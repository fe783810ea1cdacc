// A WebSocket through the whole gateway, with the public `ws` package as client and as tool.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { packageRoot } from "../../src/lib/package-root.ts";
import { accessLine } from "../fixtures/access-lines.ts";
import { type ScriptedTool, startScriptedTool, toolRoute } from "../fixtures/scripted-tool.ts";
import { ISSUER, startTestGateway, type TestAgent, type TestGateway, TRUST_DOMAIN } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 30_000 };

describe("a WebSocket through the gateway", () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  const upgrades: IncomingMessage[] = [];
  before(async () => {
    tool = await startScriptedTool();
    new WebSocketServer({ server: tool.server }).on("connection", (socket, request) => {
      upgrades.push(request);
      socket.on("message", (data: Buffer, binary) => socket.send(data, { binary }));
    });
    g = await startTestGateway(({ port }) => ({
      // No leeway, so that an expiry is the token's own.
      issuers: [
        {
          issuer: ISSUER,
          audience: [`http://127.0.0.1:${port}`],
          trust_domain: TRUST_DOMAIN,
          jwks: { file: "jwks.json" },
          leeway_s: 0,
        },
      ],
      routes: [
        toolRoute("socket", tool.url, { methods: ["GET"], upgrade: ["websocket"] }),
        // Its permission hangs on the policy data: the models that may see personal data.
        toolRoute("personal", tool.url, {
          methods: ["GET"],
          upgrade: ["websocket"],
          resource: { type: "mcp_tools", classification: "personal" },
        }),
        toolRoute("plain", tool.url, { methods: ["GET"] }),
      ],
    }));
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  async function connect(target: string, agent?: TestAgent): Promise<WebSocket> {
    const url = g.url + target;
    const headers = agent === undefined ? {} : await agent.headers(url);
    return new WebSocket(url.replace("http:", "ws:"), { headers, handshakeTimeout: 10_000 });
  }

  async function opened(target: string, agent: TestAgent): Promise<WebSocket> {
    const client = await connect(target, agent);
    await once(client, "open");
    return client;
  }

  async function refusal(client: WebSocket): Promise<{ status: number | undefined; code: unknown }> {
    client.on("error", () => client.terminate());
    const [, answer] = (await once(client, "unexpected-response")) as [unknown, IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    return {
      status: answer.statusCode,
      code: (JSON.parse(Buffer.concat(chunks).toString()) as { code: unknown }).code,
    };
  }

  async function echo(client: WebSocket, message: string): Promise<string> {
    const answer = once(client, "message") as Promise<[Buffer]>;
    client.send(message);
    return (await answer)[0].toString();
  }

  /** The close code that the client saw; 1006 is a connection that was cut without a close frame. */
  const closed = async (client: WebSocket): Promise<number> => {
    client.on("error", () => client.terminate());
    return ((await once(client, "close")) as [number])[0];
  };

  test("carries messages both ways, and is one exchange in the log", LIMIT, async () => {
    const agent = await g.agent();
    const client = await opened("/socket/echo", agent);
    assert.equal(await echo(client, "hello"), "hello");
    const large = "x".repeat(300_000);
    assert.equal(await echo(client, large), large);
    const ended = closed(client);
    client.close(1000);
    assert.equal(await ended, 1000);
    const line = await accessLine(g, "/socket/echo");
    assert.deepEqual([line["status"], line["outcome"], line["reason"]], [101, "forwarded", ""]);
    assert.ok(Number(line["bytes_in"]) > 300_000 && Number(line["bytes_out"]) > 300_000);
  });

  test("shows the tool who calls, and never the token or the proof", LIMIT, async () => {
    const agent = await g.agent();
    upgrades.length = 0;
    const client = await opened("/socket/identity?q=1", agent);
    const [seen] = upgrades;
    assert.ok(seen);
    assert.equal(seen.url, "/socket/identity?q=1");
    assert.equal(seen.headers["x-cordon-agent"], agent.id);
    assert.equal(seen.headers["x-cordon-principal"], "user:recruiter_alice");
    assert.equal(seen.headers["host"], new URL(tool.url).host);
    assert.equal(seen.headers["authorization"], undefined);
    assert.equal(seen.headers["dpop"], undefined);
    assert.ok(!JSON.stringify(seen.rawHeaders).includes(agent.token));
    client.terminate();
    await once(client, "close");
  });

  test("H19 an upgrade on a route without it is refused, and the tool sees nothing", LIMIT, async () => {
    upgrades.length = 0;
    const refused = await refusal(await connect("/plain/h19", await g.agent()));
    assert.deepEqual(refused, { status: 400, code: "bad_request" });
    assert.equal(upgrades.length, 0);
    assert.equal((await accessLine(g, "/plain/h19"))["reason"], "exchange.upgrade_refused");
  });

  test("an unproven upgrade is 401, and so is one whose proof was used", LIMIT, async () => {
    upgrades.length = 0;
    assert.deepEqual(await refusal(await connect("/socket/unproven")), { status: 401, code: "credentials_missing" });
    const url = `${g.url}/socket/replayed`;
    const headers = await (await g.agent()).headers(url);
    const first = new WebSocket(url.replace("http:", "ws:"), { headers });
    await once(first, "open");
    assert.equal((await refusal(new WebSocket(url.replace("http:", "ws:"), { headers }))).status, 401);
    assert.equal(upgrades.length, 1);
    first.terminate();
    await once(first, "close");
  });

  test(
    "H20 a block cuts an open tunnel within a second, on both sides, and the next upgrade is refused",
    LIMIT,
    async () => {
      const agent = await g.agent();
      upgrades.length = 0;
      const client = await opened("/socket/blocked", agent);
      assert.equal(await echo(client, "before"), "before");
      const toolSide = once(upgrades[0]?.socket ?? assert.fail("no upgrade"), "close");
      const cut = closed(client);
      const startedAt = performance.now();
      const applied = await g.operate("PUT", "/v1/containment/agent", {
        id: agent.id,
        mode: "blocked",
        reason: "a test of tunnels",
      });
      assert.equal(applied.status, 200, applied.text);
      assert.equal(await cut, 1008);
      await toolSide;
      assert.ok(performance.now() - startedAt < 1000);
      const line = await accessLine(g, "/socket/blocked");
      assert.deepEqual([line["status"], line["reason"]], [101, "stream.cut_containment"]);
      assert.equal((await refusal(await connect("/socket/after", agent))).status, 403);
    },
  );

  test("H20 the outcome of a tunnel that was cut stands in the audit log with its reason", LIMIT, async () => {
    const lines = await g.lines("audit", (line) => line["reason"] === "stream.cut_containment");
    const outcome = lines.find((line) => line["reason"] === "stream.cut_containment");
    assert.deepEqual([outcome?.["type"], outcome?.["sent"], outcome?.["status"]], ["outcome", true, 101]);
  });

  test(
    "H20 a change of the policy data that takes the permission away cuts it, and leaves others open",
    LIMIT,
    async () => {
      const agent = await g.agent();
      const [personal, other] = [await opened("/personal/p1", agent), await opened("/socket/other", agent)];
      const data = JSON.parse(readFileSync(path.join(packageRoot(), "policies", "data.json"), "utf8")) as {
        models: Record<string, Record<string, string[]>>;
      };
      // First a change that means nothing for it: the tunnel is judged again, and stays.
      const same = { ...data, refunds: { amount_max: 501 } };
      assert.equal((await g.operate("PUT", "/v1/policy/data", same)).status, 200);
      assert.equal(await echo(personal, "still here"), "still here");
      const cut = closed(personal);
      const less = { ...data, models: { ...data.models, personal: { "claude-opus-5": ["*"] } } };
      assert.equal((await g.operate("PUT", "/v1/policy/data", less)).status, 200);
      assert.equal(await cut, 1008);
      const line = await accessLine(g, "/personal/p1");
      assert.deepEqual([line["status"], line["reason"]], [101, "stream.cut_policy"]);
      assert.equal(await echo(other, "untouched"), "untouched");
      other.terminate();
      await once(other, "close");
      assert.equal((await g.operate("PUT", "/v1/policy/data", data)).status, 200);
    },
  );

  test("H20 the end of the token is the end of the tunnel", LIMIT, async () => {
    const agent = await g.agent({ lifetimeS: 2 });
    const expiresAtMs =
      (JSON.parse(Buffer.from(agent.token.split(".")[1] ?? "", "base64url").toString()) as { exp: number }).exp * 1000;
    const client = await opened("/socket/expired", agent);
    assert.equal(await closed(client), 1008);
    const lateMs = Date.now() - expiresAtMs;
    assert.ok(lateMs > -50 && lateMs < 2000, `${lateMs} ms after the expiry`);
    assert.equal((await accessLine(g, "/socket/expired"))["reason"], "stream.cut_expired");
  });
});
