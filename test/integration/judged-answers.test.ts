// What `cordon/response` says of the answers of tools that speak plain HTTP: JSON documents and event streams. The policy of
// these tests does what the answer says by its member `do`.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import {
  cutText,
  EVENTS,
  JSON_TYPE,
  type JudgingGateway,
  openStream,
  readerOf,
  startJudgingGateway,
} from "../fixtures/judging-gateway.ts";
import type { CallAnswer, TestAgent } from "../fixtures/test-gateway.ts";

describe("answers that are judged on a route of kind http", { timeout: 60_000 }, () => {
  let j: JudgingGateway;
  let agent: TestAgent;
  before(async () => {
    j = await startJudgingGateway();
    agent = await j.g.agent();
  });
  after(() => j.close());

  test("a document that policy allows leaves as the tool wrote it", async () => {
    for (const body of ['{"do":"pass", "amount": 1.50}', '[{"do":"deny"}]', '"deny"', "12345678901234567890"]) {
      j.answers(body, { ...JSON_TYPE, etag: '"1"' });
      const answer = await agent.call(j.http);
      assert.deepEqual([answer.status, answer.text], [200, body]);
    }
  });

  test("a document that policy denies is withheld, whatever its status", async () => {
    for (const status of [200, 201, 404, 500]) {
      j.answers('{"do":"deny","word":"gold"}', JSON_TYPE, status);
      const answer = await agent.call(j.http, { method: "POST" });
      assert.deepEqual([answer.status, answer.json()["code"]], [403, "response_withheld"]);
      assert.doesNotMatch(answer.text, /gold/);
      const line = await j.accessLine(answer);
      assert.deepEqual([line["outcome"], line["reason"]], ["failed", "response.denied"]);
    }
  });

  test("what policy redacts in a document leaves without it, beside what the decision redacts", async () => {
    j.answers('{"do":"redact","secret":82,"also":1,"rest":2}');
    assert.equal((await agent.call(j.http)).text, '{"do":"redact","also":1,"rest":2}');
    assert.equal((await agent.call(j.redacts)).text, '{"do":"redact","rest":2}');
    j.answers('{"do":"pass","secret":82,"also":1}');
    assert.equal((await agent.call(j.redacts)).text, '{"do":"pass","secret":82}');
  });

  const failing: [string, string, string, Record<string, string>?][] = [
    ["of which policy says nothing", '{"do":"nothing","word":"gold"}', "policy.undefined"],
    ["at which policy contradicts itself", '{"do":"conflict"}', "policy.error"],
    ["that is no JSON", "gold", "not strict JSON"],
    ["that has a member twice", '{"do":"deny","do":"pass"}', "not strict JSON"],
    ["that is a page", "<p>gold</p>", "neither JSON nor events", { "content-type": "text/html" }],
    ["that is too large", `{"word":"${"gold".repeat(3000)}"}`, "larger than redact_bytes_max"],
  ];
  for (const [title, body, detail, headers] of failing) {
    test(`a document ${title} is withheld`, async () => {
      j.answers(body, headers);
      const answer = await agent.call(j.http);
      assert.deepEqual([answer.status, answer.json()["code"]], [502, "response_withheld"]);
      assert.doesNotMatch(answer.text, /gold/);
      const line = await j.accessLine(answer);
      assert.equal(line["reason"], "response.not_judged");
      assert.ok(String(line["detail"]).includes(detail), String(line["detail"]));
    });
  }

  test("an answer without a body has nothing to judge", async () => {
    j.tool.handle = (asked, answer) => {
      asked.resume();
      answer.writeHead(204).end();
    };
    assert.equal((await agent.call(j.http, { method: "POST" })).status, 204);
  });

  test("each event is judged as it comes, a word that is no JSON as a text; the stream is cut at one that is denied", async () => {
    const sends = j.nextAnswer();
    const stream = await openStream(agent, j.http);
    const answer = await sends;
    const read = readerOf(stream);
    for (const [sent, expected] of [
      ['event: a\ndata: {"do":"pass"}\n\n', 'event: a\ndata: {"do":"pass"}\n\n'],
      ['data: {"do":"redact","secret":1,"rest":2}\n\n', 'data: {"do":"redact","rest":2}\n\n'],
      ["data: [DONE]\n\n", "data: [DONE]\n\n"],
    ] as const) {
      answer.write(sent);
      assert.equal(await read(expected), expected);
    }
    answer.write('data: {"do":"deny","word":"gold"}\n\ndata: 1\n\n');
    assert.doesNotMatch(await cutText(stream), /gold/);
    assert.equal((await j.accessLine(stream))["reason"], "response.denied");
  });

  test("an event that is JSON to some readers only cuts its stream", async () => {
    const sends = j.nextAnswer();
    const stream = await openStream(agent, j.http);
    (await sends).write('data: {"do":"deny","do":"pass","word":"gold"}\n\n');
    assert.doesNotMatch(await cutText(stream), /gold/);
    assert.equal((await j.accessLine(stream))["reason"], "response.not_judged");
  });

  test("an answer of which the decision does not ask it is not judged", async () => {
    j.answers('{"do":"deny"}');
    assert.equal((await agent.call(j.unjudged)).text, '{"do":"deny"}');
  });

  test("a route in observe shows what policy would withhold and logs it, but nothing that cannot be read", async () => {
    j.answers('{"do":"deny","word":"gold"}');
    const answer = await agent.call(j.observed);
    assert.deepEqual([answer.status, answer.text], [200, '{"do":"deny","word":"gold"}']);
    const line = await j.accessLine(answer);
    assert.deepEqual([line["outcome"], line["reason"]], ["forwarded", ""]);
    assert.equal(line["detail"], "its answer would be withheld: response.denied, test.withheld");
    j.answers('{"do":"nothing"}');
    assert.equal((await agent.call(j.observed)).status, 200);
    j.answers("gold");
    assert.equal((await agent.call(j.observed)).status, 502);
  });

  test("a policy that runs too long on an answer withholds it, and the gateway goes on", async () => {
    j.answers('{"do":"loop","word":"gold"}');
    const answer: CallAnswer | undefined = await agent.call(j.http).catch(() => undefined);
    // A fast machine ends the evaluation before the watchdog looks: by its own limits, and withheld all the same.
    const isWithheld = answer?.status === 502 && answer.json()["code"] === "response_withheld";
    assert.ok(answer === undefined || answer.status === 503 || isWithheld, "withheld, or its thread was ended");
    j.answers('{"do":"pass"}');
    let after: CallAnswer | undefined;
    // The thread that takes its place listens on the same port.
    while (after === undefined) after = await agent.call(j.http).catch(() => undefined);
    assert.equal(after.status, 200);
  });
});

