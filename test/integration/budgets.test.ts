// Budgets through the whole gateway, with two data threads: what is refused, what it costs, and what is given back.
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { freePort } from "../../examples/demo/free-ports.ts";
import { errorOf, inSession, mcpRoute, post, stateless } from "../fixtures/mcp-route.ts";
import { toolRoute } from "../fixtures/scripted-tool.ts";
import { type CallAnswer, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { killThread } from "../fixtures/threads.ts";

const LIMIT = { timeout: 90_000 };
const WALL = 60;
const CALLS = 20;
const SUM = 1000;

const json = (body: string): { method: string; headers: Record<string, string>; body: string } => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body,
});

/** Counts of each status. */
function tally(answers: readonly CallAnswer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

describe("budgets", LIMIT, () => {
  let g: TestGateway;
  let unreachable: number;
  before(async () => {
    unreachable = await freePort();
    g = await startTestGateway(({ toolUrl }) => ({
      threads: 2,
      routes: [
        toolRoute("pay", toolUrl),
        toolRoute("many", toolUrl),
        toolRoute("paced", toolUrl),
        toolRoute("slow", toolUrl),
        toolRoute("upload", toolUrl, { body: "stream" }),
        toolRoute("gone", toolUrl),
        toolRoute("dead", `http://127.0.0.1:${unreachable}`),
        toolRoute("free", toolUrl),
        mcpRoute("mcp", toolUrl, { mcp: { tools: { pin: "off" } } }),
        mcpRoute("any", toolUrl),
      ],
      budgets: [
        { name: "amounts", match: { routes: ["pay"] }, per: ["task"], sum: { argument: "/amount", max: SUM } },
        { name: "calls", match: { routes: ["many", "gone", "dead"] }, per: ["agent", "tool"], calls_total: CALLS },
        { name: "pace", match: { routes: ["paced"] }, per: ["agent"], calls_per_minute: 3 },
        { name: "open", match: { routes: ["slow"] }, per: ["agent"], concurrent: 2 },
        { name: "bytes", match: { routes: ["upload"] }, per: ["agent"], request_bytes_total: 100 },
        { name: "any", match: { routes: ["any"] }, per: ["agent"], calls_total: 2 },
        { name: "echoes", match: { tools: ["echo"] }, per: ["agent", "tool"], calls_total: 2 },
        {
          name: "sums",
          match: { routes: ["mcp"], tools: ["get-sum"] },
          per: ["task"],
          sum: { argument: "/a", max: SUM },
        },
      ],
    }));
  });
  after(() => g.close());
  beforeEach(() => {
    g.tool.seen.length = 0;
    g.tool.answer = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end("{}");
    };
  });

  const idOf = (answer: CallAnswer): string => String(answer.headers["x-cordon-request-id"]);

  async function lineOf(file: "access" | "decision" | "audit", answer: CallAnswer, type?: string) {
    const mine = (line: Record<string, unknown>): boolean =>
      line["request_id"] === idOf(answer) && (type === undefined || line["type"] === type);
    const line = (await g.lines(file, mine)).find(mine);
    assert.ok(line);
    return line;
  }

  async function reasonOf(answer: CallAnswer): Promise<unknown> {
    return (await lineOf("access", answer))["reason"];
  }

  test("a wall of calls over two threads gets exactly what the budget holds", async () => {
    const [agent, other] = await Promise.all([g.agent(), g.agent()]);
    const answers = await Promise.all(Array.from({ length: WALL }, () => agent.call(`${g.url}/many/1`)));
    assert.deepEqual(tally(answers), { 200: CALLS, 429: WALL - CALLS });
    assert.equal(g.tool.seen.length, CALLS);
    const refused = answers.find(({ status }) => status === 429);
    assert.ok(refused);
    assert.equal(refused.json()["code"], "budget_exhausted");
    assert.equal(refused.headers["retry-after"], undefined, "waiting does not help");
    assert.equal((await lineOf("access", refused))["detail"], "calls: calls_total");
    assert.equal((await lineOf("audit", refused))["reason"], "budget.exhausted");
    assert.equal((await other.call(`${g.url}/many/1`)).status, 200, "another agent has its own");
  });

  test("a sum is exact under a wall of calls, whoever of the task makes them", async () => {
    const agents = await Promise.all(Array.from({ length: 3 }, () => g.agent({ task: "sum-wall" })));
    const sent = Array.from({ length: WALL }, (_, index) => 20 + (index % 3) * 10);
    const answers = await Promise.all(
      sent.map((amount, index) =>
        (agents[index % 3] as TestAgent).call(`${g.url}/pay/1`, json(`{"amount":${amount}}`)),
      ),
    );
    const spent = g.tool.seen.reduce((sum, { body }) => sum + (JSON.parse(body) as { amount: number }).amount, 0);
    // Nothing that was refused would have fitted in the end.
    const least = Math.min(...sent.filter((_, index) => answers[index]?.status === 429));
    assert.ok(spent <= SUM && spent > SUM - least, `${spent} of ${SUM}`);
    assert.equal(tally(answers)[200], g.tool.seen.length);
    const [agent] = agents as [TestAgent];
    if (spent < SUM) {
      assert.equal((await agent.call(`${g.url}/pay/1`, json(`{"amount":${SUM - spent}}`))).status, 200);
    }
    assert.equal((await agent.call(`${g.url}/pay/1`, json('{"amount":1}'))).status, 429);
    assert.equal((await agent.call(`${g.url}/pay/1`, json('{"amount":0}'))).status, 200);
  });

  test("H10 an amount that is no non-negative safe integer is refused with its own reason, and counts nothing", async () => {
    const agent = await g.agent({ task: "forms" });
    const forms: readonly (readonly [body: string, reason: string])[] = [
      ['{"amount":-1}', "budget.argument"],
      ['{"amount":1.5}', "budget.argument"],
      ['{"amount":"1"}', "budget.argument"],
      ['{"amount":[1]}', "budget.argument"],
      ['{"amount":null}', "budget.argument"],
      ['{"amount":true}', "budget.argument"],
      ['{"amount":9007199254740992}', "budget.argument"],
      ['{"amount":1e300}', "budget.argument"],
      ["{}", "budget.argument"],
      ['"amount"', "budget.argument"],
      ["[1]", "budget.argument"],
      ['{"order":{"amount":1}}', "budget.argument"],
      ['{"amount":-0}', "body.number"],
      ['{"amount":9007199254740993}', "body.number"],
      ['{"amount":1e400}', "body.number"],
      ['{"amount":1,"amount":2}', "body.duplicate_key"],
      ['{"amount":1,"Amount":2}', "body.duplicate_key"],
      ['{"amount":01}', "body.malformed"],
      ['{"amount":NaN}', "body.malformed"],
    ];
    for (const [body, reason] of forms) {
      const answer = await agent.call(`${g.url}/pay/1`, json(body));
      assert.deepEqual([answer.status, await reasonOf(answer)], [400, reason], body);
    }
    assert.equal((await agent.call(`${g.url}/pay/1`)).status, 400, "a GET has no amount");
    assert.equal(g.tool.seen.length, 0);
    assert.equal((await agent.call(`${g.url}/pay/1`, json(`{"amount":${SUM}.0}`))).status, 200);
    assert.equal((await agent.call(`${g.url}/pay/1`, json('{"amount":1}'))).status, 429);
  });

  test("beyond the pace of a minute a call is refused with the time to wait", async () => {
    const agent = await g.agent();
    const answers = await Promise.all(Array.from({ length: 6 }, () => agent.call(`${g.url}/paced/1`)));
    assert.deepEqual(tally(answers), { 200: 3, 429: 3 });
    for (const { headers } of answers.filter(({ status }) => status === 429)) {
      const seconds = Number(headers["retry-after"]);
      assert.ok(seconds > 50 && seconds <= 65, String(seconds));
    }
  });

  /** A tool that holds its answers until they are asked for. */
  function holdAnswers(): { held: ServerResponse[]; arrived: (count: number) => Promise<void> } {
    const held: ServerResponse[] = [];
    let notice = (): void => undefined;
    g.tool.answer = (_request: IncomingMessage, response) => {
      held.push(response);
      notice();
    };
    return {
      held,
      arrived: (count) =>
        new Promise((resolve) => {
          notice = () => {
            if (held.length >= count) resolve();
          };
          notice();
        }),
    };
  }

  test("a call is concurrent until its answer has ended", async () => {
    const agent = await g.agent();
    const { held, arrived } = holdAnswers();
    const open = [agent.call(`${g.url}/slow/1`), agent.call(`${g.url}/slow/2`)];
    await arrived(2);
    const refused = await agent.call(`${g.url}/slow/3`);
    assert.deepEqual([refused.status, refused.headers["retry-after"]], [429, "1"]);
    held[0]?.writeHead(200).write("a part");
    assert.equal((await agent.call(`${g.url}/slow/3`)).status, 429, "half an answer is not an end");
    held[0]?.end();
    await Promise.race(open);
    // The answer may be here a moment before the gateway has done with the call.
    let third: Promise<CallAnswer>;
    for (;;) {
      third = agent.call(`${g.url}/slow/4`);
      const refusal = await Promise.race([third, arrived(3)]);
      if (refusal === undefined) break;
      assert.equal(refusal.status, 429);
    }
    assert.equal((await agent.call(`${g.url}/slow/5`)).status, 429, "one was free, not two");
    for (const response of held) response.end();
    assert.deepEqual(tally(await Promise.all([...open, third])), { 200: 3 });
  });

  test("what a thread had open when it died is open no more, and the rest of what it spent stays spent", async () => {
    const agent = await g.agent();
    const { arrived } = holdAnswers();
    const cut = [agent.call(`${g.url}/slow/1`), agent.call(`${g.url}/slow/2`), agent.call(`${g.url}/many/1`)];
    const ended = Promise.allSettled(cut);
    await arrived(3);
    await Promise.all([killThread("data-0"), killThread("data-1")]);
    await ended;
    g.tool.answer = (_request, response) => void response.end("{}");
    let serving = 0;
    while (serving < 2) {
      const status = (await g.operate("GET", "/v1/status")).json<{ threads: readonly { state: string }[] }>();
      serving = status.threads.filter(({ state }) => state === "serving").length;
    }
    assert.equal((await agent.call(`${g.url}/slow/3`)).status, 200);
    const rest = await Promise.all(Array.from({ length: CALLS }, () => agent.call(`${g.url}/many/2`)));
    assert.deepEqual(tally(rest), { 200: CALLS - 1, 429: 1 });
  });

  test("only what certainly never reached the tool is given back", async () => {
    const agent = await g.agent();
    const dead = await Promise.all(Array.from({ length: CALLS }, () => agent.call(`${g.url}/dead/1`)));
    assert.deepEqual(tally(dead), { 502: CALLS });
    assert.equal((await agent.call(`${g.url}/dead/1`)).status, 502, "nothing was sent, so nothing is used up");
    g.tool.answer = (request) => void request.socket.destroy();
    const gone = await Promise.all(Array.from({ length: CALLS }, () => agent.call(`${g.url}/gone/1`)));
    assert.deepEqual(tally(gone), { 502: CALLS });
    assert.equal((await agent.call(`${g.url}/gone/1`)).status, 429, "the tool may have done what it was asked for");
  });

  test("a denial by policy costs nothing", async () => {
    const agent = await g.agent({ task: "denied" });
    const call = (a: number) =>
      post(agent, `${g.url}/mcp`, stateless("tools/call", { name: "get-sum", arguments: { a, b: 1 } }));
    // The policy's own maximum for this argument is the budget's too.
    assert.equal((await call(SUM + 1)).status, 403);
    assert.equal((await call(SUM)).status, 200);
    assert.deepEqual(errorOf(await call(1)), [429, 7, -32_000, "budget_exhausted"]);
  });

  test("the bytes of a streamed body are counted by its declared length, and without one it is refused", async () => {
    const agent = await g.agent();
    const upload = (bytes: number, headers: Record<string, string> = { "content-length": String(bytes) }) =>
      agent.call(`${g.url}/upload/1`, { method: "POST", headers, body: Buffer.alloc(bytes) });
    assert.equal((await upload(60)).status, 200);
    assert.equal((await upload(41)).status, 429);
    const chunked = await upload(1, { "transfer-encoding": "chunked" });
    assert.deepEqual([chunked.status, await reasonOf(chunked)], [411, "budget.length_required"]);
    assert.equal((await upload(40)).status, 200);
    assert.equal((await agent.call(`${g.url}/upload/1`)).status, 200, "no body, no bytes");
  });

  test("on a route of kind mcp the named tool is counted, in both versions, and other messages are not", async () => {
    const agent = await g.agent();
    const url = `${g.url}/mcp`;
    g.tool.answer = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end('{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}');
    };
    const echo = { name: "echo", arguments: { message: "x" } };
    assert.equal((await post(agent, url, stateless("tools/call", echo))).status, 200);
    assert.equal((await post(agent, url, inSession("tools/call", echo))).status, 200);
    for (const make of [stateless, inSession]) {
      const refused = await post(agent, url, make("tools/call", echo));
      assert.deepEqual(errorOf(refused), [429, 7, -32_000, "budget_exhausted"]);
      assert.equal((await post(agent, url, make("tools/list"))).status, 200);
    }
    const sum = (a: unknown) => post(agent, url, stateless("tools/call", { name: "get-sum", arguments: { a, b: 1 } }));
    assert.deepEqual(errorOf(await sum(1.5)), [400, 7, -32_602, "invalid_amount"]);
    assert.equal((await sum(1)).status, 200, "another tool has its own");
  });

  test("on a route of kind mcp what keeps a session and what lists is no call, whatever else is one", async () => {
    const agent = await g.agent();
    const url = `${g.url}/any`;
    g.tool.answer = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end('{"jsonrpc":"2.0","id":7,"result":{}}');
    };
    const others = [
      inSession("initialize"),
      inSession("ping"),
      inSession("notifications/initialized", {}, {}, null),
      inSession("tools/list"),
      stateless("resources/list"),
    ];
    for (const message of others) assert.equal((await post(agent, url, message)).status, 200, message.body);
    assert.equal((await post(agent, url, stateless("prompts/get", { name: "simple-prompt" }))).status, 200);
    assert.equal((await post(agent, url, stateless("subscriptions/listen"))).status, 200);
    const refused = await post(agent, url, inSession("prompts/get", { name: "simple-prompt" }));
    assert.deepEqual(errorOf(refused), [429, 7, -32_000, "budget_exhausted"]);
    for (const message of others) assert.equal((await post(agent, url, message)).status, 200, message.body);
  });

  test("what is used stands in the decision's input as it was before the call, and what is reserved in the intent", async () => {
    const agent = await g.agent({ task: "told" });
    await agent.call(`${g.url}/pay/1`, json('{"amount":300}'));
    const answer = await agent.call(`${g.url}/pay/1`, json('{"amount":400}'));
    const { input } = (await lineOf("decision", answer)) as { input: { budget: unknown } };
    assert.deepEqual(input.budget, { amounts: { sum: { used: 300, remaining: 700 } } });
    const intent = await lineOf("audit", answer, "intent");
    const [reserved] = intent["budget"] as [Record<string, unknown>];
    assert.deepEqual([reserved["name"], reserved["bytes"], reserved["sum"]], ["amounts", 0, 400]);
    const free = await agent.call(`${g.url}/free/1`);
    assert.equal("budget" in ((await lineOf("decision", free)) as { input: object }).input, false);
    assert.equal("budget" in (await lineOf("audit", free, "intent")), false);
  });
});

test("where there is no room for another counter a call is refused with its own reason", LIMIT, async (t) => {
  const g = await startTestGateway(({ toolUrl }) => ({
    routes: [toolRoute("many", toolUrl), toolRoute("free", toolUrl)],
    budgets: [{ name: "calls", match: { routes: ["many"] }, per: ["task"], calls_total: 1 }],
    limits: { budget_entries: 64 },
  }));
  t.after(() => g.close());
  const agents = await Promise.all(Array.from({ length: 65 }, (_, index) => g.agent({ task: `t${index}` })));
  const last = agents.pop() as TestAgent;
  for (const agent of agents) assert.equal((await agent.call(`${g.url}/many/1`)).status, 200);
  const refused = await last.call(`${g.url}/many/1`);
  assert.equal(refused.status, 503);
  const mine = (line: Record<string, unknown>): boolean => line["reason"] === "budget.table_full";
  assert.ok((await g.lines("access", mine)).some(mine));
  assert.equal((await last.call(`${g.url}/free/1`)).status, 200);
});
