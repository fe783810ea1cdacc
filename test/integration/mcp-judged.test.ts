// What `cordon/response` says of the messages of an MCP server. The policy of these tests does what the message says by its
// member `do`, so that each test writes in one place what is answered and what is to become of it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  cutText,
  EVENTS,
  JSON_TYPE,
  type JudgingGateway,
  openStream,
  readerOf,
  startJudgingGateway,
} from "../fixtures/judging-gateway.ts";
import { errorOf, inSession, post, SESSION_VERSION, stateless } from "../fixtures/mcp-route.ts";
import type { CallAnswer, TestAgent } from "../fixtures/test-gateway.ts";

const PROGRESS = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}';

const result = (structured: string, beside = ""): string =>
  `{"jsonrpc":"2.0","id":7,"result":{"structuredContent":${structured}${beside}}}`;
const WITHHELD = result('{"do":"deny","word":"gold"}');

describe("answers that are judged on a route of kind mcp", { timeout: 60_000 }, () => {
  let j: JudgingGateway;
  let agent: TestAgent;
  before(async () => {
    j = await startJudgingGateway();
    agent = await j.g.agent();
  });
  after(() => j.close());

  const call = (name = "read"): Promise<CallAnswer> =>
    post(agent, j.mcp, stateless("tools/call", { name, arguments: {} }));

  test("a result that policy allows leaves as the server wrote it", async () => {
    const body = result('{"do":"pass", "amount": 1.50}');
    j.answers(body);
    const answer = await call();
    assert.deepEqual([answer.status, answer.text], [200, body]);
  });

  test("a result that policy denies is withheld, and the records say that the tool has acted", async () => {
    j.answers(WITHHELD);
    const answer = await call();
    assert.deepEqual(errorOf(answer), [403, 7, -32_003, "response_withheld"]);
    assert.doesNotMatch(answer.text, /gold/);
    const line = await j.accessLine(answer);
    assert.deepEqual(
      [line["outcome"], line["reason"], line["detail"], line["status"]],
      ["failed", "response.denied", "test.withheld", 403],
    );
    const mine = (record: Record<string, unknown>): boolean =>
      record["type"] === "outcome" && record["request_id"] === line["request_id"];
    const outcome = (await j.g.lines("audit", mine)).find(mine);
    assert.deepEqual(
      [outcome?.["sent"], outcome?.["status"], outcome?.["reason"], outcome?.["response_bytes"]],
      [true, 200, "response.denied", WITHHELD.length],
    );
  });

  test("a judgement has a line of its own in the decision log, without what the tool said", async () => {
    j.answers(WITHHELD);
    const { request_id: id, decision_id: decision } = await j.accessLine(await call());
    const mine = (line: Record<string, unknown>): boolean =>
      line["request_id"] === id && line["path"] === "cordon/response";
    const line = (await j.g.lines("decision", mine)).find(mine) ?? {};
    assert.notEqual(line["decision_id"], decision);
    assert.deepEqual(line["result"], { allow: false, reasons: [{ code: "test.withheld" }], redact: [], labels: [] });
    assert.deepEqual((line["input"] as Record<string, unknown>)["response"], {
      kind: "result",
      bytes: WITHHELD.length,
    });
    assert.ok((line["masked"] as string[]).includes("/input/response"));
    assert.equal(line["reason"], "response.denied");
    assert.doesNotMatch(JSON.stringify(line), /gold/);
  });

  test("what policy redacts in a result leaves neither in the structured content nor in the text beside it", async () => {
    const structured = '{"do":"redact","secret":82,"rest":1}';
    const text = (json: string): string => `,"content":[{"type":"text","text":${JSON.stringify(json)}}]`;
    j.answers(result(structured, text(structured)));
    const cut = '{"do":"redact","rest":1}';
    assert.equal((await call()).text, result(cut, text(cut)));
    j.answers(result(structured, ',"content":[{"type":"text","text":"82 it is"}]'));
    const answer = await call();
    assert.deepEqual(errorOf(answer), [502, 7, -32_000, "bad_gateway"]);
    assert.equal((await j.accessLine(answer))["reason"], "upstream.cannot_redact");
  });

  const inOthers: [string, string, string][] = [
    ["an error", '"id":7,"error":{"code":1,"message":"m","data":', "}}"],
    ["a notification", '"method":"notifications/message","params":', "}"],
    ["a request of the server's own", '"id":9,"method":"elicitation/create","params":', "}"],
  ];
  for (const [title, head, tail] of inOthers) {
    test(`${title} is judged too, since a tool can write to the agent in it`, async () => {
      j.answers(`data: {"jsonrpc":"2.0",${head}{"do":"pass"}${tail}\n\n`, EVENTS);
      const message = stateless("tools/call", { name: "read", arguments: {} });
      assert.match((await post(agent, j.mcp, message)).text, /"do":"pass"/);
      j.answers(`data: {"jsonrpc":"2.0",${head}{"do":"deny","word":"gold"}${tail}\n\n`, EVENTS);
      const stream = await openStream(agent, j.mcp, message);
      const text = await cutText(stream);
      assert.doesNotMatch(text, /gold/);
      assert.equal((await j.accessLine(stream))["reason"], "response.denied");
    });
  }

  test("what policy redacts in a message that is no result leads into its params", async () => {
    const notification = (params: string): string =>
      `data: {"jsonrpc":"2.0","method":"notifications/message","params":${params}}\n\n`;
    j.answers(notification('{"do":"redact","secret":82,"level":"info"}'), EVENTS);
    assert.equal((await call()).text, notification('{"do":"redact","level":"info"}'));
  });

  const failing: [string, string | Buffer, string, Record<string, string>?, number?][] = [
    ["of which policy says nothing", result('{"do":"nothing","word":"gold"}'), "policy.undefined"],
    ["of which policy says what nobody knows", result('{"do":"unknown"}'), "policy.malformed_decision"],
    ["of which policy speaks in another form", result('{"do":"malformed"}'), "policy.malformed_decision"],
    ["at which policy contradicts itself", result('{"do":"conflict"}'), "policy.error"],
    ["at which policy throws", result('{"do":"throw","number":1.5}'), "policy."],
    ["that is a batch", `[${result("{}")}]`, "not one strict JSON object"],
    ["that has a member twice", result('{"do":"deny","do":"pass"}'), "not one strict JSON object"],
    ["that is a result in another case", result("{}").replace('"result"', '"Result"'), "a member in another spelling"],
    ["that is a result and an error", result("{}").replace('"id":7', '"error":{}'), "not one message"],
    ["that is no message", '{"do":"pass"}', "not one message"],
    ["that is compressed", gzipSync(result("{}")), "encoded", { ...JSON_TYPE, "content-encoding": "gzip" }],
    ["of another type", result("{}"), "neither JSON nor events", { "content-type": "text/plain" }],
    ["that is an error page", "<p>gold</p>", "neither JSON nor events", { "content-type": "text/html" }, 500],
    ["that is too large", result(`"${"x".repeat(10_000)}"`), "larger than redact_bytes_max"],
  ];
  for (const [title, body, detail, headers, status] of failing) {
    test(`an answer ${title} is withheld`, async () => {
      j.answers(body, headers, status);
      const answer = await call();
      assert.deepEqual(errorOf(answer), [502, 7, -32_000, "response_withheld"]);
      assert.doesNotMatch(answer.text, /gold/);
      const line = await j.accessLine(answer);
      assert.deepEqual([line["reason"], line["outcome"]], ["response.not_judged", "failed"]);
      assert.ok(String(line["detail"]).includes(detail), String(line["detail"]));
    });
  }

  test("each event is judged as it comes, and none is held back by the next one", async () => {
    const sends = j.nextAnswer();
    const stream = await openStream(agent, j.mcp, stateless("tools/call", { name: "read", arguments: {} }));
    const answer = await sends;
    const read = readerOf(stream);
    for (const [sent, expected] of [
      [`id: 1\ndata: ${PROGRESS}\n\n`, `data: ${PROGRESS}\n\n`],
      [
        `id: 2\ndata: ${result('{"do":"redact","secret":1,"rest":2}')}\n\n`,
        `data: ${result('{"do":"redact","rest":2}')}\n\n`,
      ],
    ] as const) {
      answer.write(sent);
      assert.equal(await read(expected), expected);
    }
    answer.write(`data: ${WITHHELD}\n\ndata: ${PROGRESS}\n\n`);
    const text = await cutText(stream);
    assert.doesNotMatch(text, /gold/);
    const { id, error } = JSON.parse(text.trimEnd().replace("data: ", "")) as {
      id: number;
      error: { data: Record<string, unknown> };
    };
    const data = { code: "response_withheld", status: 403, request_id: stream.headers["x-cordon-request-id"] };
    assert.deepEqual([id, error.data], [7, data], "the last event is an error with the request's id");
    assert.equal((await j.accessLine(stream))["reason"], "response.denied");
  });

  test("a message that comes again on the resumed stream of a session is judged there too", async () => {
    const sends = j.nextAnswer();
    const headers = { accept: "text/event-stream", "mcp-protocol-version": SESSION_VERSION, "last-event-id": "2" };
    const stream = await openStream(agent, j.mcp, { method: "GET", headers });
    const [answer, read] = [await sends, readerOf(stream)];
    const event = `id: 3\ndata: ${PROGRESS}\n\n`;
    answer.write(event);
    assert.equal(await read(event), event, "who asked for the stream by GET is told how to ask again");
    answer.write(`id: 4\ndata: ${WITHHELD}\n\n`);
    assert.equal(await cutText(stream), "");
    assert.equal((await j.accessLine(stream))["reason"], "response.denied");
  });

  test("a call whose result a later message would fetch is refused before it is sent, where it is to be judged", async () => {
    j.answers(result("{}"));
    const reached = j.reached();
    const params = { name: "read", arguments: {}, task: { ttl: 1000 } };
    const answer = await post(agent, j.mcp, inSession("tools/call", params));
    assert.deepEqual(errorOf(answer), [502, 7, -32_000, "response_withheld"]);
    assert.equal(j.reached(), reached);
  });

  test("the answers of a call of which the decision does not ask it are not judged", async () => {
    j.answers(WITHHELD);
    assert.equal((await call("unjudged")).text, WITHHELD);
  });
});
