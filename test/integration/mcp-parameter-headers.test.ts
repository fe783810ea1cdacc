// Headers that repeat an argument for whoever routes on them, through the whole gateway: what agrees with the pinned schema
// and the arguments is passed on, and nothing else reaches the server.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { errorOf, inSession, mcpRoute, post, stateless } from "../fixtures/mcp-route.ts";
import { type CallAnswer, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 60_000 };
const RESULT = '{"jsonrpc":"2.0","id":7,"result":{"content":[]}}';
const MISMATCH = [400, 7, -32_020, "header_mismatch"];

type Json = Readonly<Record<string, unknown>>;
type Headers = Readonly<Record<string, string>>;

const marked = (type: unknown, name: unknown): Json => ({ type, "x-mcp-header": name });
const ECHO: Json = {
  name: "echo",
  inputSchema: {
    type: "object",
    properties: {
      region: marked("string", "Region"),
      tenant: { type: "object", properties: { number: marked("integer", "Tenant_No") } },
      dry: marked("boolean", "dry"),
      // A property of this name is no mark, and neither is a value that looks like one.
      "x-mcp-header": { type: "string", default: { "x-mcp-header": "Nothing" } },
      message: { type: "string" },
    },
  },
};

describe("Mcp-Param-* on a route of kind mcp", LIMIT, () => {
  let g: TestGateway;
  let agent: TestAgent;
  let tools: readonly Json[] = [];
  before(async () => {
    g = await startTestGateway(({ toolUrl }) => ({
      routes: [
        mcpRoute("mcp", toolUrl),
        mcpRoute("unseen", toolUrl),
        mcpRoute("nested", toolUrl),
        mcpRoute("odd", toolUrl),
        mcpRoute("off", toolUrl, { mcp: { tools: { pin: "off" } } }),
        mcpRoute("logs", toolUrl, { mcp: { tools: { on_drift: "log" } } }),
      ],
    }));
    agent = await g.agent();
    g.tool.answer = (_request, response, body) => {
      const { method } = JSON.parse(body) as { method: string };
      response.writeHead(200, { "content-type": "application/json" });
      response.end(method === "tools/list" ? JSON.stringify({ jsonrpc: "2.0", id: 7, result: { tools } }) : RESULT);
    };
    await list("mcp", [ECHO]);
  });
  after(() => g.close());
  beforeEach(() => {
    g.tool.seen.length = 0;
  });

  async function list(route: string, served: readonly Json[]): Promise<string[]> {
    tools = served;
    const answer = await post(agent, `${g.url}/${route}`, stateless("tools/list"));
    return answer.json<{ result: { tools: { name: string }[] } }>().result.tools.map(({ name }) => name);
  }
  const call = (given: Json, headers: Headers, route = "mcp", name = "echo"): Promise<CallAnswer> =>
    post(agent, `${g.url}/${route}`, stateless("tools/call", { name, arguments: given }, headers));
  const inOldSession = (given: Json, headers: Headers): Promise<CallAnswer> =>
    post(agent, `${g.url}/mcp`, inSession("tools/call", { name: "echo", arguments: given }, headers));

  test("a header that says what its argument says is passed on as it came", async () => {
    const base64 = (text: string): string => `=?base64?${Buffer.from(text).toString("base64")}?=`;
    const agree: [Json, Headers][] = [
      [{ message: "m" }, {}],
      [{ region: "us-west1" }, { "mcp-param-region": "us-west1" }],
      [{ region: "us-west1" }, { "MCP-PARAM-REGION": base64("us-west1") }],
      [{ region: "Zürich \n" }, { "mcp-param-region": base64("Zürich \n") }],
      [{ region: "" }, { "mcp-param-region": "" }],
      [{ region: base64("x") }, { "mcp-param-region": base64(base64("x")) }],
      [{ region: "=?BASE64?eA==?=" }, { "mcp-param-region": "=?BASE64?eA==?=" }],
      [{ tenant: { number: -42 } }, { "mcp-param-tenant_no": "-42" }],
      [{ tenant: { number: 42 } }, { "mcp-param-tenant_no": "42.0" }],
      [{ tenant: {}, dry: false }, { "mcp-param-dry": "false" }],
      [
        { region: "a", dry: true },
        { "mcp-param-region": "a", "mcp-param-dry": "true" },
      ],
    ];
    for (const [given, headers] of agree) {
      const answer = await call(given, headers);
      assert.equal(answer.status, 200, `${JSON.stringify(given)} ${answer.text}`);
      for (const [name, value] of Object.entries(headers)) {
        assert.equal(g.tool.seen.at(-1)?.headers[name.toLowerCase()], value);
      }
    }
  });

  test("a header that is missing, repeats nothing or says another value is 400 with -32020, and nothing is sent", async () => {
    const disagree: [string, Json, Headers][] = [
      ["another value", { region: "us-west1" }, { "mcp-param-region": "eu-west1" }],
      ["another case", { region: "us-west1" }, { "mcp-param-region": "US-WEST1" }],
      ["no header", { region: "us-west1" }, {}],
      ["one of two", { region: "a", dry: true }, { "mcp-param-dry": "true" }],
      ["no argument", { message: "m" }, { "mcp-param-region": "us-west1" }],
      ["an empty header and no argument", { message: "m" }, { "mcp-param-region": "" }],
      ["nothing is marked so", { region: "a", message: "m" }, { "mcp-param-region": "a", "mcp-param-message": "m" }],
      ["a name that folds into the marked one", { tenant: { number: 1 } }, { "mcp-param-tenant-no": "1" }],
      ["a value that looks like a mark", {}, { "mcp-param-nothing": "1" }],
      ["another integer", { tenant: { number: 42 } }, { "mcp-param-tenant_no": "43" }],
      ["an integer in other signs", { tenant: { number: 42 } }, { "mcp-param-tenant_no": "0x2a" }],
      ["an integer with zeros", { tenant: { number: 42 } }, { "mcp-param-tenant_no": "042" }],
      ["an exponent", { tenant: { number: 100 } }, { "mcp-param-tenant_no": "1e2" }],
      ["beyond 2^53", { tenant: { number: 9007199254740992 } }, { "mcp-param-tenant_no": "9007199254740992" }],
      ["another case of a boolean", { dry: true }, { "mcp-param-dry": "True" }],
    ];
    for (const [title, given, headers] of disagree) {
      assert.deepEqual(errorOf(await call(given, headers)), MISMATCH, title);
    }
    // What no header can be read as is refused before the body is.
    for (const value of ["=?base64?SGVsbG8?=", "=?base64?SGVs!!!bG8=?=", "=?base64?/w==?=", "=?base64?=", "é"]) {
      const answer = await call({ region: "Hello" }, { "mcp-param-region": value });
      assert.deepEqual(errorOf(answer), [400, undefined, -32_020, "header_mismatch"], value);
    }
    assert.equal(g.tool.seen.length, 0);
  });

  test("an argument of another type is the argument's fault, and where there is none no header is expected", async () => {
    for (const [given, headers] of [
      [{ region: 5 }, { "mcp-param-region": "5" }],
      [{ region: null }, {}],
    ] as const) {
      assert.deepEqual(errorOf(await call(given, headers)), [400, 7, -32_602, "invalid_params"]);
    }
    const properties = { tenant: { properties: { number: marked("integer", "Number") } } };
    await list("nested", [{ name: "echo", inputSchema: { properties } }]);
    for (const tenant of [null, "text", [1], {}]) {
      assert.equal((await call({ tenant }, {}, "nested")).status, 200, JSON.stringify(tenant));
      assert.deepEqual(errorOf(await call({ tenant }, { "mcp-param-number": "1" }, "nested")), MISMATCH);
    }
    assert.deepEqual(errorOf(await call({ tenant: { number: 1 } }, {}, "nested")), MISMATCH);
  });

  test("on a message that calls no tool such a header repeats nothing, and is refused", async () => {
    const header = { "mcp-param-region": "us-west1" };
    for (const message of [
      stateless("tools/list", {}, header),
      stateless("prompts/get", { name: "simple-prompt", arguments: { region: "us-west1" } }, header),
      inSession("ping", {}, header),
    ]) {
      assert.deepEqual(errorOf(await post(agent, `${g.url}/mcp`, message)), MISMATCH);
    }
    const reply = JSON.stringify({ jsonrpc: "2.0", id: 7, result: {} });
    const answer = await post(agent, `${g.url}/mcp`, { ...inSession("ping", {}, header), body: reply });
    assert.deepEqual(errorOf(answer).slice(0, 3), [400, undefined, -32_020]);
    const stream = await agent.call(`${g.url}/mcp`, { headers: { "mcp-protocol-version": "2025-11-25", ...header } });
    assert.deepEqual(errorOf(stream).slice(0, 3), [400, undefined, -32_020]);
    assert.equal(g.tool.seen.length, 0);
  });

  test("a client of 2025-11-25 need not send one, and one that it sends must agree", async () => {
    assert.equal((await inOldSession({ region: "us-west1" }, {})).status, 200);
    assert.equal((await inOldSession({ region: "us-west1" }, { "mcp-param-region": "us-west1" })).status, 200);
    g.tool.seen.length = 0;
    for (const value of ["eu-west1", ""]) {
      assert.deepEqual(errorOf(await inOldSession({ region: "us-west1" }, { "mcp-param-region": value })), MISMATCH);
    }
    assert.deepEqual(errorOf(await inOldSession({}, { "mcp-param-region": "us-west1" })), MISMATCH);
    assert.equal(g.tool.seen.length, 0);
  });

  test("where no schema is known no such header passes, and a list is all that it takes to mend it", async () => {
    const given = { region: "us-west1" };
    const headers = { "mcp-param-region": "us-west1" };
    assert.deepEqual(errorOf(await call(given, headers, "unseen")), MISMATCH);
    assert.equal((await call(given, {}, "unseen")).status, 200, "without headers the first use is open");
    await list("unseen", [ECHO]);
    assert.equal((await call(given, headers, "unseen")).status, 200);
    await list("off", [ECHO]);
    assert.deepEqual(errorOf(await call(given, headers, "off")), MISMATCH);
    await list("logs", [{ name: "get-sum" }]);
    assert.deepEqual(errorOf(await call(given, headers, "logs")), MISMATCH, "a tool that was in no list");
  });

  test("a schema that marks what must not be marked waits to be accepted, and no header of it is ever passed on", async () => {
    const bad: Json[] = [
      { properties: { a: marked("number", "A") } },
      { properties: { a: marked(["string", "null"], "A") } },
      { properties: { a: { "x-mcp-header": "A" } } },
      { properties: { a: marked("object", "A") } },
      { properties: { a: marked("string", "") } },
      { properties: { a: marked("string", "A b") } },
      { properties: { a: marked("string", "A\r\nX-Evil") } },
      { properties: { a: marked("string", "Ä") } },
      { properties: { a: marked("string", true) } },
      { properties: { a: marked("string", "A"), b: marked("string", "a") } },
      { properties: { a: marked("string", "A_B"), b: marked("string", "A-B") } },
      { properties: { a: { type: "array", items: marked("string", "A") } } },
      { allOf: [{ properties: { a: marked("string", "A") } }] },
      { if: { properties: { a: marked("string", "A") } } },
      { $defs: { a: marked("string", "A") }, properties: { a: { $ref: "#/$defs/a" } } },
      { properties: { a: { type: "string", "x-other": marked("string", "A") } } },
      marked("string", "A"),
    ];
    const names = bad.map((_, index) => `bad-${index}`);
    const served = bad.map((inputSchema, index) => ({ name: names[index], inputSchema }));
    await list("odd", [...served, { name: "echo" }]);
    const waiting = (await g.operate("GET", "/v1/tools/odd/waiting")).json<{ tools: { name: string }[] }>().tools;
    for (const name of names)
      assert.ok(
        waiting.some((tool) => tool.name === name),
        `${name} waits`,
      );

    const echo = { name: "echo", inputSchema: { properties: { a: marked("number", "A") } } };
    assert.deepEqual(await list("odd", [echo]), []);
    assert.equal(
      (await g.operate("POST", "/v1/tools/odd/accept", { reason: "for old clients", tool: "echo" })).status,
      200,
    );
    assert.deepEqual(await list("odd", [echo]), ["echo"]);
    assert.equal((await call({ a: 1 }, {}, "odd")).status, 200);
    assert.deepEqual(errorOf(await call({ a: 1 }, { "mcp-param-a": "1" }, "odd")), MISMATCH);
  });
});
