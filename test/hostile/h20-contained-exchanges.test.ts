// H20: what becomes of an exchange that is in flight when its agent is contained: streams end at once, others have the grace,
// and a write that the tool has in full is followed to its outcome while the caller gets none of it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from "node:http";
import { after, before, describe, test } from "node:test";
import { accessLine } from "../fixtures/access-lines.ts";
import { type ScriptedTool, startScriptedTool, toolRoute } from "../fixtures/scripted-tool.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 30_000 };
const GRACE_MS = 800;
/** Open exchanges are looked at once a second. */
const LOOK_MS = 1000;
const SECRET = "only for who may still see it";

describe("H20 contained while in flight", { concurrency: true }, () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  /** Requests at the tool, by path, and who waits for them. */
  const arrived = new Map<string, (at: AtTool) => void>();
  interface AtTool {
    readonly asked: IncomingMessage;
    readonly answer: ServerResponse;
    /** Resolves when the connection of this request is gone, or its answer is out. */
    readonly gone: Promise<void>;
  }
  before(async () => {
    tool = await startScriptedTool();
    tool.handle = (asked, answer) => {
      const gone = new Promise<void>((resolve) => answer.once("close", () => resolve()));
      arrived.get(asked.url ?? "")?.({ asked, answer, gone });
    };
    g = await startTestGateway({
      limits: { block_grace_ms: GRACE_MS },
      routes: [
        toolRoute("json", tool.url),
        toolRoute("strict", tool.url, { audit: "strict" }),
        toolRoute("upload", tool.url, { body: "stream" }),
        toolRoute("single", tool.url, { upstream: { connections_max: 1 } }),
      ],
    });
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  const atTool = (target: string): Promise<AtTool> => new Promise((resolve) => arrived.set(target, resolve));

  async function open(agent: TestAgent, target: string, method = "GET", body?: string): Promise<ClientRequest> {
    const url = g.url + target;
    const headers = {
      ...(await agent.headers(url, method)),
      ...(method === "POST" ? { "content-type": "application/json" } : {}),
      ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }),
    };
    const asked = request(url, { method, headers, agent: false });
    asked.on("error", () => asked.destroy());
    if (body !== undefined || method === "GET") asked.end(body);
    return asked;
  }
  const responseTo = async (asked: ClientRequest): Promise<IncomingMessage> =>
    ((await once(asked, "response")) as [IncomingMessage])[0];
  async function read(
    answer: IncomingMessage,
  ): Promise<{ status: number | undefined; text: string; complete: boolean }> {
    let text = "";
    answer.on("data", (chunk: Buffer) => (text += chunk.toString())).on("error", () => answer.destroy());
    await new Promise<void>((resolve) => answer.once("close", () => resolve()));
    return { status: answer.statusCode, text, complete: answer.complete };
  }
  async function contain(agent: TestAgent, mode: string, more: object = {}): Promise<number> {
    const applied = await g.operate("PUT", "/v1/containment/agent", {
      id: agent.id,
      mode,
      reason: "a test of exchanges in flight",
      ...more,
    });
    assert.equal(applied.status, 200, applied.text);
    return performance.now();
  }
  async function outcomeOf(line: Record<string, unknown>): Promise<Record<string, unknown>> {
    const isIt = (one: Record<string, unknown>): boolean =>
      one["type"] === "outcome" && one["request_id"] === line["request_id"];
    const found = (await g.lines("audit", isIt)).filter(isIt);
    assert.equal(found.length, 1);
    return found[0] ?? assert.fail();
  }
  function isWithinGrace(sinceMs: number): void {
    const tookMs = performance.now() - sinceMs;
    assert.ok(tookMs >= GRACE_MS - 50, `cut after ${tookMs} ms: the grace was not given`);
    assert.ok(tookMs < GRACE_MS + LOOK_MS + 2000, `cut after ${tookMs} ms`);
  }

  test("H20 a single response and an upload that end within the grace are whole", LIMIT, async () => {
    const agent = await g.agent();
    const [getting, putting] = [atTool("/json/in-grace"), atTool("/upload/in-grace")];
    const response = responseTo(await open(agent, "/json/in-grace"));
    const upload = await open(agent, "/upload/in-grace", "POST");
    upload.write("one");
    const [get, put] = [await getting, await putting];
    get.answer.writeHead(200, { "content-length": 6 }).write("abc");
    const answer = await response;
    await contain(agent, "blocked");
    const uploaded = responseTo(upload);
    upload.end("two");
    let text = "";
    for await (const chunk of put.asked) text += String(chunk);
    assert.equal(text, "onetwo");
    put.answer.end("stored");
    get.answer.end("def");
    assert.deepEqual(await read(answer), { status: 200, text: "abcdef", complete: true });
    assert.deepEqual(await read(await uploaded), { status: 200, text: "stored", complete: true });
    assert.equal((await accessLine(g, "/upload/in-grace"))["outcome"], "forwarded");
    assert.equal((await agent.call(`${g.url}/json/after`)).status, 403);
  });

  test("H20 a single response that outlasts the grace is cut on both sides", LIMIT, async () => {
    const agent = await g.agent();
    const getting = atTool("/json/outlasts");
    const response = responseTo(await open(agent, "/json/outlasts"));
    const { answer, gone } = await getting;
    answer.writeHead(200, { "content-length": 100 }).write("abc");
    const reading = read(await response);
    const sinceMs = await contain(agent, "blocked");
    assert.deepEqual(await reading, { status: 200, text: "abc", complete: false });
    isWithinGrace(sinceMs);
    await gone;
    const line = await accessLine(g, "/json/outlasts");
    assert.deepEqual([line["outcome"], line["reason"]], ["failed", "stream.cut_containment"]);
    const outcome = await outcomeOf(line);
    assert.deepEqual([outcome["sent"], outcome["reason"]], [true, "stream.cut_containment"]);
  });

  test(
    "H20 an upload that outlasts the grace is cut: the caller is told, the tool's request is aborted",
    LIMIT,
    async () => {
      const agent = await g.agent();
      const putting = atTool("/upload/outlasts");
      const upload = await open(agent, "/upload/outlasts", "POST");
      upload.write("half");
      const response = responseTo(upload);
      const { asked, gone } = await putting;
      asked.resume();
      const sinceMs = await contain(agent, "blocked");
      const answer = await read(await response);
      assert.equal(answer.status, 403);
      assert.equal((JSON.parse(answer.text) as { code: string }).code, "blocked");
      isWithinGrace(sinceMs);
      await gone;
      assert.equal(asked.complete, false);
      const line = await accessLine(g, "/upload/outlasts");
      assert.deepEqual([line["status"], line["outcome"], line["reason"]], [403, "failed", "stream.cut_containment"]);
      assert.equal((await outcomeOf(line))["sent"], true);
    },
  );

  test("H20 a read that waits for its answer is cut after the grace, and aborted at the tool", LIMIT, async () => {
    const agent = await g.agent();
    const getting = atTool("/json/waits");
    const response = responseTo(await open(agent, "/json/waits"));
    const { gone } = await getting;
    const sinceMs = await contain(agent, "blocked");
    assert.equal((await read(await response)).status, 403);
    isWithinGrace(sinceMs);
    await gone;
    assert.equal((await accessLine(g, "/json/waits"))["reason"], "stream.cut_containment");
  });

  for (const route of ["json", "strict", "upload"]) {
    test(
      `H20 a write that was fully sent (${route}) is followed to its outcome, and its response withheld`,
      LIMIT,
      async () => {
        const agent = await g.agent();
        const target = `/${route}/followed`;
        const putting = atTool(target);
        const asking = await open(agent, target, "POST", '{"amount":1}');
        const response = responseTo(asking);
        const { asked, answer, gone } = await putting;
        asked.resume();
        await once(asked, "end");
        const sinceMs = await contain(agent, "blocked");
        // Its time is over, and the tool is still at work: nothing of it may be broken off.
        while (performance.now() - sinceMs < GRACE_MS + LOOK_MS + 500) {
          assert.equal(answer.destroyed, false, "the write was broken off");
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        answer.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify({ secret: SECRET }));
        const told = await read(await response);
        assert.equal(told.status, 403);
        assert.ok(!told.text.includes(SECRET));
        await gone;
        const line = await accessLine(g, target);
        assert.deepEqual([line["status"], line["outcome"], line["reason"]], [403, "failed", "stream.cut_containment"]);
        const outcome = await outcomeOf(line);
        assert.deepEqual([outcome["sent"], outcome["status"]], [true, 201], "what the tool answered is on record");
        assert.match(String(outcome["response_sha256"]), /^[0-9a-f]{64}$/);
      },
    );
  }

  test("H20 a caller who leaves does not break off a write that is followed", LIMIT, async () => {
    const agent = await g.agent();
    const putting = atTool("/json/left");
    const asking = await open(agent, "/json/left", "POST", '{"amount":1}');
    const { asked, answer, gone } = await putting;
    asked.resume();
    const sinceMs = await contain(agent, "blocked");
    while (performance.now() - sinceMs < GRACE_MS + LOOK_MS + 500)
      await new Promise((resolve) => setTimeout(resolve, 50));
    const left = new Promise<void>((resolve) => asking.once("close", () => resolve()));
    asking.destroy();
    await left;
    // A call after the client has gone: by then the gateway has seen it.
    assert.equal((await agent.call(`${g.url}/json/after-left`)).status, 403);
    assert.equal(answer.destroyed, false, "the write was broken off");
    answer.writeHead(201).end("done");
    await gone;
    const line = await accessLine(g, "/json/left");
    assert.equal(line["reason"], "stream.cut_containment");
    const outcome = await outcomeOf(line);
    assert.deepEqual([outcome["sent"], outcome["status"]], [true, 201]);
  });

  test("H20 a request that waits for a connection does not slip out after the block", LIMIT, async () => {
    const [agent, other] = [await g.agent(), await g.agent()];
    const holding = atTool("/single/holds");
    const held = responseTo(await open(other, "/single/holds"));
    const holder = await holding;
    let slipped = false;
    arrived.set("/single/waits", () => {
      slipped = true;
    });
    const waits = await open(agent, "/single/waits", "POST", "{}");
    const response = responseTo(waits);
    const isIntent = (line: Record<string, unknown>): boolean =>
      line["type"] === "intent" && line["agent"] === agent.id;
    await g.lines("audit", isIntent);
    await contain(agent, "blocked");
    holder.answer.end("free");
    assert.equal((await read(await held)).text, "free");
    assert.equal((await read(await response)).status, 403);
    assert.equal(slipped, false);
    const line = await accessLine(g, "/single/waits");
    assert.deepEqual([line["outcome"], line["reason"]], ["denied", "containment.blocked"]);
    assert.equal((await outcomeOf(line))["sent"], false);
  });

  test("H20 a body that comes in after the block reaches nobody", LIMIT, async () => {
    const agent = await g.agent();
    let slipped = false;
    arrived.set("/json/late-body", () => {
      slipped = true;
    });
    const url = `${g.url}/json/late-body`;
    const headers = {
      ...(await agent.headers(url, "POST")),
      "content-type": "application/json",
      expect: "100-continue",
    };
    const asking = request(url, { method: "POST", headers, agent: false });
    asking.flushHeaders();
    // The 100 says that proof and containment have been looked at, and the body is awaited.
    await once(asking, "continue");
    await contain(agent, "blocked");
    const response = responseTo(asking);
    asking.end("{}");
    assert.equal((await read(await response)).status, 403);
    assert.equal(slipped, false);
    assert.equal((await accessLine(g, "/json/late-body"))["reason"], "containment.blocked");
  });

  test("H20 a quarantine ends a stream to the tool at once, and so does the end of a drain", LIMIT, async () => {
    for (const [mode, more] of [
      ["quarantined", {}],
      ["draining", { drain_s: 1 }],
    ] as const) {
      const agent = await g.agent();
      const target = `/json/stream-${mode}`;
      const getting = atTool(target);
      const response = responseTo(await open(agent, target));
      const { answer, gone } = await getting;
      answer.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
      const reading = read(await response);
      const sinceMs = await contain(agent, mode, more);
      assert.equal((await reading).complete, false);
      const tookMs = performance.now() - sinceMs;
      assert.ok(mode === "draining" ? tookMs > 900 && tookMs < 4000 : tookMs < 1000, `${mode}: ${tookMs} ms`);
      await gone;
      assert.equal((await accessLine(g, target))["reason"], "stream.cut_containment");
    }
  });
});
