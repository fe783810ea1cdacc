// H06: the same DPoP proof twice. Whatever thread it meets and however close together: exactly one is served.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { generateProof } from "dpop";
import { call, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { hostOf, openRaw, rawRequest } from "./raw-client.ts";

const PATH = "/ats/jobs/J42/candidates/C1";
const RACERS = 40;

describe("H06 a proof that is used again", () => {
  let one: TestGateway;
  let two: TestGateway;
  before(async () => {
    [one, two] = await Promise.all([startTestGateway(), startTestGateway({ threads: 2 })]);
  });
  after(() => Promise.all([one.close(), two.close()]));

  async function reasonOf(g: TestGateway, body: string): Promise<unknown> {
    const id = (JSON.parse(body) as { request_id: string }).request_id;
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === id;
    return (await g.lines("access", mine)).find(mine)?.["reason"];
  }

  /** Opens all connections first, then sends the last byte of each request in one turn. */
  async function race(g: TestGateway, agent: TestAgent, count: number): Promise<number[]> {
    const { authorization, dpop } = await agent.headers(g.url + PATH);
    const head = rawRequest(`GET ${PATH} HTTP/1.1`, [
      `Host: ${hostOf(g.url)}`,
      `Authorization: ${authorization}`,
      `DPoP: ${dpop}`,
    ]);
    const connections = await Promise.all(Array.from({ length: count }, () => openRaw(g.url)));
    for (const connection of connections) connection.write(head.slice(0, -1));
    for (const connection of connections) connection.write(head.slice(-1));
    const answers = await Promise.all(connections.map((connection) => connection.answers(1)));
    for (const connection of connections) connection.destroy();
    return answers.map(([answer]) => answer?.status ?? 0);
  }

  test("H06 the second use of a proof on one thread is refused with its own reason", async () => {
    const agent = await one.agent();
    const headers = await agent.headers(one.url + PATH);
    one.tool.seen.length = 0;
    assert.equal((await call(one.url + PATH, { headers })).status, 200);
    const again = await call(one.url + PATH, { headers });
    assert.equal(again.status, 401);
    assert.equal(await reasonOf(one, again.text), "proof.replayed");
    assert.equal(one.tool.seen.length, 1);
  });

  test("H06 of one proof on many connections at the same instant exactly one is served, on one thread", async () => {
    const agent = await one.agent();
    one.tool.seen.length = 0;
    const statuses = await race(one, agent, RACERS);
    assert.deepEqual(
      [statuses.filter((status) => status === 200).length, statuses.filter((status) => status === 401).length],
      [1, RACERS - 1],
    );
    assert.equal(one.tool.seen.length, 1);
  });

  test("H06 of one proof on many connections at the same instant exactly one is served, on two threads", async () => {
    const agent = await two.agent();
    two.tool.seen.length = 0;
    for (let round = 1; round <= 3; round++) {
      const statuses = await race(two, agent, RACERS);
      assert.deepEqual(
        [statuses.filter((status) => status === 200).length, statuses.filter((status) => status === 401).length],
        [1, RACERS - 1],
      );
      assert.equal(two.tool.seen.length, round);
    }
  });

  test("H06 both threads carried traffic, so that the race was between threads", { timeout: 10_000 }, async () => {
    // A request id begins with the random prefix of the thread that gave it: everything before its last seven digits.
    const threads = new Set<string>();
    while (threads.size < 2) {
      await new Promise(setImmediate);
      for (const line of await two.lines("access", () => true)) threads.add(String(line["request_id"]).slice(0, -7));
    }
  });

  test("H06 one proof does not pass again under another spelling of the same URI", async () => {
    const agent = await one.agent();
    // One proof, minted for the odd spelling; RFC 9449 section 4.3 compares after normalisation, so both spellings fit it.
    const spellings = ["/ats/jobs/J42/candidates/C%c3%a4", "/ats/jobs/J42/candidates/C%C3%A4"];
    const dpop = await generateProof(agent.keys, one.url + (spellings[0] ?? ""), "GET", undefined, agent.token);
    one.tool.seen.length = 0;
    const statuses: number[] = [];
    for (const path of [...spellings, ...spellings]) {
      const headers = { authorization: `DPoP ${agent.token}`, dpop };
      statuses.push((await call(one.url + path, { headers })).status);
    }
    assert.equal(statuses.filter((status) => status === 200).length, 1, statuses.join(" "));
    assert.equal(one.tool.seen.length, 1);
  });

  test("H06 a proof for the query-less URI is spent whatever query it came with", async () => {
    const agent = await one.agent();
    const headers = await agent.headers(one.url + PATH);
    one.tool.seen.length = 0;
    assert.equal((await call(`${one.url}${PATH}?a=1`, { headers })).status, 200);
    assert.equal((await call(`${one.url}${PATH}?a=2`, { headers })).status, 401);
    assert.equal(one.tool.seen.length, 1);
  });

  test("H06 a proof that was refused by policy is spent too", async () => {
    const agent = await one.agent();
    const path = `${PATH}/salary`;
    const headers = await agent.headers(one.url + path);
    assert.equal((await call(one.url + path, { headers })).status, 403);
    assert.equal((await call(one.url + path, { headers })).status, 401);
  });
});