test("an answer that is larger than an input may be is withheld", { timeout: 60_000 }, async () => {
  const j = await startJudgingGateway({}, { input_bytes_max: 4096, body_bytes_max: 1024 });
  try {
    j.answers(`{"word":"${"gold".repeat(1500)}"}`);
    const answer = await (await j.g.agent()).call(j.http);
    assert.equal(answer.status, 502);
    const { reason, detail } = await j.accessLine(answer);
    assert.deepEqual([reason, detail], ["response.not_judged", "policy.input_too_large"]);
  } finally {
    await j.close();
  }
});

test("thousands of tiny events that come at once are judged in many turns, and others have theirs in between", {
  timeout: 60_000,
}, async (t) => {
  // Its own: a policy that was asked so often runs faster afterwards.
  const j = await startJudgingGateway();
  t.after(() => j.close());
  const agent = await j.g.agent();
  const all = "data:1\n\n".repeat(2400);
  const told: string[] = [];
  j.tool.handle = (asked, answer) => {
    asked.resume();
    if (asked.method === "GET") answer.writeHead(200, EVENTS).end(all);
    else answer.writeHead(200, JSON_TYPE).end("{}");
  };
  const stream = await openStream(agent, j.http, { method: "GET" });
  const ended = once(stream, "end").then(() => told.push("the end of the stream"));
  let text = "";
  stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await once(stream, "data");
  const others = agent.call(j.http, { method: "POST" }).then(() => told.push("another's answer"));
  await Promise.all([others, ended]);
  assert.deepEqual(told, ["another's answer", "the end of the stream"]);
  assert.equal(text, all);
});
