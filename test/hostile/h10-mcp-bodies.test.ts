// H10, H11: bodies on an MCP route that two readers could take for two messages, or that are too large to be judged whole.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { errorOf, inSession, mcpRoute, post, stateless } from "../fixtures/mcp-route.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const BODY_BYTES_MAX = 4096;
const DEPTH_MAX = 12;

describe("H10 H11 bodies on a route of kind mcp", { timeout: 60_000 }, () => {
  let g: TestGateway;
  let agent: TestAgent;
  let url: string;
  before(async () => {
    g = await startTestGateway(({ toolUrl }) => ({
      routes: [mcpRoute("mcp", toolUrl, { limits: { body_bytes_max: BODY_BYTES_MAX, body_depth_max: DEPTH_MAX } })],
    }));
    agent = await g.agent();
    url = `${g.url}/mcp`;
  });
  after(() => g.close());
  beforeEach(() => {
    g.tool.seen.length = 0;
  });

  /** A call of `echo` with this text at one place of its body. */
  const { headers, body: sound } = inSession("tools/call", { name: "echo", arguments: { a: 1 } });
  const changed = (from: string, to: string): string => {
    assert.ok(sound.includes(from));
    return sound.replace(from, to);
  };
  const nested = (levels: number): string => changed('{"a":1}', `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`);

  const refused: [string, string | Buffer, number, number, string][] = [
    ["a batch", `[${sound}]`, 400, -32_600, "invalid_message"],
    ["an empty batch", "[]", 400, -32_600, "invalid_message"],
    ["a batch of two tools", `[${sound},${sound}]`, 400, -32_600, "invalid_message"],
    ["a method twice", changed('"method"', '"method":"ping","method"'), 400, -32_600, "bad_body"],
    ["a method in another case beside it", changed('"method"', '"Method":"ping","method"'), 400, -32_600, "bad_body"],
    ["a name twice", changed('"name"', '"name":"get-env","name"'), 400, -32_600, "bad_body"],
    [
      "a name with a long s beside it",
      changed('"params"', '"param\u017f":{"name":"get-env"},"params"'),
      400,
      -32_600,
      "bad_body",
    ],
    ["an argument twice", changed('"a":1', '"a":1,"a":2'), 400, -32_600, "bad_body"],
    ["an argument twice by an escape", changed('"a":1', '"a":1,"\\u0061":2'), 400, -32_600, "bad_body"],
    ["__proto__ among the arguments", changed('"a":1', '"__proto__":{"a":2}'), 400, -32_600, "bad_body"],
    ["a depth of 10,000", nested(600), 400, -32_600, "bad_body"],
    ["a number that no double carries", changed('"a":1', '"a":9007199254740993'), 400, -32_600, "bad_body"],
    ["a number beyond every double", changed('"a":1', '"a":1e400'), 400, -32_600, "bad_body"],
    ["bytes that are no UTF-8", Buffer.from(changed('"a":1', '"a":"\u00ff"'), "latin1"), 400, -32_700, "bad_body"],
    ["a byte-order mark", `\ufeff${sound}`, 400, -32_700, "bad_body"],
    ["two messages", sound + sound, 400, -32_700, "bad_body"],
    ["no JSON", "tools/call", 400, -32_700, "bad_body"],
    ["no body", "", 400, -32_600, "invalid_message"],
    ["a text", '"tools/call"', 400, -32_600, "invalid_message"],
    ["null", "null", 400, -32_600, "invalid_message"],
    ["another JSON-RPC", changed('"2.0"', '"1.0"'), 400, -32_600, "invalid_message"],
    ["JSON-RPC as a number", changed('"2.0"', "2.0"), 400, -32_600, "invalid_message"],
    ["a fraction as id", changed('"id":7', '"id":7.5'), 400, -32_600, "invalid_message"],
    ["null as id", changed('"id":7', '"id":null'), 400, -32_600, "invalid_message"],
    ["an object as id", changed('"id":7', '"id":{}'), 400, -32_600, "invalid_message"],
    ["a boolean as id", changed('"id":7', '"id":true'), 400, -32_600, "invalid_message"],
    ["an id in another case", changed('"id"', '"Id"'), 400, -32_600, "invalid_message"],
    ["a result beside a method", changed('"method"', '"result":{},"method"'), 400, -32_600, "invalid_message"],
    ["a member that JSON-RPC has not", changed('"method"', '"extra":1,"method"'), 400, -32_600, "invalid_message"],
    ["a method in another case alone", changed('"method"', '"Method"'), 400, -32_600, "invalid_message"],
    ["a method that is no text", changed('"tools/call"', "1"), 400, -32_600, "invalid_message"],
    ["an answer without its result", '{"jsonrpc":"2.0","id":7}', 400, -32_600, "invalid_message"],
    ["an answer with both", '{"jsonrpc":"2.0","id":7,"result":{},"error":{}}', 400, -32_600, "invalid_message"],
    ["params in a list", changed(/\{"name".*\}\}/.exec(sound)?.[0] ?? "", '["echo"]}'), 400, -32_602, "invalid_params"],
    ["no name", changed('"name"', '"title"'), 400, -32_602, "invalid_params"],
    ["a name in another case alone", changed('"name"', '"Name"'), 400, -32_602, "invalid_params"],
    ["a name that is no text", changed('"echo"', '["echo"]'), 400, -32_602, "invalid_params"],
    ["arguments in another case", changed('"arguments"', '"Arguments"'), 400, -32_602, "invalid_params"],
    ["arguments in a list", changed('{"a":1}', '["a"]'), 400, -32_602, "invalid_params"],
    ["arguments that are null", changed('{"a":1}', "null"), 400, -32_602, "invalid_params"],
    ["params that no policy would see", changed('"name"', '"more":{"x":1},"name"'), 400, -32_602, "invalid_params"],
    ["a body over the limit", changed('"a":1', `"a":"${"x".repeat(BODY_BYTES_MAX)}"`), 413, -32_600, "body_too_large"],
  ];
  for (const [title, body, status, code, dataCode] of refused) {
    const row = status === 413 ? "H11" : "H10";
    test(`${row} ${title} is ${status} with ${code}, and nothing of it is judged or sent`, async () => {
      const answer = await post(agent, url, { headers, body });
      const [gotStatus, , gotCode, gotDataCode] = errorOf(answer);
      assert.deepEqual([gotStatus, gotCode, gotDataCode], [status, code, dataCode]);
      const mine = (line: Record<string, unknown>): boolean =>
        line["request_id"] === answer.headers["x-cordon-request-id"];
      assert.equal((await g.lines("access", mine)).find(mine)?.["decision_id"], "");
      assert.equal(g.tool.seen.length, 0);
    });
  }

  test("H10 a depth within the route's own is judged, and one level more is not", async () => {
    // The message and its params are two levels.
    assert.equal((await post(agent, url, { headers, body: nested(DEPTH_MAX - 2) })).status, 200);
    assert.equal((await post(agent, url, { headers, body: nested(DEPTH_MAX - 1) })).status, 400);
  });

  test("H10 an encoded body, or one of another type, is 415", async () => {
    const others: Record<string, string>[] = [
      { "content-encoding": "gzip" },
      { "content-type": "text/plain" },
      { "content-type": "application/json; charset=utf-16" },
    ];
    for (const more of others) {
      assert.equal((await post(agent, url, { headers: { ...headers, ...more }, body: sound })).status, 415);
    }
    assert.equal(g.tool.seen.length, 0);
  });

  test("H10 what is accepted reaches the server byte for byte, whatever its spelling", async () => {
    for (const make of [inSession, stateless]) {
      const message = make("tools/call", { name: "echo", arguments: { a: 1 } });
      const body = ` ${message.body.replace('"a":1', '"\\u0061" : 1.0,\t"b":"\\u00e4\u00e4"')}\r\n`;
      assert.equal((await post(agent, url, { ...message, body })).status, 200);
      assert.equal(g.tool.seen.at(-1)?.body, body);
    }
  });

  test("H11 a body in chunks that grows over the limit is 413 and never judged in part", async () => {
    const { "content-length": _, ...chunked } = { ...headers, "transfer-encoding": "chunked" } as Record<
      string,
      string
    >;
    const answer = await post(agent, url, {
      headers: chunked,
      body: changed('"a":1', `"a":"${"x".repeat(BODY_BYTES_MAX)}"`),
    });
    assert.deepEqual(errorOf(answer), [413, undefined, -32_600, "body_too_large"]);
    assert.equal(g.tool.seen.length, 0);
  });
});
