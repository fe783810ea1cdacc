// H04: headers that may be sent once. Parsers disagree on which of two counts, so the request is refused.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { askRaw, hostOf, rawRequest } from "./raw-client.ts";

const PATH = "/ats/jobs/J42/candidates/C1";

describe("H04 duplicate headers", () => {
  let g: TestGateway;
  let agent: TestAgent;
  before(async () => {
    g = await startTestGateway();
    agent = await g.agent();
  });
  after(() => g.close());
  beforeEach(() => {
    g.tool.seen.length = 0;
  });

  async function send(
    make: (credentials: { authorization: string; dpop: string }) => string[],
    method = "GET",
    path = PATH,
    body = "",
  ) {
    const credentials = await agent.headers(g.url + path, method);
    return askRaw(g.url, rawRequest(`${method} ${path} HTTP/1.1`, make(credentials), body));
  }
  async function reasonOf(body: string): Promise<unknown> {
    const id = (JSON.parse(body) as { request_id: string }).request_id;
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === id;
    return (await g.lines("access", mine)).find(mine)?.["reason"];
  }
  const host = () => `Host: ${hostOf(g.url)}`;

  test("H04 the same request with each header once is served, so that only the duplicate is to blame", async () => {
    const answer = await send(({ authorization, dpop }) => [
      host(),
      `Authorization: ${authorization}`,
      `DPoP: ${dpop}`,
    ]);
    assert.equal(answer.status, 200);
    assert.equal(g.tool.seen.length, 1);
  });

  for (const second of ["same", "evil.example"]) {
    test(`H04 two Host headers (${second}) are refused and nothing reaches the tool`, async () => {
      const other = second === "same" ? host() : `Host: ${second}`;
      for (const hosts of [
        [host(), other],
        [other, host()],
      ]) {
        const answer = await send(({ authorization, dpop }) => [
          ...hosts,
          `Authorization: ${authorization}`,
          `DPoP: ${dpop}`,
        ]);
        assert.equal(answer.status, 400);
        assert.equal(await reasonOf(answer.body), "exchange.duplicate_header");
      }
      assert.equal(g.tool.seen.length, 0);
    });
  }

  test("H04 two Authorization headers are refused, whichever of them is good, and nothing reaches the tool", async () => {
    for (const other of ["DPoP aaaa.bbbb.cccc", "Bearer aaaa", "Basic YTpi"]) {
      for (const order of [0, 1]) {
        const answer = await send(({ authorization, dpop }) => {
          const lines = [`Authorization: ${authorization}`, `authorization: ${other}`];
          return [host(), ...(order === 0 ? lines : lines.reverse()), `DPoP: ${dpop}`];
        });
        assert.equal(answer.status, 400);
        assert.equal(await reasonOf(answer.body), "credentials.two_schemes");
      }
    }
    const same = await send(({ authorization, dpop }) => [
      host(),
      `Authorization: ${authorization}`,
      `Authorization: ${authorization}`,
      `DPoP: ${dpop}`,
    ]);
    assert.equal(same.status, 400);
    assert.equal(g.tool.seen.length, 0);
  });

  test("H04 two credentials joined by a comma are refused as two headers are", async () => {
    const answer = await send(({ authorization, dpop }) => [
      host(),
      `Authorization: ${authorization}, Bearer aaaa`,
      `DPoP: ${dpop}`,
    ]);
    assert.equal(answer.status, 400);
    assert.equal(g.tool.seen.length, 0);
  });

  test("H04 two DPoP headers, or two proofs in one, are refused and nothing reaches the tool", async () => {
    const other = (await agent.headers(g.url + PATH)).dpop;
    const two = await send(({ authorization, dpop }) => [
      host(),
      `Authorization: ${authorization}`,
      `DPoP: ${dpop}`,
      `dpop: ${other}`,
    ]);
    assert.equal(two.status, 401);
    assert.equal(await reasonOf(two.body), "proof.duplicate");
    const joined = await send(({ authorization, dpop }) => [
      host(),
      `Authorization: ${authorization}`,
      `DPoP: ${dpop}, ${other}`,
    ]);
    assert.equal(joined.status, 401);
    assert.equal(g.tool.seen.length, 0);
  });

  test("H04 two Content-Type or Content-Encoding headers are refused and nothing reaches the tool", async () => {
    const path = `${PATH}/score`;
    const body = '{"score":1}';
    for (const [name, values] of [
      ["Content-Type", ["application/json", "text/plain"]],
      ["Content-Encoding", ["identity", "gzip"]],
    ] as const) {
      const answer = await send(
        ({ authorization, dpop }) => [
          host(),
          `Authorization: ${authorization}`,
          `DPoP: ${dpop}`,
          ...(name === "Content-Type" ? [] : ["Content-Type: application/json"]),
          ...values.map((value) => `${name}: ${value}`),
          `Content-Length: ${body.length}`,
        ],
        "POST",
        path,
        body,
      );
      assert.equal(answer.status, 400);
      assert.equal(await reasonOf(answer.body), "exchange.duplicate_header");
    }
    assert.equal(g.tool.seen.length, 0);
  });
});
