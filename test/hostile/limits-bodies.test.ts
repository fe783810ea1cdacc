// Bodies in memory: what all of them together may take of a thread, and one agent of that (H11, H18).
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from "node:http";
import { after, before, describe, test } from "node:test";
import { accessLine } from "../fixtures/access-lines.ts";
import { type ScriptedTool, startScriptedTool, toolRoute } from "../fixtures/scripted-tool.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 30_000 };
/** One agent may hold a quarter. */
const BODIES_BYTES_MAX = 4000;
const OWN_BYTES_MAX = 1000;

describe("H18 what bodies may take of a thread's memory", () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  /** Calls that the tool has in full, and has not answered. */
  let hanging: ServerResponse[] = [];
  before(async () => {
    tool = await startScriptedTool();
    tool.handle = (asked, answer) => void asked.on("end", () => hanging.push(answer)).resume();
    g = await startTestGateway({
      limits: { bodies_bytes_max: BODIES_BYTES_MAX },
      routes: [toolRoute("tool", tool.url, { limits: { body_bytes_max: OWN_BYTES_MAX } })],
    });
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  async function begin(agent: TestAgent, target: string, declared: number): Promise<ClientRequest> {
    const headers = await agent.headers(g.url + target, "POST");
    const more = { "content-type": "application/json", "content-length": String(declared) };
    const sent = request(g.url + target, { method: "POST", headers: { ...headers, ...more }, agent: false });
    sent.on("error", () => sent.destroy());
    return sent;
  }
  /** A JSON text of so many bytes. */
  const bodyOf = (bytes: number): string => `"${"x".repeat(bytes - 2)}"`;

  async function post(agent: TestAgent, target: string, bytes: number): Promise<IncomingMessage> {
    const sent = (await begin(agent, target, bytes)).end(bodyOf(bytes));
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    return answer.resume();
  }
  async function hangingAt(count: number): Promise<void> {
    while (hanging.length < count) await new Promise((resolve) => setImmediate(resolve));
  }
  async function statusAndReason(
    agent: TestAgent,
    target: string,
    bytes: number,
  ): Promise<[number | undefined, unknown]> {
    const answer = await post(agent, target, bytes);
    return [answer.statusCode, (await accessLine(g, target))["reason"]];
  }
  async function answerAll(answers: readonly Promise<IncomingMessage>[]): Promise<void> {
    for (const answer of hanging) answer.end("{}");
    hanging = [];
    assert.deepEqual(new Set((await Promise.all(answers)).map(({ statusCode }) => statusCode)), new Set([200]));
  }

  /** Resolves when this agent holds bytes in an exchange that the tool has not answered; with its answer to come. */
  async function hold(agent: TestAgent, target: string, bytes: number): Promise<Promise<IncomingMessage>[]> {
    const before = hanging.length;
    const answer = post(agent, target, bytes);
    await hangingAt(before + 1);
    return [answer];
  }

  test("H18 an agent that holds its share gets 429 for one more body, and others go on", LIMIT, async () => {
    const [busy, other] = [await g.agent(), await g.agent()];
    const held = await hold(busy, "/tool/held", 800);
    assert.deepEqual(await statusAndReason(busy, "/tool/too-much", 300), [429, "body.agent_quota"]);
    held.push(...(await hold(busy, "/tool/fits", 200)), ...(await hold(other, "/tool/other", 1000)));
    await answerAll(held);
    await answerAll(await hold(busy, "/tool/again", 1000));
  });

  test(
    "H18 where all bodies together take what they may, the next one gets 503, without a byte to its tool",
    LIMIT,
    async () => {
      const agents = await Promise.all(Array.from({ length: 5 }, () => g.agent()));
      const held: Promise<IncomingMessage>[] = [];
      for (const [n, agent] of agents.slice(0, 4).entries()) held.push(...(await hold(agent, `/tool/all-${n}`, 900)));
      const [last] = agents.slice(4);
      assert.ok(last !== undefined);
      assert.deepEqual(await statusAndReason(last, "/tool/no-room", 500), [503, "body.no_room"]);
      assert.equal(hanging.length, 4);
      await answerAll(held);
      await answerAll(await hold(last, "/tool/room", 1000));
    },
  );

  test(
    "H18 what was held of a body that broke off is free again, and a length that is only declared takes nothing",
    LIMIT,
    async () => {
      const agent = await g.agent();
      const declaring = await begin(agent, "/tool/declared", 1000);
      declaring.flushHeaders();
      for (let n = 0; n < 3; n++) {
        const target = `/tool/broken-${n}`;
        const broken = await begin(agent, target, 1000);
        await new Promise((resolve) => broken.write(bodyOf(600), resolve));
        broken.destroy();
        await accessLine(g, target);
      }
      await answerAll(await hold(agent, "/tool/whole", 1000));
      declaring.destroy();
      await accessLine(g, "/tool/declared");
    },
  );
});
