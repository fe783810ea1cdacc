// H20: what ends the right to a stream reaches every kind of stream while it is open: each row of the table in docs/mcp.md.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type IncomingMessage, request, type ServerResponse } from "node:http";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { freePort } from "../../examples/demo/free-ports.ts";
import { packageRoot } from "../../src/lib/package-root.ts";
import { feedGateway } from "../fixtures/feed.ts";
import { inSession, mcpRoute, type RpcError, SESSION_VERSION, stateless } from "../fixtures/mcp-route.ts";
import { type ScriptedTool, startScriptedTool, toolRoute } from "../fixtures/scripted-tool.ts";
import { bothIssuers } from "../fixtures/both-issuers.ts";
import { ISSUER, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 60_000 };
const RESOURCE = "demo://resource/static/document/features.md";
/** Of the data that each of these streams needs: the models that may see personal data. */
const PERSONAL = { type: "mcp_tools", classification: "personal", attributes: { server: "everything" } };

const EVENT = 'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}\n\n';

/** Of one task: one of each kind of stream, and two more. The session's own stream is no call. */
const CALLS = 6;

/** A stream as its client sees it. */
interface Open {
  readonly kind: string;
  readonly requestId: string;
  /** One more event from the tool reaches the client. */
  readonly flows: () => Promise<void>;
  /** What came behind the tool's own words, once it is over on both sides. */
  readonly ended: Promise<Ending>;
}

interface Ending {
  /** That of a WebSocket. */
  readonly code?: number;
  readonly complete?: boolean;
  readonly text: string;
}

