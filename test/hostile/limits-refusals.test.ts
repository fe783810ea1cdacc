// A flood of refusals: whoever is not proven may wait for the answer, and each one has an answer and a line (H18).
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { REASONS } from "../../src/errors.ts";
import { problemDocument } from "../../src/gateway/exchange/answer.ts";
import { call, startTestGateway, type TestGateway } from "../fixtures/test-gateway.ts";
import { hostOf, openRaw, type RawConnection, rawRequest } from "./raw-client.ts";

const LIMIT = { timeout: 60_000 };
const CONNECTIONS = 50;
const REQUESTS_EACH = 20;
/** Of one peer; some 400 of them are answered at once. */
const WAITING = 900;
const ALL_AT_ONCE = 100;
const ROUNDS_MAX = 30;
const PATH = "/ats/jobs/J42/candidates/C1";

describe("H18 a flood of refusals", () => {
  let g: TestGateway;
  before(async () => {
    g = await startTestGateway();
  });
  after(() => g.close());

  const flooded = (line: Record<string, unknown>): boolean => String(line["path"]).startsWith("/flood/");

  test(
    "H18 every request of a flood is answered once and logged once, and the proven are served meanwhile",
    LIMIT,
    async () => {
      const agent = await g.agent();
      const flood = { isOver: false };
      const served: number[] = [];
      const proven = (async () => {
        do served.push((await agent.call(g.url + PATH)).status);
        while (!flood.isOver);
      })();
      await Promise.all(
        Array.from({ length: CONNECTIONS }, async (_, connection) => {
          const raw = await openRaw(g.url);
          for (let n = 1; n <= REQUESTS_EACH; n++) {
            raw.write(rawRequest(`GET /flood/${connection}/${n} HTTP/1.1`, [`Host: ${hostOf(g.url)}`]));
            const answers = await raw.answers(n);
            assert.equal(answers.length, n, "the connection stays");
            assert.deepEqual([answers.at(-1)?.status, answers.at(-1)?.header("connection")], [401, "keep-alive"]);
          }
          raw.destroy();
        }),
      );
      flood.isOver = true;
      await proven;
      assert.deepEqual(new Set(served), new Set([200]));
      await call(`${g.url}/after`);
      const lines = (await g.lines("access", (line) => line["path"] === "/after")).filter(flooded);
      assert.equal(lines.length, CONNECTIONS * REQUESTS_EACH);
      assert.equal(new Set(lines.map((line) => line["path"])).size, lines.length);
      assert.deepEqual(new Set(lines.map((line) => line["reason"])), new Set(["credentials.missing"]));
      assert.deepEqual(new Set(lines.map((line) => line["trace_id"])), new Set([""]), "no trace begins here");
    },
  );

  test(
    "H18 an agent that proved itself is refused at once, while the refusals of the flood beside it wait",
    LIMIT,
    async () => {
      const agent = await g.agent();
      const target = `${g.url}/no/such/route`;
      const raws = await Promise.all(Array.from({ length: WAITING + 1 }, () => openRaw(g.url)));
      const [own, ...flood] = raws;
      assert.ok(own !== undefined);
      const isAnswered = (raw: RawConnection, n: number): boolean => raw.received().split("HTTP/1.1 ").length > n;
      // A client that was held up sees both kinds of answers at once: then it looks again.
      for (let n = 1, waited = 0; waited < ALL_AT_ONCE; n++) {
        assert.ok(n <= ROUNDS_MAX, `it was answered when only ${waited} of the flood still waited`);
        const { authorization, dpop } = await agent.headers(target);
        for (const raw of flood) raw.write(rawRequest("GET /flood/beside HTTP/1.1", [`Host: ${hostOf(g.url)}`]));
        await flood[0]?.until(() => isAnswered(flood[0] as RawConnection, n));
        const fields = [`Host: ${hostOf(g.url)}`, `Authorization: ${authorization}`, `DPoP: ${dpop}`];
        own.write(rawRequest("GET /no/such/route HTTP/1.1", fields));
        assert.equal((await own.answers(n)).at(-1)?.status, 404);
        waited = flood.filter((raw) => !isAnswered(raw, n)).length;
        await Promise.all(flood.map((raw) => raw.answers(n)));
      }
      for (const raw of raws) raw.destroy();
    },
  );

  test("H18 garbage and refused upgrades of a flood are answered too, each once", LIMIT, async () => {
    const upgrade = rawRequest("GET /flood/upgrade HTTP/1.1", [
      `Host: ${hostOf(g.url)}`,
      "Connection: Upgrade",
      "Upgrade: websocket",
    ]);
    const statuses = await Promise.all(
      Array.from({ length: 600 }, async (_, n) => {
        const raw = await openRaw(g.url);
        raw.write(n % 2 === 0 ? "GARBAGE\r\n\r\n" : upgrade);
        // More of it, while the refusal may still wait.
        if (n % 2 === 0) raw.write("MORE\r\n\r\n");
        await raw.closed;
        raw.destroy();
        return raw.received().match(/HTTP\/1\.1 \d+/g);
      }),
    );
    assert.deepEqual(new Set(statuses.map(String)), new Set(["HTTP/1.1 400", "HTTP/1.1 401"]));
  });

  test("H18 a caller who began a trace finds it in the line of its refusal", LIMIT, async () => {
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    await call(`${g.url}/traced`, { headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } });
    const lines = await g.lines("access", (line) => line["path"] === "/traced");
    assert.equal(lines.find((line) => line["path"] === "/traced")?.["trace_id"], traceId);
  });
});

test("every problem document is JSON, and ASCII, so that its length is the number of its characters", () => {
  for (const reason of Object.keys(REASONS) as (keyof typeof REASONS)[]) {
    const text = problemDocument({ reason }, "id-1");
    assert.match(text, /^[\x20-\x7e]*$/);
    const { status, code, title } = REASONS[reason];
    assert.deepEqual(JSON.parse(text), { type: `urn:cordon:problem:${code}`, title, status, code, request_id: "id-1" });
  }
});
