// H17: a tool whose connection breaks after every single byte of its answer, by a reset and by an orderly end.
// Whatever the offset, the caller gets an error, or an answer that is visibly cut; and the connection's next answer is its own.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { toolRoute } from "../fixtures/scripted-tool.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { type FramedAnswer, frameAnswer } from "./framed-answer.ts";
import { hostOf, openRaw, type RawConnection, rawRequest } from "./raw-client.ts";

const LIMIT = { timeout: 60_000 };
/** Callers at the same time; fewer connections to the tool, so that those are shared. */
const CALLERS = 16;
const CONNECTIONS_MAX = 8;

const BREAKS = ["reset", "end"] as const;
type Break = (typeof BREAKS)[number];

interface Kind {
  readonly route: string;
  readonly method: "GET" | "POST";
  /** The tool's whole answer; `name` makes its body this exchange's own. */
  readonly answer: (name: string) => string;
  /** What the caller must read when all of it came. */
  readonly body: (name: string) => string;
  readonly status: number;
  /** The end of the connection is a valid end of this answer: only a reset cuts it. */
  readonly endedByClose?: boolean;
}

const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const json = (name: string): string => JSON.stringify({ salary: 1, name });

const KINDS: readonly Kind[] = [
  {
    route: "length",
    method: "GET",
    status: 200,
    answer: (name) => `HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`,
    body: (name) => name,
  },
  {
    route: "chunked",
    method: "GET",
    status: 200,
    answer: (name) => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunk("a")}${chunk(name)}0\r\n\r\n`,
    body: (name) => `a${name}`,
  },
  {
    route: "events",
    method: "GET",
    status: 200,
    answer: (name) =>
      `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(`data: ${name}\n\n`)}${chunk("data: end\n\n")}0\r\n\r\n`,
    body: (name) => `data: ${name}\n\ndata: end\n\n`,
  },
  {
    route: "unframed",
    method: "GET",
    status: 200,
    answer: (name) => `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${name}`,
    body: (name) => name,
    endedByClose: true,
  },
  {
    route: "redacted",
    method: "GET",
    status: 200,
    answer: (name) =>
      `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${json(name).length}\r\n\r\n${json(name)}`,
    body: (name) => JSON.stringify({ name }),
  },
  {
    route: "upload",
    method: "POST",
    status: 201,
    answer: (name) =>
      `HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: ${name.length}\r\n\r\n${name}`,
    body: (name) => name,
  },
];

/** As many digits for each offset: the answer is as long for all of them. */
const nameOf = (how: Break, bytes: number): string => `n.${how}.${String(bytes).padStart(3, "0")}`;

const pathOf = (kind: Kind, name: string): string =>
  kind.route === "redacted" ? `/redacted/J42/${name}` : `/${kind.route}/${name}`;

/** Answers by the last segment of the path: `NAME.BREAK.BYTES`, or all of it where there is no offset. */
function answerPartly(socket: Socket, head: string): void {
  const [, route = "", name = ""] = /^\S+ \/(\w+)\/(?:J42\/)?(\S+) /.exec(head) ?? [];
  const answer = KINDS.find((kind) => kind.route === route)?.answer(name) ?? "";
  const [, how, bytes] = name.split(".");
  if (how === undefined) socket.write(answer);
  else if (how === "end") socket.end(answer.slice(0, Number(bytes)));
  else if (bytes === "0") socket.resetAndDestroy();
  else socket.write(answer.slice(0, Number(bytes)), () => socket.resetAndDestroy());
}

describe("H17 a tool that breaks off", () => {
  let g: TestGateway;
  let tool: Server;
  let agents: TestAgent[];
  const sockets = new Set<Socket>();
  before(async () => {
    tool = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket));
      let text = "";
      socket.on("data", (bytes: Buffer) => {
        text += bytes.toString("latin1");
        const end = text.indexOf("\r\n\r\n");
        const body = /^content-length: *(\d+)$/im.exec(text)?.[1] ?? "0";
        if (end === -1 || text.length < end + 4 + Number(body)) return;
        const head = text;
        text = "";
        answerPartly(socket, head);
      });
    });
    tool.listen(0, "127.0.0.1");
    await once(tool, "listening");
    const url = `http://127.0.0.1:${(tool.address() as AddressInfo).port}`;
    const upstream = { connections_max: CONNECTIONS_MAX };
    g = await startTestGateway({
      routes: [
        ...["length", "chunked", "events", "unframed"].map((name) => toolRoute(name, url, { upstream })),
        toolRoute("upload", url, { upstream, body: "stream", audit: "strict" }),
        {
          ...toolRoute("redacted", url, { upstream, methods: ["GET"] }),
          path: "/redacted/{job_id}/{id}",
          resource: { type: "candidate_profiles", classification: "interview_safe" },
        },
      ],
    });
    agents = await Promise.all(Array.from({ length: CALLERS }, () => g.agent()));
  });
  after(async () => {
    await g.close();
    tool.close();
    for (const socket of sockets) socket.destroy();
  });

  /** Sends one request and reads until its answer is whole, or the connection is over. */
  async function ask(
    connection: RawConnection,
    agent: TestAgent,
    kind: Kind,
    name: string,
  ): Promise<FramedAnswer | undefined> {
    const path = pathOf(kind, name);
    const { authorization, dpop } = await agent.headers(g.url + path, kind.method);
    const lines = [`Host: ${hostOf(g.url)}`, `Authorization: ${authorization}`, `DPoP: ${dpop}`];
    const from = connection.received().length;
    const received = (): string => connection.received().slice(from);
    if (kind.method === "GET") connection.write(rawRequest(`GET ${path} HTTP/1.1`, lines));
    else {
      const more = [...lines, "Expect: 100-continue", "Content-Length: 6"];
      connection.write(rawRequest(`POST ${path} HTTP/1.1`, more));
      await connection.until(() => received().includes("\r\n\r\n"));
      assert.match(received(), /^HTTP\/1\.1 100 Continue\r\n\r\n/);
      connection.write("upload");
    }
    await connection.until(() => frameAnswer(received())?.whole === true);
    return frameAnswer(received());
  }

  for (const kind of KINDS) {
    test(
      `H17 an answer (${kind.route}) that breaks off after any of its bytes never looks complete`,
      LIMIT,
      async () => {
        const cases: { how: Break; bytes: number }[] = [];
        for (const how of BREAKS) {
          const length = kind.answer(nameOf(how, 0)).length;
          // A break behind the last byte is another matter: it meets the next exchange on that connection.
          for (let bytes = 0; bytes < length; bytes++) cases.push({ how, bytes });
        }
        const expected = new Map<string, { cut: boolean; status: number }>();

        async function breakAt(agent: TestAgent, how: Break, bytes: number): Promise<void> {
          const name = nameOf(how, bytes);
          const all = kind.answer(name);
          const bodyAt = all.indexOf("\r\n\r\n", all.indexOf(` ${kind.status} `)) + 4;
          // An orderly end is one way to end an answer without a length, wherever it comes.
          const cut = !(kind.endedByClose === true && how === "end" && bytes >= bodyAt);
          const connection = await openRaw(g.url);
          const answer = await ask(connection, agent, kind, name);
          const shown = `${name}: ${JSON.stringify(connection.received())}`;
          if (!cut) {
            assert.deepEqual(
              [answer?.status, answer?.whole, answer?.body],
              [200, true, all.slice(bodyAt, bytes)],
              shown,
            );
          } else if (bytes < bodyAt || kind.route === "redacted") {
            assert.deepEqual([answer?.status, answer?.whole], [502, true], shown);
          } else if (answer?.status !== 502) {
            // A reset may overtake the head; where it did not, the answer has begun, and must not look complete.
            assert.deepEqual([answer?.status ?? kind.status, answer?.whole ?? false], [kind.status, false], shown);
            assert.ok(kind.body(name).startsWith(answer?.body ?? ""), `of this exchange alone: ${shown}`);
          }
          expected.set(pathOf(kind, name), { cut, status: answer?.status ?? kind.status });
          // The same connection, where it was kept, carries the next exchange and nothing else.
          const kept = answer?.whole === true && !/^connection: *close$/im.test(answer.head);
          const next = kept ? connection : await openRaw(g.url);
          const good = await ask(next, agent, KINDS[0] ?? kind, "good");
          assert.deepEqual([good?.status, good?.body, good?.rest], [200, "good", ""], `after ${shown}`);
          connection.destroy();
          next.destroy();
        }

        await Promise.all(
          agents.map(async (agent) => {
            for (let next = cases.pop(); next !== undefined; next = cases.pop())
              await breakAt(agent, next.how, next.bytes);
          }),
        );

        const last = `last-${kind.route}`;
        assert.equal((await agents[0]?.call(`${g.url}/length/${last}`))?.status, 200);
        const lines = await g.lines("access", (line) => line["path"] === `/length/${last}`);
        const records = await g.lines(
          "audit",
          (one) => one["type"] === "outcome" && one["request_id"] === lines.at(-1)?.["request_id"],
        );
        for (const [path, { cut, status }] of expected) {
          const mine = lines.filter((line) => line["path"] === path);
          assert.equal(mine.length, 1, `${path} has one line`);
          const [line = {}] = mine;
          const told = [line["status"], line["outcome"], line["reason"]];
          assert.deepEqual(told, [status, cut ? "failed" : "forwarded", cut ? "upstream.closed" : ""], path);
          const outcomes = records.filter(
            (one) => one["request_id"] === line["request_id"] && one["type"] === "outcome",
          );
          assert.deepEqual(
            outcomes.map((one) => [one["sent"], one["reason"]]),
            [[true, line["reason"]]],
            `${path} has one outcome`,
          );
        }
      },
    );
  }

  test(
    "H17 a caller that knows no chunks (HTTP/1.0) sees a reset where the tool broke off, never an end",
    LIMIT,
    async () => {
      const kind = KINDS[1] ?? assert.fail();
      const all = kind.answer(nameOf("end", 0));
      const agent = agents[0] ?? assert.fail();
      for (let bytes = all.indexOf("\r\n\r\n") + 4; bytes <= all.length; bytes++) {
        const path = `/chunked/${nameOf("end", bytes)}`;
        const { authorization, dpop } = await agent.headers(g.url + path);
        const connection = await openRaw(g.url);
        let reset = false;
        connection.socket.on("error", (error: NodeJS.ErrnoException) => (reset = error.code === "ECONNRESET"));
        const gone = new Promise<void>((resolve) => connection.socket.once("close", () => resolve()));
        const lines = [`Host: ${hostOf(g.url)}`, `Authorization: ${authorization}`, `DPoP: ${dpop}`];
        connection.write(rawRequest(`GET ${path} HTTP/1.0`, lines));
        await gone;
        assert.equal(reset, bytes < all.length, `${bytes}: ${connection.received()}`);
      }
    },
  );

  test("H17 a connection that breaks behind a whole answer costs no other caller a foreign answer", LIMIT, async () => {
    const kind = KINDS[0] ?? assert.fail();
    for (const how of BREAKS) {
      const bytes = kind.answer(nameOf(how, 0)).length;
      await Promise.all(
        agents.map(async (agent, index) => {
          const connection = await openRaw(g.url);
          for (let round = 0; round < 6; round++) {
            const name = (index + round) % 2 === 0 ? nameOf(how, bytes) : `good-${index}-${round}`;
            const answer = await ask(connection, agent, kind, name);
            // One that was sent on a connection that was about to break is 502, and is never sent a second time.
            if (answer?.status !== 502) assert.deepEqual([answer?.whole, answer?.body], [true, name]);
            assert.equal(answer?.rest, "");
          }
          connection.destroy();
        }),
      );
    }
  });
});
