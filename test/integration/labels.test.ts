// What the policy calls an answer is known to every later call of the session: on every thread, for delegates and for other
// agents of the task, before the answer is given, and after a restart.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { packageRoot } from "../../src/lib/package-root.ts";
import {
  cutText,
  EVENTS,
  JSON_TYPE,
  type JudgingGateway,
  openStream,
  readerOf,
  startJudgingGateway,
} from "../fixtures/judging-gateway.ts";
import { errorOf, post, stateless } from "../fixtures/mcp-route.ts";
import { type AgentOptions, ISSUER, type TestAgent } from "../fixtures/test-gateway.ts";

const CLI = path.join(packageRoot(import.meta.url), "src", "cli", "main.ts");
const LABELLED = '{"do":"label","labels":["tainted"]}';
const SHOWN = { id: "s1", root_request: "r1", initiator: { type: "user", id: "recruiter_alice" }, depth: 0, chain: [] };
let sessions = 0;

/** Of a session, a task and a principal that no other test has. */
function newSession(changes: { session?: string; task?: string; principal?: string } = {}): AgentOptions {
  sessions += 1;
  const { session = `session-${sessions}`, task = `task-${sessions}`, principal = "recruiter_alice" } = changes;
  return {
    task,
    cordon: {
      principal: { type: "user", id: principal, issuer: ISSUER, attributes: {} },
      session: { ...SHOWN, id: session },
    },
  };
}

