// H18: a caller whose connection breaks after every single byte of its request, by a reset and by an orderly end.
// The tool never takes a part of it for the whole, and what was begun has its line and its outcome.
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { toolRoute } from "../fixtures/scripted-tool.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { frameAnswer } from "./framed-answer.ts";
import { hostOf, openRaw, rawRequest } from "./raw-client.ts";

const LIMIT = { timeout: 60_000 };
const CALLERS = 16;
/** Of the head before the credentials, which end it, every byte; of those a sample: a byte of a token is like the next one. */
const CREDENTIAL_STEP = 31;

const BREAKS = ["reset", "end"] as const;
type Break = (typeof BREAKS)[number];

interface Kind {
  readonly route: string;
  readonly lines: readonly string[];
  readonly body: string;
  /** What the tool must read where all of it was sent. */
  readonly whole: string;
}

const KINDS: readonly Kind[] = [
  { route: "get", lines: [], body: "", whole: "" },
  {
    route: "json",
    lines: ["Content-Type: application/json", "Content-Length: 12"],
    body: '{"amount":1}',
    whole: '{"amount":1}',
  },
  {
    route: "json-chunked",
    lines: ["Content-Type: application/json", "Transfer-Encoding: chunked"],
    body: '5\r\n{"amo\r\n7\r\nunt":1}\r\n0\r\n\r\n',
    whole: '{"amount":1}',
  },
  { route: "upload", lines: ["Content-Length: 10"], body: "0123456789", whole: "0123456789" },
  {
    route: "upload-chunked",
    lines: ["Transfer-Encoding: chunked"],
    body: "4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n",
    whole: "0123456789",
  },
];

