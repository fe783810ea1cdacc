// H02: several requests in one write. Each is judged and sent when the one in front of it is answered, and not at all when
// that answer was the last one of the connection.
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { hostOf, openRaw, rawRequest } from "./raw-client.ts";

const LIMIT = { timeout: 30_000 };
/** As many as may wait behind the one that is open. */
const WAITING_MAX = 16;

describe("H02 pipelined requests", () => {
  let g: TestGateway;
  let agent: TestAgent;
  const held: ServerResponse[] = [];
  let onHeld: () => void = () => undefined;
  before(async () => {
    g = await startTestGateway(({ toolUrl }) => ({
      routes: [
        {
          name: "any",
          path: "/any/{id}",
          methods: ["GET", "POST"],
          mode: "observe",
          resource: { type: "any", classification: "any" },
          upstream: { url: toolUrl, allow_private_addresses: true },
        },
      ],
    }));
    agent = await g.agent();
  });
  after(() => g.close());
  beforeEach(() => {
    g.tool.seen.length = 0;
    held.length = 0;
    // The tool answers a POST when the test says so, and all else at once.
    g.tool.answer = (request, response) => {
      if (request.method !== "POST") return answer(response);
      held.push(response);
      onHeld();
    };
  });

  function answer(response: ServerResponse): void {
    response.writeHead(200, { "content-length": 2 }).end("{}");
  }
  function nextHeld(): Promise<void> {
    return new Promise((resolve) => {
      onHeld = resolve;
    });
  }
  async function bytes(method: string, path: string, more: readonly string[] = [], body = ""): Promise<string> {
    const { authorization, dpop } = await agent.headers(g.url + path, method);
    const lines = [`Host: ${hostOf(g.url)}`, `Authorization: ${authorization}`, `DPoP: ${dpop}`, ...more];
    return rawRequest(`${method} ${path} HTTP/1.1`, lines, body);
  }
  function write(path: string): Promise<string> {
    return bytes("POST", path, ["Content-Type: application/json", "Content-Length: 2"], "{}");
  }
  /** Resolves when `count` exchanges were denied for this. */
  async function refusedLines(reason: string, detail: string, count: number): Promise<void> {
    const ids = new Set<unknown>();
    await g.lines("access", (line) => {
      if (line["reason"] === reason && line["detail"] === detail && line["outcome"] === "denied") {
        ids.add(line["request_id"]);
      }
      return ids.size >= count;
    });
  }
  const seen = (): string[] => g.tool.seen.map(({ method, url }) => `${method} ${url}`);

  test("H02 a read does not overtake the write in front of it on its connection", LIMIT, async () => {
    const connection = await openRaw(g.url);
    const arrived = nextHeld();
    connection.write((await write("/any/1")) + (await bytes("GET", "/any/2")));
    await arrived;
    // A whole exchange of another connection: the read had all the time that it would need.
    assert.equal((await agent.call(`${g.url}/any/3`)).status, 200);
    assert.deepEqual(seen(), ["POST /any/1", "GET /any/3"]);
    held.forEach(answer);
    const answers = await connection.answers(2);
    connection.destroy();
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200],
    );
    assert.deepEqual(seen(), ["POST /any/1", "GET /any/3", "GET /any/2"]);
  });

  test(
    "H02 a request behind one that ends its connection is not done, and has its line in the log",
    LIMIT,
    async () => {
      const endings = [
        // Without 100 Continue, and without a body to wait for: its answer is the last one.
        await bytes("GET", "/any/10", ["Expect: 100-continue"]),
        rawRequest("GET /any//10 HTTP/1.1", [`Host: ${hostOf(g.url)}`]),
      ];
      for (const first of endings) {
        const connection = await openRaw(g.url);
        connection.write(first + (await write("/any/behind")));
        await connection.closed;
        assert.equal((await connection.answers(2)).length, 1);
      }
      assert.deepEqual(seen(), ["GET /any/10"]);
      await refusedLines("exchange.client_closed", "behind the last answer of its connection", endings.length);
    },
  );

  test("H02 what waits on a connection that its client leaves is not done", LIMIT, async () => {
    const connection = await openRaw(g.url);
    const arrived = nextHeld();
    connection.write((await write("/any/20")) + (await write("/any/21")) + (await write("/any/22")));
    await arrived;
    connection.destroy();
    await g.lines("access", (line) => line["path"] === "/any/20");
    await agent.call(`${g.url}/any/23`);
    assert.deepEqual(seen(), ["POST /any/20", "GET /any/23"]);
  });

  test("H02 more requests than may wait on one connection are refused, each in its place", LIMIT, async () => {
    const all = await Promise.all(
      Array.from({ length: WAITING_MAX + 3 }, (_, index) => (index === 0 ? write("/any/30") : bytes("GET", "/any/31"))),
    );
    const connection = await openRaw(g.url);
    const arrived = nextHeld();
    connection.write(all.join(""));
    await arrived;
    await refusedLines("gateway.overloaded", "too many requests wait on one connection", all.length - 1 - WAITING_MAX);
    held.forEach(answer);
    const answers = await connection.answers(all.length);
    connection.destroy();
    assert.deepEqual(
      answers.map(({ status }) => status),
      all.map((_, index) => (index <= WAITING_MAX ? 200 : 503)),
    );
    assert.equal(g.tool.seen.length, WAITING_MAX + 1);
  });
});