describe("labels of a session", { timeout: 90_000 }, () => {
  let j: JudgingGateway;
  before(async () => {
    j = await startJudgingGateway({ threads: 2 });
  });
  after(() => j.close());

  const write = async (agent: TestAgent): Promise<number> => (await agent.call(j.http, { method: "PUT" })).status;
  async function taint(agent: TestAgent): Promise<void> {
    j.answers(LABELLED);
    const answer = await agent.call(j.http);
    assert.deepEqual([answer.status, answer.text], [200, LABELLED]);
    j.answers("{}");
  }

  test("a labelled answer stops the agent's next write on every thread, and its reads go on", async () => {
    const agent = await j.g.agent(newSession());
    j.answers("{}");
    assert.equal(await write(agent), 200);
    await taint(agent);
    const reached = j.reached();
    // Connections of their own, so that both threads get some.
    const statuses = await Promise.all(Array.from({ length: 12 }, () => write(agent)));
    assert.deepEqual(new Set(statuses), new Set([403]));
    assert.equal(j.reached(), reached);
    assert.equal((await agent.call(j.http)).status, 200);
  });

  test("what the policy sees is `input.session.labels`, a sorted list, and an empty one before", async () => {
    const agent = await j.g.agent(newSession());
    j.answers('{"do":"label","labels":["tainted","a.b"]}');
    await agent.call(j.http);
    j.answers("{}");
    const answer = await agent.call(j.http);
    const mine = (line: Record<string, unknown>): boolean =>
      line["request_id"] === answer.headers["x-cordon-request-id"] && line["path"] === "cordon/response";
    const lines = (await j.g.lines("decision", mine)).filter((line) => line["agent"] === agent.id);
    const seen = lines.map(({ input }) => (input as { session: { labels: string[] } }).session.labels);
    assert.deepEqual(seen, [[], [], ["a.b", "tainted"], ["a.b", "tainted"]]);
  });

  test("a delegate in the chain is under the label, also with another task", async () => {
    const options = newSession({ session: "shared" });
    await taint(await j.g.agent(options));
    assert.equal(await write(await j.g.agent(newSession({ session: "shared" }))), 403);
  });

  test("another agent of the same task and principal is under the label, and one of another principal is not", async () => {
    await taint(await j.g.agent(newSession({ task: "screen" })));
    assert.equal(await write(await j.g.agent(newSession({ task: "screen" }))), 403);
    assert.equal(await write(await j.g.agent(newSession({ task: "screen", principal: "recruiter_bob" }))), 200);
    assert.equal(await write(await j.g.agent(newSession())), 200);
  });

  test("the label of a result of an MCP server stops a later call of a tool that writes", async () => {
    const agent = await j.g.agent(newSession());
    const call = (name: string) => post(agent, j.mcp, stateless("tools/call", { name, arguments: {} }));
    const result = (structured: string): string =>
      `{"jsonrpc":"2.0","id":7,"result":{"structuredContent":${structured}}}`;
    j.answers(result("{}"));
    assert.equal((await call("write")).status, 200);
    j.answers(result(LABELLED));
    assert.equal((await call("read")).text, result(LABELLED));
    j.answers(result("{}"));
    assert.deepEqual(errorOf(await call("write")), [403, 7, -32_003, "access_denied"]);
  });

  test("an event that is labelled leaves once its label is in force, in its place, and the stream goes on", async () => {
    const agent = await j.g.agent(newSession());
    const sends = j.nextAnswer();
    const stream = await openStream(agent, j.http);
    const [answer, read] = [await sends, readerOf(stream)];
    const events = ['data: {"n":1}\n\n', `data: ${LABELLED}\n\n`, 'data: {"n":2}\n\n', 'data: {"n":3}\n\n'];
    answer.write(events.join(""));
    assert.equal(await read(events.join("")), events.join(""));
    const ended = once(stream, "end");
    answer.end('data: {"n":4}\n\n');
    assert.equal(await read('data: {"n":4}\n\n'), 'data: {"n":4}\n\n');
    await ended;
    j.answers("{}");
    assert.equal(await write(agent), 403);
  });

  test("a stream that ends behind its labelled event ends whole", async () => {
    const agent = await j.g.agent(newSession());
    const body = `data: ${LABELLED}\n\ndata: {"do":"label","labels":["second"]}\n\ndata: 1\n\n`;
    j.answers(body, EVENTS);
    assert.equal((await agent.call(j.http)).text, body);
  });

  test("an upload that is under way when the label comes is cut, since the agent still writes into it", async () => {
    const agent = await j.g.agent(newSession());
    const url = `${j.g.url}/upload/1`;
    const arrived = new Promise<void>((resolve) => {
      j.tool.handle = (asked) => {
        asked.once("data", () => resolve());
        asked.on("error", () => undefined);
      };
    });
    const headers = { ...(await agent.headers(url, "POST")), "content-type": "text/plain" };
    const upload = request(url, { method: "POST", headers, agent: false });
    const answered = once(upload, "response");
    upload.on("error", () => undefined);
    upload.write("one");
    await arrived;
    await taint(agent);
    const [answer] = (await answered) as [{ statusCode: number; headers: Record<string, string> }];
    upload.destroy();
    assert.equal(answer.statusCode, 403);
    assert.equal((await j.accessLine(answer))["reason"], "stream.cut_policy");
  });

  test("a label has a record, and one beyond what a session may have withholds the answer", async () => {
    const agent = await j.g.agent(newSession());
    const names = Array.from({ length: 16 }, (_, index) => `l${index}`);
    j.answers(JSON.stringify({ do: "label", labels: names }));
    assert.equal((await agent.call(j.http)).status, 200);
    j.answers(LABELLED);
    const answer = await agent.call(j.http);
    assert.deepEqual([answer.status, answer.json()["code"]], [502, "response_withheld"]);
    const line = await j.accessLine(answer);
    assert.equal(line["reason"], "response.labels_full");
    const mine = (record: Record<string, unknown>): boolean =>
      record["type"] === "label" && record["agent"] === agent.id && record["outcome"] === "full";
    const records = (await j.g.lines("audit", mine)).filter(
      (record) => record["type"] === "label" && record["agent"] === agent.id,
    );
    assert.deepEqual(
      records.map(({ outcome, labels }) => [outcome, labels]),
      [
        ["done", names],
        ["full", ["tainted"]],
      ],
    );
    assert.match(String(records[0]?.["by"]), /^policy:/);
  });

  test("an event whose label finds no room ends its stream instead, and what came before it has left", async () => {
    const agent = await j.g.agent(newSession());
    const names = Array.from({ length: 16 }, (_, index) => `l${index}`);
    const [first, second] = [JSON.stringify({ do: "label", labels: names }), LABELLED];
    const sends = j.nextAnswer();
    const stream = await openStream(agent, j.http);
    const [answer, read] = [await sends, readerOf(stream)];
    answer.write(`data: ${first}\n\ndata: ${second}\n\ndata: 1\n\n`);
    assert.equal(await read(`data: ${first}\n\n`), `data: ${first}\n\n`);
    assert.equal(await cutText(stream), "");
    assert.equal((await j.accessLine(stream))["reason"], "response.labels_full");
  });

  test("an operator sees labels and removes them by chain or by task, and the removal is recorded", async () => {
    const agent = await j.g.agent(newSession({ session: "seen" }));
    await taint(agent);
    interface Row {
      readonly chain: string;
      readonly task: string;
      readonly labels: string[];
    }
    const list = async (): Promise<Row | undefined> =>
      (await j.g.operate("GET", "/v1/labels"))
        .json<{ sessions: Row[] }>()
        .sessions.find(({ chain }) => chain === `${ISSUER} seen`);
    const row = await list();
    assert.deepEqual(row?.labels, ["tainted"]);
    assert.ok(row.task.endsWith(` ${ISSUER} user:recruiter_alice`));
    const shown = await labels("list");
    assert.match(shown.out, /^LABELS .*\n(?:.*\n)*tainted +https:\/\/issuer\.test seen /);
    const unknown = await labels("remove", "nobody", "--reason", "a mistake");
    assert.deepEqual([unknown.code, unknown.out], [1, ""]);
    const removed = await labels("remove", row.task, "--reason", "read and found harmless");
    assert.deepEqual([removed.code, removed.out], [0, "Removed the labels of 1.\n"]);
    assert.equal(await list(), undefined);
    assert.equal(await write(agent), 200);
    const mine = (record: Record<string, unknown>): boolean => record["action"] === "labels.remove";
    const record = (await j.g.lines("audit", mine)).findLast(mine);
    assert.deepEqual([record?.["type"], record?.["target"], record?.["outcome"]], ["label", row.task, "applied"]);
    await taint(agent);
    assert.equal(await write(agent), 403, "what is answered from then on labels anew");
  });

  function labels(...args: string[]): Promise<{ code: number; out: string }> {
    const env = { PATH: process.env["PATH"], CORDON_CONTROL_URL: j.g.control, CORDON_OPERATOR_KEY: j.g.operatorKey };
    return new Promise((resolve) => {
      execFile(process.execPath, [CLI, "labels", ...args], { env, timeout: 20_000 }, (error, out) => {
        resolve({ code: error === null ? 0 : Number(error.code), out });
      });
    });
  }

  test("an answer that is withheld labels its session all the same", async () => {
    const agent = await j.g.agent(newSession());
    j.answers('{"do":"label","labels":["Not A Label"]}');
    assert.equal((await agent.call(j.http)).status, 502, "no label is anything but a word");
    j.answers('{"do":"deny","labels":["tainted"]}', JSON_TYPE);
    assert.equal((await agent.call(j.http)).status, 403);
    j.answers("{}");
    const mine = (record: Record<string, unknown>): boolean =>
      record["type"] === "label" && record["agent"] === agent.id;
    await j.g.lines("audit", mine);
    assert.equal(await write(agent), 403);
  });
});

test("labels are in force again after a restart", { timeout: 60_000 }, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-labels-"));
  const options = newSession();
  try {
    const first = await startJudgingGateway({}, { folder });
    first.answers(LABELLED);
    assert.equal((await (await first.g.agent(options)).call(first.http)).status, 200);
    await first.close();
    const second = await startJudgingGateway({}, { folder });
    second.answers("{}");
    const agent = await second.g.agent(options);
    assert.equal((await agent.call(second.http, { method: "PUT" })).status, 403);
    assert.equal((await agent.call(second.http)).status, 200);
    await second.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