describe("H18 a caller that breaks off", () => {
  let g: TestGateway;
  let tool: Server;
  let agents: TestAgent[];
  /** Requests that the tool took for whole, by path. */
  const whole = new Map<string, string[]>();
  /** Requests that it saw at all, and how many of them are not over yet. */
  let open = 0;
  let idle: (() => void) | undefined;
  before(async () => {
    tool = createServer((request, response) => {
      const path = request.url ?? "";
      let body = "";
      open += 1;
      request.on("data", (bytes: Buffer) => (body += bytes.toString("latin1")));
      request.on("error", () => request.destroy());
      request.on("end", () => {
        whole.set(path, [...(whole.get(path) ?? []), body]);
        response.end("done");
      });
      response.on("close", () => {
        open -= 1;
        if (open === 0) idle?.();
      });
    });
    tool.listen(0, "127.0.0.1");
    await once(tool, "listening");
    const url = `http://127.0.0.1:${(tool.address() as AddressInfo).port}`;
    g = await startTestGateway({
      routes: KINDS.map(({ route }) =>
        toolRoute(route, url, route.startsWith("upload") ? { body: "stream" } : { audit: "strict" }),
      ),
    });
    agents = await Promise.all(Array.from({ length: CALLERS }, () => g.agent()));
  });
  after(async () => {
    await g.close();
    tool.close();
    tool.closeAllConnections();
  });

  for (const kind of KINDS) {
    test(
      `H18 a request (${kind.route}) that breaks off after any of its bytes is never whole at the tool`,
      LIMIT,
      async () => {
        const method = kind.body === "" ? "GET" : "POST";
        const request = async (agent: TestAgent, path: string): Promise<{ bytes: string; bodyAt: number }> => {
          const { authorization, dpop } = await agent.headers(g.url + path, method);
          const lines = [`Host: ${hostOf(g.url)}`, ...kind.lines, `Authorization: ${authorization}`, `DPoP: ${dpop}`];
          const bytes = rawRequest(`${method} ${path} HTTP/1.1`, lines, kind.body);
          return { bytes, bodyAt: bytes.length - kind.body.length };
        };
        const pathOf = (how: Break, at: number): string => `/${kind.route}/${how}.${String(at).padStart(4, "0")}`;
        // Proofs differ in length by a byte or two: offsets are counted from both ends.
        const sample = (await request(agents[0] ?? assert.fail(), pathOf("end", 0))).bytes;
        const credentialsAt = sample.indexOf("Authorization");
        const cases: { how: Break; at: number }[] = [];
        for (const how of BREAKS) {
          for (let at = 0; at < credentialsAt; at++) cases.push({ how, at });
          for (let at = credentialsAt; at < sample.length - kind.body.length - 8; at += CREDENTIAL_STEP)
            cases.push({ how, at });
          // The end of the head and the body: as many bytes before the end.
          for (let before = 0; before <= kind.body.length + 4; before++) cases.push({ how, at: -before - 1 });
        }
        const begun = new Map<string, { finished: boolean }>();

        async function breakAt(agent: TestAgent, how: Break, at: number): Promise<void> {
          const path = at < 0 ? `/${kind.route}/${how}.m${-at - 1}` : pathOf(how, at);
          const { bytes, bodyAt } = await request(agent, path);
          const sent = at < 0 ? bytes.length + at + 1 : at;
          const connection = await openRaw(g.url);
          const part = bytes.slice(0, sent);
          if (how === "end") connection.socket.end(part, "latin1");
          else if (sent === 0) connection.socket.resetAndDestroy();
          else {
            await new Promise<void>((resolve) => connection.socket.write(part, "latin1", () => resolve()));
            connection.socket.resetAndDestroy();
          }
          await connection.closed;
          const finished = sent === bytes.length;
          if (sent >= bodyAt) begun.set(path, { finished });
          // Who ends its side is not waited for, and may be gone before its answer.
          const answer = frameAnswer(connection.received());
          assert.ok(answer === undefined || answer.status === (finished ? 200 : 400), connection.received());
          connection.destroy();
        }

        await Promise.all(
          agents.map(async (agent) => {
            for (let next = cases.pop(); next !== undefined; next = cases.pop())
              await breakAt(agent, next.how, next.at);
          }),
        );

        // Whatever a reset left behind is over when the line of a later exchange is there and the tool has nothing open.
        const last = `/get/last-${kind.route}`;
        assert.equal((await agents[0]?.call(g.url + last))?.status, 200);
        if (open > 0) await new Promise<void>((resolve) => (idle = resolve));
        const before = await g.lines("access", (line) => line["path"] === last);
        for (const [path, { finished }] of begun) {
          // A reset takes along what the system has not handed over yet: such a request never came.
          const came = !path.includes("/reset.") || before.some((line) => line["path"] === path);
          const found = came ? await g.lines("access", (line) => line["path"] === path) : [];
          const mine = found.filter((line) => line["path"] === path);
          assert.equal(mine.length, came ? 1 : 0, `${path} has one line`);
          if (!came && !finished) assert.equal(whole.get(path), undefined, path);
          if (!came) continue;
          const seen = whole.get(path) ?? [];
          if (!finished) assert.deepEqual(seen, [], `the tool took a part of ${path} for the whole`);
          else if (seen.length > 0) assert.deepEqual(seen, [kind.whole], path);
          if (!finished || mine[0]?.["status"] !== 200) {
            assert.match(String(mine[0]?.["reason"]), /^exchange\.(?:client_closed|malformed)$/, path);
          }
        }
        for (const path of whole.keys()) {
          const broken = path.startsWith(`/${kind.route}/`) && /\/(?:reset|end)\./.test(path);
          assert.ok(!broken || begun.get(path)?.finished === true, `${path} was never sent in full`);
        }
        // Every outcome so far stands before that of one more call.
        const final = `/get/final-${kind.route}`;
        assert.equal((await agents[0]?.call(g.url + final))?.status, 200);
        const lines = await g.lines("access", (line) => line["path"] === final);
        const id = lines.find((line) => line["path"] === final)?.["request_id"];
        const records = await g.lines("audit", (one) => one["type"] === "outcome" && one["request_id"] === id);
        for (const line of lines.filter(({ path }) => begun.has(String(path)))) {
          const of = (type: string): number =>
            records.filter((one) => one["type"] === type && one["request_id"] === line["request_id"]).length;
          assert.equal(of("outcome"), of("intent"), `${String(line["path"])}: an outcome for each intent`);
        }
      },
    );
  }
});
