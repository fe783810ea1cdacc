// H25: SIGTERM to the real command line while a request, an upload, a stream and a tunnel are open.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { type CliProcess, startCli } from "../fixtures/cli-process.ts";
import { freePort } from "../../examples/demo/free-ports.ts";
import { type ScriptedTool, startScriptedTool, toolRoute } from "../fixtures/scripted-tool.ts";
import { call, readLines, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 30_000 };
const DRAIN_MS = 1500;
const BYTES = 15 * 2 ** 20;

describe("H25 SIGTERM", () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  let seen: string[];
  before(async () => {
    tool = await startScriptedTool();
    // Only for its configuration, its tokens and its port: the gateway that is tested is a process of its own.
    g = await startTestGateway({
      threads: 2,
      limits: { drain_timeout_ms: DRAIN_MS },
      routes: [
        toolRoute("slow", tool.url),
        toolRoute("upload", tool.url, { body: "stream" }),
        toolRoute("events", tool.url),
        toolRoute("socket", tool.url, { methods: ["GET"], upgrade: ["websocket"] }),
        {
          ...toolRoute("redacted", tool.url, { methods: ["GET"], limits: { redact_bytes_max: 2 ** 24 } }),
          path: "/redacted/{job_id}/{id}",
          resource: { type: "candidate_profiles", classification: "interview_safe" },
        },
      ],
    });
    await g.gateway.close();
  });
  after(async () => {
    await Promise.all([tool.close(), g.tool.close(), g.monitor.close()]);
    rmSync(g.folder, { recursive: true, force: true });
  });

  async function startProcess(): Promise<{ cli: CliProcess; control: string; data: string }> {
    seen = [];
    const port = await freePort();
    // A folder of its own: on the last one it would wait until no proof from before is accepted.
    const data = mkdtempSync(path.join(g.folder, "data-"));
    const env = { CORDON_DATA_FOLDER: data, CORDON_CONTROL_PORT: String(port) };
    const cli = startCli(["start", "--config", path.join(g.folder, "cordon.yaml")], env);
    await cli.printed('"ready"');
    return { cli, control: `http://127.0.0.1:${port}`, data };
  }

  async function open(agent: TestAgent, method: string, target: string): Promise<ClientRequest> {
    const url = g.url + target;
    return request(url, { method, headers: await agent.headers(url, method), agent: false });
  }
  const answerTo = async (asked: ClientRequest): Promise<{ status: number | undefined; text: string }> => {
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    let text = "";
    for await (const chunk of answer) text += String(chunk);
    return { status: answer.statusCode, text };
  };

  test("H25 finishes what is in flight, cuts streams at the limit, takes nothing new", LIMIT, async () => {
    const { cli, control, data } = await startProcess();
    const slow = Promise.withResolvers<ServerResponse>();
    const uploading = Promise.withResolvers<void>();
    tool.handle = (asked, response) => {
      seen.push(asked.url ?? "");
      if (asked.url === "/slow/1") slow.resolve(response);
      else if (asked.url === "/upload/1") {
        asked.once("data", () => uploading.resolve());
        let size = 0;
        asked.on("data", (chunk: Buffer) => (size += chunk.length)).on("end", () => response.end(String(size)));
      } else {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write("data: one\n\n");
      }
    };
    const sockets = new WebSocketServer({ server: tool.server });
    const agent = await g.agent();

    const asked = await open(agent, "GET", "/slow/1");
    asked.end();
    const slowAnswer = answerTo(asked);
    const upload = await open(agent, "POST", "/upload/1");
    upload.write("first half,");
    const uploadAnswer = answerTo(upload);
    const events = await open(agent, "GET", "/events/1");
    events.end();
    const [stream] = (await once(events, "response")) as [IncomingMessage];
    await once(stream, "data");
    const url = `${g.url}/socket/1`;
    const socket = new WebSocket(url.replace("http:", "ws:"), { headers: await agent.headers(url) });
    await once(socket, "open");
    const unused = connect(Number(new URL(g.url).port), "127.0.0.1");
    unused.on("error", () => unused.destroy());
    await once(unused, "connect");
    const unusedEnd = new Promise<void>((resolve) => unused.resume().once("close", () => resolve()));
    const kept = connect(Number(new URL(g.url).port), "127.0.0.1");
    kept.write(`GET /none/1 HTTP/1.1\r\nHost: ${new URL(g.url).host}\r\n\r\n`);
    await once(kept, "data");
    const keptEnd = once(kept.resume(), "close");
    const slowResponse = await slow.promise;
    await uploading.promise;

    const streamEnd = new Promise<string>((resolve) => {
      stream.once("error", () => resolve("cut"));
      stream.once("end", () => resolve("clean end"));
      stream.resume();
    });
    const socketEnd = new Promise<number>((resolve) => {
      socket.on("error", () => socket.terminate()).once("close", resolve);
    });
    const startedAt = performance.now();
    cli.child.kill("SIGTERM");
    await cli.printed('"draining"');

    assert.equal((await call(`${control}/readyz`)).status, 503);
    assert.equal((await call(`${control}/healthz`)).status, 200);
    // Each thread stops listening as soon as it reads the message; from then on nobody is there.
    while ((await refusalOf(agent)) !== "ECONNREFUSED");
    await Promise.all([keptEnd, unusedEnd]);

    slowResponse.end("late, but whole");
    upload.end("second half");
    assert.deepEqual(await slowAnswer, { status: 200, text: "late, but whole" });
    assert.deepEqual(await uploadAnswer, { status: 200, text: "22" });
    assert.ok(performance.now() - startedAt < DRAIN_MS, "finished before the limit");

    assert.equal(await streamEnd, "cut", "a truncated stream must not look complete");
    assert.equal(await socketEnd, 1001);
    assert.ok(performance.now() - startedAt >= DRAIN_MS - 50, "streams have until the limit");
    assert.equal(await cli.exited, 0, cli.stderr());
    sockets.close();

    const lines = readLines(path.join(data, "logs", "access.jsonl")).filter((line) => line["path"] !== "/none/1");
    const told = lines.map((line) => [line["path"], line["status"], line["reason"]].join(" "));
    assert.deepEqual(told.toSorted(), [
      "/events/1 200 gateway.draining",
      "/slow/1 200 ",
      "/socket/1 101 gateway.draining",
      "/upload/1 200 ",
    ]);
    assert.deepEqual(seen.toSorted(), ["/events/1", "/slow/1", "/upload/1"], "nothing is sent twice");
    const check = startCli(["audit", "check", path.join(data, "audit", "audit.jsonl")]);
    assert.equal(await check.exited, 0, check.stdout());
    assert.match(check.stdout(), /^whole: /);
    assert.doesNotMatch(check.stdout(), /no outcome/);
  });

  test("H25 a request that outlasts the limit is 503, and its record says that it was sent", LIMIT, async () => {
    const { cli, data } = await startProcess();
    const arrived = Promise.withResolvers<IncomingMessage>();
    tool.handle = (asked) => arrived.resolve(asked);
    const agent = await g.agent();
    const asked = await open(agent, "POST", "/upload/2");
    asked.end("a write that may have happened");
    const end = new Promise<number | string>((resolve) => {
      asked.once("response", (answer: IncomingMessage) => resolve(answer.statusCode ?? 0));
      asked.once("error", () => resolve("cut"));
    });
    const atTool = await arrived.promise;
    // Not `once`: the error that comes before the close is what is waited for.
    const aborted = new Promise<void>((resolve) => atTool.once("close", () => resolve()));
    cli.child.kill("SIGTERM");
    const got = await end;
    assert.equal(got, 503, "the caller is told");
    await aborted;
    assert.equal(await cli.exited, 0, cli.stderr());
    const lines = readLines(path.join(data, "logs", "access.jsonl"));
    assert.deepEqual(
      lines.map((line) => [line["path"], line["status"], line["outcome"], line["reason"]]),
      [["/upload/2", 503, "failed", "gateway.draining"]],
    );
    const outcome = readLines(path.join(data, "audit", "audit.jsonl")).find((line) => line["type"] === "outcome");
    assert.equal(outcome?.["sent"], true, "the tool may have done it, and the record says so");
  });

  test("H25 an answer that is out but not read yet reaches its reader whole", LIMIT, async () => {
    const { cli } = await startProcess();
    // Kept whole for its redaction, so that all of it leaves at once, and more than the buffers of a connection hold.
    const text = JSON.stringify({ salary: 1, notes: "x".repeat(BYTES) });
    tool.handle = (_asked, response) => {
      response.writeHead(200, { "content-type": "application/json" }).end(text);
    };
    const agent = await g.agent();
    const asked = await open(agent, "GET", "/redacted/J42/1");
    asked.end();
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    answer.pause();
    assert.equal(answer.statusCode, 200);
    cli.child.kill("SIGTERM");
    while ((await refusalOf(agent)) !== "ECONNREFUSED");
    let read = 0;
    answer.on("data", (chunk: Buffer) => (read += chunk.length));
    const ended = once(answer, "end");
    answer.resume();
    await ended;
    assert.equal(read, Number(answer.headers["content-length"]));
    assert.equal(await cli.exited, 0, cli.stderr());
  });

  /** Why a connection of its own was not served; a status where it was. */
  function refusalOf(agent: TestAgent): Promise<string> {
    return agent.call(`${g.url}/none/1`).then(
      (answer) => String(answer.status),
      (error: NodeJS.ErrnoException) => error.code ?? error.message,
    );
  }
});