describe("H20 what reaches a stream while it is open", LIMIT, () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  let arrived: (answer: ServerResponse) => void = () => undefined;
  let upgraded: (socket: WebSocket) => void = () => undefined;
  before(async () => {
    tool = await startScriptedTool();
    tool.handle = (asked, answer) => {
      asked.resume();
      if (asked.url === "/once/1") {
        answer.end("{}");
        return;
      }
      answer.writeHead(200, { "content-type": "text/event-stream" });
      answer.write(": open\n\n");
      arrived(answer);
    };
    new WebSocketServer({ server: tool.server }).on("connection", (socket) => upgraded(socket));
    const issuerPort = await freePort();
    g = await startTestGateway(({ folder, port }) => {
      // No leeway, so that an expiry is the token's own.
      return {
        ...bothIssuers({ folder, port, issuerPort, more: { leeway_s: 0 } }),
        routes: [
          mcpRoute("mcp", tool.url, { resource: PERSONAL }),
          toolRoute("events", tool.url, { resource: PERSONAL }),
          toolRoute("once", tool.url),
          toolRoute("socket", tool.url, { resource: PERSONAL, methods: ["GET"], upgrade: ["websocket"] }),
        ],
        budgets: [{ name: "calls", per: ["task"], calls_total: CALLS, ends_streams: true }],
      };
    });
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  async function openEvents(
    agent: TestAgent,
    kind: string,
    target: string,
    method: string,
    message: { readonly headers: Readonly<Record<string, string | string[]>>; readonly body?: string },
  ): Promise<Open> {
    const arriving = new Promise<ServerResponse>((resolve) => (arrived = resolve));
    const url = g.url + target;
    const headers = { ...(await agent.headers(url, method)), ...message.headers };
    const asked = request(url, { method, headers, agent: false });
    asked.on("error", () => asked.destroy());
    asked.end(message.body);
    const answer = await arriving;
    const [stream] = (await once(asked, "response")) as [IncomingMessage];
    let text = "";
    stream.on("data", (chunk: Buffer) => (text += chunk.toString())).on("error", () => stream.destroy());
    const flows = async (): Promise<void> => {
      answer.write(EVENT);
      while (!text.endsWith(EVENT)) await once(stream, "data");
      text = "";
    };
    await flows();
    const gone = Promise.all([once(answer, "close"), new Promise((resolve) => stream.once("close", resolve))]);
    const ended = gone.then(() => ({ complete: stream.complete, text }));
    return { kind, requestId: String(stream.headers["x-cordon-request-id"]), flows, ended };
  }

  async function openSocket(agent: TestAgent): Promise<Open> {
    const arriving = new Promise<WebSocket>((resolve) => (upgraded = resolve));
    const url = `${g.url}/socket/1`;
    const client = new WebSocket(url.replace("http:", "ws:"), { headers: await agent.headers(url) });
    client.on("error", () => client.terminate());
    await once(client, "open");
    const toolSide = await arriving;
    const flows = async (): Promise<void> => {
      const message = once(client, "message");
      toolSide.send("more");
      await message;
    };
    await flows();
    const closed = Promise.all([once(client, "close") as Promise<[number, Buffer]>, once(toolSide, "close")]);
    const ended = closed.then(([[code, words]]) => ({ code, text: words.toString() }));
    const mine = (line: Record<string, unknown>): boolean =>
      line["agent"] === agent.id && isIntentOf("/socket/1", line);
    const intent = (await g.lines("audit", mine)).findLast(mine);
    return { kind: "a tunnel", requestId: String(intent?.["request_id"]), flows, ended };
  }

  const isIntentOf = (target: string, { type, resource }: Record<string, unknown>): boolean =>
    type === "intent" && (resource as { path?: string }).path === target;

  /** One of each kind. */
  async function openAll(agent: TestAgent): Promise<Open[]> {
    const accept = { accept: "text/event-stream" };
    const session = { ...accept, "mcp-protocol-version": SESSION_VERSION };
    const listen = stateless("subscriptions/listen", { notifications: { resourceSubscriptions: [RESOURCE] } });
    return [
      await openEvents(agent, "an answer", "/mcp", "POST", inSession("tools/call", { name: "echo", arguments: {} })),
      await openEvents(agent, "a subscription", "/mcp", "POST", listen),
      await openEvents(agent, "a session's own stream", "/mcp", "GET", { headers: session }),
      await openEvents(agent, "plain events", "/events/1", "GET", { headers: accept }),
      await openSocket(agent),
    ];
  }

  /** Both sides are closed, the client was told as its protocol can, and it is on record. */
  async function assertCut(opened: Open, reason: string, error: readonly unknown[]): Promise<void> {
    const { kind, requestId } = opened;
    const { code, complete, text } = await opened.ended;
    if (kind === "a tunnel") {
      assert.deepEqual([code, text], [1008, error[1]], kind);
    } else {
      assert.equal(complete, false, `${kind} must not look complete`);
    }
    if (kind === "an answer" || kind === "a subscription") {
      const told = JSON.parse(text.replace(/^\s*data: /, "")) as RpcError;
      assert.deepEqual([told.id, told.error.code, told.error.data.code, told.error.data.status], [7, ...error], kind);
      assert.equal(told.error.data.request_id, requestId);
    } else if (kind !== "a tunnel") {
      assert.equal(text, "", `${kind} ends without a word`);
    }
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === requestId;
    const access = (await g.lines("access", mine)).filter(mine);
    assert.deepEqual(
      access.map((line) => [line["reason"], line["outcome"]]),
      [[reason, kind === "a tunnel" ? "forwarded" : "failed"]],
      kind,
    );
    const isOutcome = (line: Record<string, unknown>): boolean => mine(line) && line["type"] === "outcome";
    const outcome = (await g.lines("audit", isOutcome)).find(isOutcome);
    assert.deepEqual([outcome?.["reason"], outcome?.["sent"]], [reason, true], kind);
  }

  async function contain(agent: TestAgent, mode: string, more: object = {}): Promise<void> {
    const change = { id: agent.id, mode, reason: "a test of streams", ...more };
    assert.equal((await g.operate("PUT", "/v1/containment/agent", change)).status, 200);
  }
  const jtiOf = ({ token }: TestAgent): string =>
    (JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as { jti: string }).jti;

  interface Cause {
    readonly title: string;
    readonly reason: string;
    readonly error: readonly [code: number, dataCode: string, status: number];
    readonly lifetimeS?: number;
    readonly happen: (agent: TestAgent) => Promise<void>;
  }
  const contained = { reason: "stream.cut_containment", error: [-32_003, "blocked", 403] } as const;
  const causes: readonly Cause[] = [
    { title: "a block", ...contained, happen: (agent) => contain(agent, "blocked") },
    { title: "the end of a drain", ...contained, happen: (agent) => contain(agent, "draining", { drain_s: 1 }) },
    { title: "a quarantine", ...contained, happen: (agent) => contain(agent, "quarantined") },
    {
      title: "a revocation",
      reason: "stream.cut_revoked",
      error: [-32_000, "invalid_token", 401],
      happen: (agent) => {
        const untilMs = Date.now() + 300_000;
        return feedGateway([{ kind: "revoked", level: "agent", id: agent.id, untilMs, reason: "a test" }]);
      },
    },
    {
      title: "the end of the token",
      reason: "stream.cut_expired",
      error: [-32_000, "invalid_token", 401],
      lifetimeS: 6,
      happen: () => Promise.resolve(),
    },
  ];
  for (const { title, reason, error, lifetimeS = 300, happen } of causes) {
    test(`H20 ${title} ends every kind of stream, as its protocol can tell it, and is on record`, async () => {
      const agent = await g.agent({ task: title.replaceAll(/[^a-z]/g, ""), lifetimeS });
      const open = await openAll(agent);
      await happen(agent);
      for (const one of open) await assertCut(one, reason, error);
    });
  }

  test("H20 a change of the policy's data ends every kind of stream that it no longer allows, and no other", async () => {
    const data = JSON.parse(readFileSync(path.join(packageRoot(), "policies", "data.json"), "utf8")) as {
      models: { personal: object };
      mcp: { everything: object };
    };
    const put = async (changed: object): Promise<void> =>
      assert.equal((await g.operate("PUT", "/v1/policy/data", changed)).status, 200);
    const open = await openAll(await g.agent({ task: "policy" }));
    await put({ ...data, changed: 1 });
    for (const { flows } of open) await flows();
    // What is listened to is no longer for it; the stream of its session and the others need no resource.
    await put({ ...data, mcp: { everything: { ...data.mcp.everything, resources: {} } } });
    const denied = ["stream.cut_policy", [-32_003, "access_denied", 403]] as const;
    const [answer, subscription, ...others] = open as [Open, Open, ...Open[]];
    await assertCut(subscription, ...denied);
    for (const { flows } of [answer, ...others]) await flows();
    await put({ ...data, models: { ...data.models, personal: { "claude-opus-5": ["*"] } } });
    for (const one of [answer, ...others]) await assertCut(one, ...denied);
    await put(data);
  });

  const usedUp = ["stream.cut_budget", [-32_000, "budget_exhausted", 429]] as const;

  test("H20 a total that others use up ends every kind of stream that it counts, and is not given back", async () => {
    const agent = await g.agent({ task: "budget" });
    const other = await g.agent({ task: "budget" });
    const call = async (): Promise<number> => (await other.call(`${g.url}/once/1`)).status;
    const open = await openAll(agent);
    assert.equal(await call(), 200);
    for (const { flows } of open) await flows();
    assert.equal(await call(), 200);
    const uncounted = open.filter(({ kind }) => kind === "a session's own stream");
    for (const one of open) if (!uncounted.includes(one)) await assertCut(one, ...usedUp);
    for (const { flows } of uncounted) await flows();
    assert.equal(await call(), 429);
    await contain(agent, "blocked");
    for (const { ended } of uncounted) await ended;
  });

  test("H20 a stream that took the last of a total goes on, and those before it end", async () => {
    const agent = await g.agent({ task: "last" });
    for (let call = 2; call < CALLS; call++) assert.equal((await agent.call(`${g.url}/once/1`)).status, 200);
    const listen = stateless("subscriptions/listen", { notifications: { resourceSubscriptions: [RESOURCE] } });
    const before = await openEvents(agent, "a subscription", "/mcp", "POST", listen);
    const last = await openEvents(agent, "a subscription", "/mcp", "POST", listen);
    await assertCut(before, ...usedUp);
    await last.flows();
    await contain(agent, "blocked");
    await last.ended;
  });

  test("H20 a renewal ends no stream, of whatever kind", async () => {
    const agent = await g.agent({ task: "renewed" });
    const open = await openAll(agent);
    const agentExpiresMs = Date.now() + 300_000;
    const token = `${ISSUER} ${jtiOf(agent)}`;
    await feedGateway([
      { kind: "superseded", agent: agent.id, token, fromMs: 0, untilMs: agentExpiresMs, agentExpiresMs },
    ]);
    assert.equal((await agent.call(`${g.url}/events/2`)).status, 401, "the old token opens none");
    for (const { flows } of open) await flows();
    await contain(agent, "blocked");
    for (const { ended } of open) await ended;
  });
});
