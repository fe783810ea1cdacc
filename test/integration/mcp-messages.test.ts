// One MCP endpoint through the whole gateway: what a message must be, in both versions, and how a denied one is answered.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { findMethod, MCP_METHODS, type McpVersion, SESSION_VERSION } from "../../src/action/mcp/methods.ts";
import { errorOf, inSession, mcpRoute, post, STATELESS_VERSION, stateless } from "../fixtures/mcp-route.ts";
import {
  type CallAnswer,
  type RecordingTool,
  startTestGateway,
  type TestAgent,
  type TestGateway,
} from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 60_000 };
const RESULT = '{"jsonrpc":"2.0","id":7,"result":{"content":[]}}';
const ECHO = { name: "echo", arguments: { message: "hello" } };

describe("messages on a route of kind mcp", LIMIT, () => {
  let g: TestGateway;
  let agent: TestAgent;
  let tool: RecordingTool;
  let url: string;
  before(async () => {
    g = await startTestGateway(({ toolUrl }) => ({
      routes: [
        mcpRoute("mcp", toolUrl),
        mcpRoute("stateless", toolUrl, {
          mcp: { versions: [STATELESS_VERSION], allowed_origins: ["https://app.example"] },
        }),
      ],
    }));
    agent = await g.agent();
    tool = g.tool;
    url = `${g.url}/mcp`;
  });
  after(() => g.close());
  beforeEach(() => {
    tool.seen.length = 0;
    tool.answer = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(RESULT);
    };
  });

  async function actionOf(answer: CallAnswer): Promise<Record<string, unknown>> {
    const id = String(answer.headers["x-cordon-request-id"]);
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === id;
    const line = (await g.lines("decision", mine)).find(mine);
    return (line as { input: { action: Record<string, unknown> } }).input.action;
  }

  test("a tool call is judged by its tool and its arguments, and reaches the server byte by byte", async () => {
    for (const [version, message] of [
      [STATELESS_VERSION, stateless("tools/call", ECHO)],
      [SESSION_VERSION, inSession("tools/call", ECHO)],
    ] as const) {
      // White space of the client's own: what is sent on is the body, not what was read of it.
      const body = message.body.replace('"method"', '\n  "method"');
      const answer = await post(agent, url, { ...message, body });
      assert.deepEqual([answer.status, answer.text], [200, RESULT]);
      assert.equal(tool.seen.at(-1)?.body, body);
      assert.equal(tool.seen.at(-1)?.headers["mcp-protocol-version"], version);
      assert.deepEqual(await actionOf(answer), {
        kind: "mcp",
        class: "use",
        method: "tools/call",
        tool: "echo",
        protocol_version: version,
        server: "everything",
        arguments: {},
        http: { method: "POST" },
      });
    }
  });

  test("a call that one argument forbids is 403 with the id of its request and a code for the model", async () => {
    for (const make of [stateless, inSession]) {
      const answer = await post(agent, url, make("tools/call", { name: "get-sum", arguments: { a: 1, b: 1001 } }));
      assert.deepEqual(errorOf(answer), [403, 7, -32_003, "access_denied"]);
      assert.equal(answer.headers["content-type"], "application/json");
      assert.match(String(answer.headers["www-authenticate"]), /^DPoP .*resource_metadata="/);
      assert.doesNotMatch(answer.text, /arguments|purpose|mcp\./, "the policy's own reason is not told");
      assert.equal(
        (await post(agent, url, make("tools/call", { name: "get-sum", arguments: { a: 1, b: 9 } }))).status,
        200,
      );
    }
    assert.equal(tool.seen.length, 2);
  });

  test("a tool, a prompt and a resource that the purpose does not cover are denied by name", async () => {
    const denied: [string, Record<string, unknown>, string][] = [
      ["tools/call", { name: "get-env", arguments: {} }, "tool"],
      ["prompts/get", { name: "args-prompt", arguments: {} }, "prompt"],
      ["resources/read", { uri: "demo://other?key=secret" }, "resource"],
    ];
    for (const [method, params, kind] of denied) {
      const answer = await post(agent, url, stateless(method, params));
      assert.deepEqual(errorOf(answer), [403, 7, -32_003, "access_denied"], method);
      const action = await actionOf(answer);
      assert.equal(
        action[kind],
        kind === "resource" ? "demo://other" : params["name"],
        "the log has no query of a URI",
      );
    }
    assert.equal((await post(agent, url, stateless("prompts/get", { name: "simple-prompt" }))).status, 200);
    assert.equal(tool.seen.length, 1);
  });

  test("every method of the table is judged under its own name and class", async () => {
    for (const [version, methods] of Object.entries(MCP_METHODS)) {
      for (const { name, kind, class: messageClass, item } of methods) {
        const params =
          item === undefined
            ? {}
            : item === "ref"
              ? { ref: { type: "ref/prompt", name: "p" } }
              : { [item.member]: "x" };
        const message =
          version === STATELESS_VERSION
            ? stateless(name, params)
            : inSession(name, params, {}, kind === "request" ? 7 : null);
        const { id: _, ...notification } = JSON.parse(message.body) as Record<string, unknown>;
        const body = kind === "request" ? message.body : JSON.stringify(notification);
        const answer = await post(agent, url, { ...message, body });
        assert.ok(answer.status === 200 || answer.status === 403, `${version} ${name}: ${answer.text}`);
        const action = await actionOf(answer);
        assert.deepEqual(
          [action["method"], action["class"], action["protocol_version"]],
          [name, messageClass, version],
        );
      }
    }
  });

  test("ping, initialize, notifications, progress and cancellation pass for an agent with a right to the server", async () => {
    const passes: ReturnType<typeof post>[] = [
      post(agent, url, inSession("initialize", { protocolVersion: SESSION_VERSION, capabilities: {} })),
      post(agent, url, inSession("ping")),
      post(agent, url, inSession("notifications/initialized", {}, {}, null)),
      post(agent, url, inSession("notifications/progress", { progressToken: 1, progress: 2 }, {}, null)),
      post(agent, url, inSession("notifications/cancelled", { requestId: 1 }, {}, null)),
      post(agent, url, stateless("server/discover")),
    ];
    for (const answer of await Promise.all(passes)) assert.equal(answer.status, 200);
    assert.equal(tool.seen.length, passes.length);
  });

  test("an agent without a right to the server opens no session on it and sends it no notification", async () => {
    const intent = {
      task: "t",
      purpose: "rank-candidates",
      scope: [],
      details: [],
      constraints: {},
      expires_at: "2036-01-01T00:00:00Z",
    };
    const stranger = await g.agent({ cordon: { intent } });
    for (const message of [
      inSession("initialize", { protocolVersion: SESSION_VERSION }),
      inSession("ping"),
      stateless("server/discover"),
    ]) {
      assert.deepEqual(errorOf(await post(stranger, url, message)), [403, 7, -32_003, "access_denied"]);
    }
    const notification = await post(stranger, url, inSession("notifications/initialized", {}, {}, null));
    assert.deepEqual(errorOf(notification), [403, undefined, -32_003, "access_denied"]);
    assert.equal((await stranger.call(url, { headers: { "mcp-protocol-version": SESSION_VERSION } })).status, 403);
    assert.equal(tool.seen.length, 0);
  });

  test("an unknown method is 404 with -32601, and 400 where a 404 would end a session", async () => {
    for (const method of ["tools/run", "Tools/Call", "sampling/createMessage", "initialize", "ping"]) {
      assert.deepEqual(
        errorOf(await post(agent, url, stateless(method))),
        [404, 7, -32_601, "method_not_found"],
        method,
      );
    }
    for (const method of ["server/discover", "subscriptions/listen", "roots/list"]) {
      assert.deepEqual(
        errorOf(await post(agent, url, inSession(method))),
        [400, 7, -32_601, "method_not_found"],
        method,
      );
    }
    const asNotification = await post(agent, url, inSession("tools/call", ECHO, {}, null));
    assert.deepEqual(errorOf(asNotification), [400, undefined, -32_601, "method_not_found"]);
    assert.equal(tool.seen.length, 0);
  });

  test("a version that is not spoken is 400 with -32022 and the versions that are", async () => {
    const answer = await post(agent, url, stateless("tools/list", {}, { "mcp-protocol-version": "1900-01-01" }));
    assert.deepEqual(errorOf(answer), [400, 7, -32_022, "unsupported_protocol_version"]);
    const { data } = answer.json<{ error: { data: Record<string, unknown> } }>().error;
    assert.deepEqual([data["supported"], data["requested"]], [[SESSION_VERSION, STATELESS_VERSION], "1900-01-01"]);
    const only = `${g.url}/stateless`;
    assert.deepEqual(errorOf(await post(agent, only, inSession("ping"))), [
      400,
      7,
      -32_022,
      "unsupported_protocol_version",
    ]);
    assert.equal(tool.seen.length, 0);
  });

  test("headers that are missing, odd or disagree with the body are 400 with -32020", async () => {
    const odd: [string, ReturnType<typeof stateless>][] = [
      ["no version", stateless("tools/list", {}, { "mcp-protocol-version": undefined })],
      ["no method", stateless("tools/list", {}, { "mcp-method": undefined })],
      ["another method", stateless("tools/call", ECHO, { "mcp-method": "tools/list" })],
      ["another case", stateless("tools/list", {}, { "mcp-method": "Tools/List" })],
      ["no name", stateless("tools/call", ECHO, { "mcp-name": undefined })],
      ["another name", stateless("tools/call", { name: "get-env", arguments: {} }, { "mcp-name": "echo" })],
      ["a name that nothing has", stateless("tools/list", {}, { "mcp-name": "echo" })],
      ["another version in the body", stateless("tools/call", ECHO, { "mcp-protocol-version": SESSION_VERSION })],
      ["in a session, another method", inSession("tools/call", ECHO, { "mcp-method": "ping" })],
      ["in a session, another name", inSession("tools/call", ECHO, { "mcp-name": "get-env" })],
    ];
    for (const [title, message] of odd) {
      assert.deepEqual(errorOf(await post(agent, url, message)), [400, 7, -32_020, "header_mismatch"], title);
    }
    // What no header can be read as is refused before the body is, so there is no id to repeat.
    const unreadable: [string, ReturnType<typeof stateless>][] = [
      ["broken Base64", stateless("tools/call", ECHO, { "mcp-name": "=?base64?ZWNobw?=" })],
      ["Base64 of no UTF-8", stateless("tools/call", ECHO, { "mcp-name": "=?base64?/w==?=" })],
      ["other characters", stateless("tools/call", ECHO, { "mcp-name": "écho" })],
    ];
    for (const [title, message] of unreadable) {
      assert.deepEqual(errorOf(await post(agent, url, message)), [400, undefined, -32_020, "header_mismatch"], title);
    }
    for (const name of ["mcp-method", "mcp-name", "mcp-session-id", "mcp-protocol-version", "mcp-param-x"]) {
      const message = stateless("tools/call", ECHO);
      const headers = { ...message.headers, [name]: ["echo", "echo"] };
      const answer = await post(agent, url, { ...message, headers });
      assert.deepEqual(errorOf(answer).slice(0, 3), [400, undefined, -32_020], `${name} twice`);
    }
    assert.equal(tool.seen.length, 0);
  });

  test("a request of 2026-07-28 that states no version in its body is 400 with -32602", async () => {
    for (const meta of [undefined, {}, { "io.modelcontextprotocol/clientCapabilities": {} }, null, [], "text"]) {
      const body = JSON.stringify({ jsonrpc: "2.0", id: 7, method: "tools/call", params: { ...ECHO, _meta: meta } });
      const answer = await post(agent, url, { ...stateless("tools/call", ECHO), body });
      assert.deepEqual(errorOf(answer), [400, 7, -32_602, "invalid_params"], JSON.stringify(meta));
    }
    assert.equal(tool.seen.length, 0);
  });

  test("a name in Base64 is the name, and agrees with the body after decoding", async () => {
    const uri = "demo://resource/static/document/features.md";
    for (const [method, params] of [
      ["tools/call", ECHO],
      ["resources/read", { uri }],
    ] as const) {
      const name = Buffer.from("uri" in params ? params.uri : params.name).toString("base64");
      const message = stateless(method, params, { "mcp-name": `=?base64?${name}?=` });
      assert.equal((await post(agent, url, message)).status, 200);
      assert.equal(tool.seen.at(-1)?.headers["mcp-name"], `=?base64?${name}?=`);
    }
  });

  test("a spelling of a header that a server might fold, or that Connection would drop, is refused", async () => {
    for (const more of [
      { mcp_name: "get-env" },
      { "mcp.session-id": "s1" },
      { mcp_param_x: "1" },
      { connection: "close, mcp-name" },
      { connection: "Mcp-Param-X" },
    ]) {
      const answer = await post(agent, url, stateless("tools/call", ECHO, more));
      assert.deepEqual(errorOf(answer).slice(0, 2), [400, undefined], JSON.stringify(more));
    }
    assert.equal(tool.seen.length, 0);
  });

  test("an Origin that is not served is 403, before the body is read", async () => {
    for (const origin of ["https://evil.example", "null", `${g.url}.evil.example`]) {
      const answer = await post(agent, url, stateless("tools/call", ECHO, { origin }));
      assert.deepEqual(errorOf(answer).slice(0, 2), [403, undefined], origin);
    }
    const twice = stateless("tools/call", ECHO);
    const headers = { ...twice.headers, origin: [g.url, "https://evil.example"] };
    assert.equal((await post(agent, url, { ...twice, headers })).status, 403);
    assert.equal(tool.seen.length, 0);
    assert.equal((await post(agent, url, stateless("tools/call", ECHO, { origin: g.url }))).status, 200);
    const listed = stateless("tools/call", ECHO, { origin: "https://app.example" });
    assert.equal((await post(agent, `${g.url}/stateless`, listed)).status, 200);
  });

  test("GET and DELETE are 405 where no session can be, by the version asked for or by the route", async () => {
    for (const method of ["GET", "DELETE"]) {
      for (const [target, version] of [
        [url, STATELESS_VERSION],
        [`${g.url}/stateless`, SESSION_VERSION],
        [`${g.url}/stateless`, STATELESS_VERSION],
      ] as const) {
        const answer = await agent.call(target, { method, headers: { "mcp-protocol-version": version } });
        assert.equal(answer.status, 405, `${method} ${target} ${version}`);
        assert.equal(answer.headers["allow"], "POST");
      }
    }
    const withBody = {
      method: "DELETE",
      body: "{}",
      headers: { "content-type": "application/json", "content-length": "2" },
    };
    assert.equal((await agent.call(url, withBody)).status, 400);
    assert.equal(tool.seen.length, 0);
  });

  test("a client of 2026-07-28 has no session: such headers are not passed on in either direction", async () => {
    tool.answer = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json", "mcp-session-id": "s1" });
      response.end(RESULT);
    };
    const more = { "mcp-session-id": "s1", "last-event-id": "9" };
    const answer = await post(agent, url, stateless("tools/call", ECHO, more));
    assert.deepEqual([answer.status, answer.headers["mcp-session-id"]], [200, undefined]);
    const headers = tool.seen[0]?.headers;
    assert.deepEqual([headers?.["mcp-session-id"], headers?.["last-event-id"]], [undefined, undefined]);
  });

  test("an unproven caller gets no JSON-RPC and does not learn that the route speaks MCP", async () => {
    const message = stateless("tools/call", ECHO);
    for (const path of ["/mcp", "/nothing"]) {
      const answer = await agent.call(g.url + path, {
        method: "POST",
        ...message,
        headers: { ...message.headers, dpop: "x" },
      });
      assert.equal(answer.status, 401);
      assert.equal(answer.headers["content-type"], "application/problem+json");
      assert.match(String(answer.headers["www-authenticate"]), /^DPoP .*resource_metadata="/);
    }
  });

  test("what the tool fails at is a JSON-RPC error too, with the id of the request", async () => {
    tool.answer = (_request, response) => void response.destroy();
    for (const id of ["call-1", "", "ключ-\u2028-\u{1f511}", 0, -9_007_199_254_740_991]) {
      const answer = await post(agent, url, inSession("tools/call", ECHO, {}, id));
      assert.deepEqual(errorOf(answer), [502, id, -32_000, "bad_gateway"]);
    }
  });

  test("a blocked agent gets a JSON-RPC error with its code", async () => {
    const other = await g.agent({ task: "blocked" });
    const change = { id: other.id, mode: "blocked", reason: "a test" };
    assert.ok((await g.operate("PUT", "/v1/containment/agent", change)).status < 300);
    assert.deepEqual(errorOf(await post(other, url, stateless("tools/call", ECHO))), [
      403,
      undefined,
      -32_003,
      "blocked",
    ]);
  });

  test("the audit log names the method and the tool of a message, never its arguments", async () => {
    const message = stateless("tools/call", { name: "echo", arguments: { message: "do-not-log-this" } });
    const answer = await post(agent, url, message);
    const id = String(answer.headers["x-cordon-request-id"]);
    const intent = (line: Record<string, unknown>): boolean =>
      JSON.stringify(line).includes(id) && JSON.stringify(line).includes("intent");
    const lines = await g.lines("audit", intent);
    const line = JSON.stringify(lines.find(intent));
    assert.match(line, /"method":"POST","tool":"echo","mcp":"tools\/call"/);
    for (const name of ["audit", "access", "decision"] as const) {
      const all = JSON.stringify(await g.lines(name, (entry) => JSON.stringify(entry).includes(id)));
      assert.doesNotMatch(all, /do-not-log-this/, name);
    }
  });

  test("a method stands in one version, and a call is only found as what it is", () => {
    const versions: McpVersion[] = [SESSION_VERSION, STATELESS_VERSION];
    assert.deepEqual(
      versions.map((version) => findMethod(version, "ping", "request")?.name),
      ["ping", undefined],
    );
    assert.equal(findMethod(SESSION_VERSION, "tools/call", "notification"), undefined);
    assert.equal(findMethod(SESSION_VERSION, "__proto__", "request"), undefined);
  });
});
