// curl, as it comes, behind the sidecar: real issuer, real gateway, real tool. The gateway wants a nonce in every proof.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { ClientRequest, IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { type StartedAgent, startAgent } from "../../src/agent/create-agent.ts";
import { createSidecar, type Sidecar } from "../../src/agent/create-sidecar.ts";
import { type AgentGateway, startAgentGateway } from "../fixtures/agent-gateway.ts";
import { type ScriptedTool, startScriptedTool, toolRoute } from "../fixtures/scripted-tool.ts";

const LIMIT = { timeout: 60_000 };
const MIB = 1_048_576;
/** Of curl: the answer ended before it was complete. */
const CURL_PARTIAL_FILE = 18;

describe("an unmodified program behind the sidecar", () => {
  let stage: AgentGateway;
  let tool: ScriptedTool;
  let started: StartedAgent;
  let sidecar: Sidecar;
  const ending: (() => Promise<void>)[] = [];

  before(async () => {
    tool = await startScriptedTool();
    new WebSocketServer({ server: tool.server }).on("connection", (socket) => {
      socket.on("message", (data: Buffer, binary) => socket.send(data, { binary }));
    });
    stage = await startAgentGateway(
      { after: (end) => void ending.push(end) },
      {
        proof: { nonce: "required" },
        routes: [
          toolRoute("plain", tool.url),
          toolRoute("upload", tool.url, { body: "stream" }),
          toolRoute("socket", tool.url, { methods: ["GET"], upgrade: ["websocket"] }),
        ],
      },
    );
    const launchToken = await stage.launch({ scope: ["call:mcp:everything"] });
    started = await startAgent({ issuer: stage.issuer, launchToken });
    sidecar = await createSidecar(started, stage.g.url);
  });
  after(async () => {
    await sidecar.close();
    for (const end of ending) await end();
    await tool.close();
  });

  /** The tool's side of the next request. */
  function nextAtTool(): Promise<{ atTool: IncomingMessage; answer: ServerResponse }> {
    return new Promise((resolve) => {
      tool.handle = (atTool, answer) => resolve({ atTool, answer });
    });
  }

  function curl(...args: string[]) {
    const child = spawn("curl", ["--silent", "--show-error", "--max-time", "30", ...args], { stdio: "pipe" });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (part: string) => (errors += part));
    const done = once(child, "close").then(([code]) => ({ code: code as number, text, errors }));
    return { child, done };
  }

  test(
    "a call is proved, and the program's own credentials, hop-by-hop headers and secret stay behind",
    LIMIT,
    async () => {
      const arriving = nextAtTool();
      const sent = [
        "Authorization: Bearer of-the-program",
        "DPoP: of-the-program",
        "Connection: x-hop",
        "X-Hop: 1",
        "X-Kept: 2",
        `Referer: ${sidecar.baseUrl}/page`,
      ];
      const called = curl(
        "--path-as-is",
        ...sent.flatMap((header) => ["-H", header]),
        "-w",
        "%{http_code}",
        `${sidecar.baseUrl}/plain/1?q=a%2Fb`,
      );
      const { atTool, answer } = await arriving;
      answer.end("read");
      const { text } = await called.done;
      assert.equal(text, "read200");
      assert.equal(atTool.url, "/plain/1?q=a%2Fb");
      const { authorization, dpop, referer, "x-hop": hop, "x-kept": kept } = atTool.headers;
      assert.deepEqual([authorization, dpop, referer, hop, kept], [undefined, undefined, undefined, undefined, "2"]);
      const secret = new URL(sidecar.baseUrl).pathname.slice(1);
      assert.ok(!JSON.stringify(atTool.rawHeaders).includes(secret));
    },
  );

  test(
    "the gateway's answers come as they are: a refusal with its reason, a status without a body",
    LIMIT,
    async () => {
      tool.handle = (_request, answer) => void answer.writeHead(204).end();
      const none = await curl("-w", "%{http_code}", `${sidecar.baseUrl}/plain/1`).done;
      assert.equal(none.text, "204");
      const unknown = await curl("-w", "%{http_code}", `${sidecar.baseUrl}/nowhere`).done;
      assert.match(unknown.text, /"code":"not_found".*404$/s);
      // Judged by the gateway as it was written, not as something else that it could be read as.
      const odd = await curl("--path-as-is", "-w", "%{http_code}", `${sidecar.baseUrl}/plain/../plain/1`).done;
      assert.match(odd.text, /400$/);
    },
  );

  test("each event of a stream reaches the program before the tool sends the next one", LIMIT, async () => {
    const arriving = nextAtTool();
    const called = curl("--no-buffer", `${sidecar.baseUrl}/plain/events`);
    const { answer } = await arriving;
    answer.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of ["one", "two", "three"]) {
      const seen = once(called.child.stdout, "data");
      answer.write(`data: ${event}\n\n`);
      assert.deepEqual(await seen, [`data: ${event}\n\n`]);
    }
    answer.end();
    assert.equal((await called.done).code, 0);
  });

  test(
    "a program that leaves ends the exchange at the tool, and a cut answer does not look complete",
    LIMIT,
    async () => {
      const leaving = nextAtTool();
      const left = curl("--no-buffer", `${sidecar.baseUrl}/plain/events`);
      const { answer } = await leaving;
      const gone = once(answer, "close");
      answer.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
      await once(left.child.stdout, "data");
      left.child.kill();
      await gone;

      const cutting = nextAtTool();
      const cut = curl("--no-buffer", `${sidecar.baseUrl}/plain/1`);
      const atTool = await cutting;
      atTool.answer.writeHead(200).write("part");
      await once(cut.child.stdout, "data");
      atTool.answer.destroy();
      assert.equal((await cut.done).code, CURL_PARTIAL_FILE);
    },
  );

  for (const [title, args] of [
    ["of a known length", ["--data-binary", "@-"]],
    ["of an unknown length", ["-T", "-", "-X", "POST"]],
  ] as const) {
    test(`a large body ${title} flows to the tool, though the first proof had no nonce`, LIMIT, async (t) => {
      // Its first request meets the challenge with the body still to come.
      const fresh = await createSidecar(started, stage.g.url);
      t.after(() => fresh.close());
      tool.handle = (atTool, answer) => {
        let bytes = 0;
        atTool.on("data", (chunk: Buffer) => (bytes += chunk.length));
        atTool.on("end", () => answer.end(String(bytes)));
      };
      const called = curl(...args, "-w", " %{http_code}", `${fresh.baseUrl}/upload/1`);
      called.child.stdin.end(Buffer.alloc(3 * MIB, "x"));
      const { text, errors } = await called.done;
      assert.equal(text, `${3 * MIB} 200`, errors);
    });
  }

  test("a small body is sent again with the nonce, and the tool sees it once", LIMIT, async (t) => {
    const fresh = await createSidecar(started, stage.g.url);
    t.after(() => fresh.close());
    const bodies: string[] = [];
    tool.handle = (atTool, answer) => {
      let body = "";
      atTool.setEncoding("utf8").on("data", (part: string) => (body += part));
      atTool.on("end", () => {
        bodies.push(body);
        answer.end("{}");
      });
    };
    const args = ["--json", '{"score":8}', "-w", "%{http_code}"];
    assert.equal((await curl(...args, `${fresh.baseUrl}/plain/1`).done).text, "{}200");
    assert.deepEqual(bodies, ['{"score":8}']);
  });

  test(
    "a redirect is passed on, not followed, and one within the gateway leads through the sidecar",
    LIMIT,
    async () => {
      for (const [location, expected] of [
        ["/plain/2?x=1", `${sidecar.baseUrl}/plain/2?x=1`],
        [`${stage.g.url}/plain/2`, `${sidecar.baseUrl}/plain/2`],
        ["http://127.0.0.1:1/elsewhere", "http://127.0.0.1:1/elsewhere"],
        ["//127.0.0.1:1/elsewhere", "http://127.0.0.1:1/elsewhere"],
      ] as const) {
        tool.handle = (_request, answer) => void answer.writeHead(302, { location }).end();
        const { text } = await curl("-w", "%{http_code} %{redirect_url}", `${sidecar.baseUrl}/plain/1`).done;
        assert.equal(text, `302 ${expected}`);
      }
    },
  );

  test("the sidecar's own origin is the gateway's to the gateway, and any other is passed on", LIMIT, async () => {
    const { origin } = new URL(sidecar.baseUrl);
    for (const [sent, expected] of [
      [origin, stage.g.url],
      ["https://evil.example", "https://evil.example"],
      [`${origin}.evil.example`, `${origin}.evil.example`],
    ] as const) {
      const arriving = nextAtTool();
      const called = curl("-H", `Origin: ${sent}`, `${sidecar.baseUrl}/plain/1`);
      const { atTool, answer } = await arriving;
      answer.end();
      await called.done;
      assert.equal(atTool.headers.origin, expected);
    }
  });

  test("a WebSocket goes through, and one that the gateway refuses is answered with its reason", LIMIT, async () => {
    const socket = new WebSocket(`${sidecar.baseUrl.replace("http:", "ws:")}/socket/1`);
    await once(socket, "open");
    socket.send("ping");
    const [data] = (await once(socket, "message")) as [Buffer];
    assert.equal(data.toString(), "ping");
    socket.close();
    await once(socket, "close");

    assert.equal(await refusedUpgrade(`${sidecar.baseUrl}/nowhere`), 404);
  });

  test("whoever has not the secret of the run gets 404 without a word, whatever is asked", LIMIT, async () => {
    const { origin, pathname } = new URL(sidecar.baseUrl);
    const secret = pathname.slice(1);
    assert.match(secret, /^[A-Za-z0-9_-]{43}$/);
    const other = `${secret.slice(0, -1)}${secret.endsWith("A") ? "B" : "A"}`;
    for (const path of [
      "/",
      "/plain/1",
      `/${other}/plain/1`,
      `/${secret}x/plain/1`,
      `//${secret}/plain/1`,
      `/${secret.slice(1)}/`,
    ]) {
      const { text } = await curl("--path-as-is", "-w", "%{http_code} %{size_download}", origin + path).done;
      assert.equal(text, "404 0", path);
    }
    assert.equal(await refusedUpgrade(`${origin}/${other}/socket/1`), 404);
    assert.match(await raw(origin, "nonsense\r\n\r\n"), /^HTTP\/1.1 404 Not Found\r\n/);
  });

  test("CONNECT is refused with the reason: nobody can sign inside it", LIMIT, async () => {
    const { origin } = new URL(sidecar.baseUrl);
    const { errors, code } = await curl("-x", origin, "https://127.0.0.1:1/").done;
    assert.notEqual(code, 0);
    assert.match(errors, /405/);
    const answer = await raw(origin, "CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\n\r\n");
    assert.match(answer, /^HTTP\/1.1 405 [^]*Nobody can sign inside a tunnel/);
  });

  test("more connections than it takes are closed at once, and it serves again when they are gone", LIMIT, async () => {
    const { hostname, port } = new URL(sidecar.baseUrl);
    const sockets = Array.from({ length: 300 }, () => connect(Number(port), hostname));
    const closed = await Promise.race(
      sockets.map(async (socket) => {
        socket.on("error", () => undefined);
        await once(socket, "close");
        return true;
      }),
    );
    assert.ok(closed);
    const open = sockets.filter((socket) => !socket.closed);
    const gone = Promise.all(open.map((socket) => once(socket, "close")));
    for (const socket of open) socket.destroy();
    await gone;
    tool.handle = (_request, answer) => void answer.end("again");
    for (;;) {
      const { text } = await curl(`${sidecar.baseUrl}/plain/1`).done;
      if (text === "again") break;
    }
  });

  test("a gateway that is away is told as such, with a code", LIMIT, async (t) => {
    const nowhere = await createSidecar(started, "http://127.0.0.1:1");
    t.after(() => nowhere.close());
    const { text } = await curl("-w", "%{http_code}", `${nowhere.baseUrl}/plain/1`).done;
    assert.match(text, /"code":"gateway_unreachable".*502$/s);
  });
});

/** The status that a WebSocket client is refused with. */
async function refusedUpgrade(url: string): Promise<number | undefined> {
  const socket = new WebSocket(url.replace("http:", "ws:"));
  const [asked, answer] = (await once(socket, "unexpected-response")) as [ClientRequest, IncomingMessage];
  asked.destroy();
  return answer.statusCode;
}

async function raw(origin: string, text: string): Promise<string> {
  const { hostname, port } = new URL(origin);
  const socket = connect(Number(port), hostname).setEncoding("latin1");
  let answer = "";
  socket.on("data", (part: string) => (answer += part));
  socket.end(text);
  await once(socket, "close");
  return answer;
}
