// What an agent can see is what it may use: lists of an MCP server, filtered by `cordon/visible` on their way back.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { inSession, mcpRoute, post, SESSION_VERSION, stateless } from "../fixtures/mcp-route.ts";
import { type ScriptedTool, startScriptedTool } from "../fixtures/scripted-tool.ts";
import { type CallAnswer, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const JSON_TYPE = { "content-type": "application/json" };
const EVENTS = { "content-type": "text/event-stream" };

/** With white space and numbers that no serialiser would write so: what stays has to stay as it is. */
const ECHO = '{ "name":"echo", "inputSchema":{"type":"object","maximum":1.0} }';
const SUM = '{"name":"get-sum","annotations":{"readOnlyHint":true},"x":1e2}';
const ENV = '{"name":"get-env","description":"tells \\"all\\" ] , }"}';
const IMAGE = '{"name":"get-tiny-image"}';

const listOf = (member: string, items: readonly string[], more = ""): string =>
  `{"jsonrpc":"2.0", "id":7,"result":{"nextCursor":"c2","ttlMs":1000${more},"${member}": [${items.join(" , ")}] ,"_meta":{"k":1.50}}}`;
const cut = (member: string, items: readonly string[], more = ""): string =>
  listOf(member, [], more).replace(`"${member}": []`, `"${member}": [${items.join(",")}]`);

describe("lists on a route of kind mcp", { timeout: 60_000 }, () => {
  let g: TestGateway;
  let tool: ScriptedTool;
  let agent: TestAgent;
  let url: string;
  before(async () => {
    tool = await startScriptedTool();
    g = await startTestGateway({
      routes: [
        // One name stands for another tool in each test; what is pinned has tests of its own.
        mcpRoute("mcp", tool.url, { limits: { redact_bytes_max: 100_000 }, mcp: { tools: { pin: "off" } } }),
        mcpRoute("observed", tool.url, { mode: "observe", mcp: { tools: { pin: "off" } } }),
      ],
    });
    agent = await g.agent();
    url = `${g.url}/mcp`;
  });
  after(async () => {
    await g.close();
    await tool.close();
  });

  function answers(body: string | Buffer, headers: Readonly<Record<string, string>> = JSON_TYPE, status = 200): void {
    tool.handle = (asked, answer) => {
      asked.resume();
      answer.writeHead(status, headers).end(body);
    };
  }
  const list = (method: string, by: TestAgent = agent): Promise<CallAnswer> => post(by, url, stateless(method));
  async function lineOf(answer: CallAnswer): Promise<Record<string, unknown>> {
    const mine = (line: Record<string, unknown>): boolean =>
      line["request_id"] === answer.headers["x-cordon-request-id"];
    return (await g.lines("access", mine)).find(mine) ?? {};
  }

  test("an agent sees the tools that it may call, and the rest of the answer as the server wrote it", async () => {
    answers(listOf("tools", [ENV, ECHO, IMAGE, SUM]), { ...JSON_TYPE, etag: '"1"' });
    const answer = await list("tools/list");
    assert.equal(answer.text, cut("tools", [ECHO, SUM]));
    assert.equal(answer.headers["etag"], undefined, "it described other bytes");
    assert.equal((await lineOf(answer))["detail"], "tools: 2 of 4 shown");
  });

  test("another purpose sees another list", async () => {
    const claims = {
      task: "t",
      purpose: "assist",
      scope: ["call:mcp:everything"],
      details: [],
      constraints: {},
      expires_at: "2036-01-01T00:00:00Z",
    };
    const assistant = await g.agent({ cordon: { intent: claims } });
    // Also of a list that is too long to be read anew each time (upstream/kept-pages.ts).
    for (const more of ["", `,"pad":"${"x".repeat(5000)}"`]) {
      answers(listOf("tools", [ENV, IMAGE], more));
      for (let times = 0; times < 2; times += 1) {
        assert.equal((await list("tools/list", assistant)).text, cut("tools", [IMAGE], more));
        assert.equal((await list("tools/list")).text, cut("tools", [], more));
      }
    }
  });

  test("prompts, resources and templates are filtered by what names them", async () => {
    const features = '{"uri":"demo://resource/static/document/features.md","name":"x"}';
    const cases: [string, string, string[], string[]][] = [
      ["prompts/list", "prompts", ['{"name":"simple-prompt"}', '{"name":"args-prompt"}'], ['{"name":"simple-prompt"}']],
      ["resources/list", "resources", ['{"uri":"demo://x","name":"y"}', features], [features]],
      [
        "resources/templates/list",
        "resourceTemplates",
        ['{"uriTemplate":"demo://resource/dynamic/text/{resourceId}"}'],
        [],
      ],
    ];
    for (const [method, member, items, shown] of cases) {
      answers(listOf(member, items));
      assert.equal((await list(method)).text, cut(member, shown), method);
    }
  });

  test("each page is filtered by itself and its cursor leads to the next one", async () => {
    for (const page of [[ENV, ENV], [ECHO, ENV], []]) {
      answers(listOf("tools", page));
      const shown = (await list("tools/list")).json<{ result: { nextCursor: string; tools: { name: string }[] } }>()
        .result;
      assert.deepEqual(
        [shown.nextCursor, shown.tools.map(({ name }) => name)],
        ["c2", page.includes(ECHO) ? ["echo"] : []],
      );
    }
  });

  test("a list that is all the agent's own is not changed at all", async () => {
    const whole = `  ${listOf("tools", [ECHO, SUM], ',"cacheScope":"private"')}\n`;
    answers(whole);
    assert.equal((await list("tools/list")).text, whole);
  });

  test("a list that was made for one agent is not offered to all by its cache scope", async () => {
    answers(listOf("tools", [ECHO], ',"cacheScope":"public"'));
    assert.equal((await list("tools/list")).text, listOf("tools", [ECHO], ',"cacheScope":"private"'));
  });

  test("an error of the server passes as it is", async () => {
    const error = '{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"no tools today"}}';
    answers(error);
    assert.equal((await list("tools/list")).text, error);
    answers("<html>busy</html>", { "content-type": "text/html" }, 503);
    assert.deepEqual([(await list("tools/list")).status, (await list("tools/list")).text], [503, "<html>busy</html>"]);
  });

  test("an answer that two readers could read in two ways is 502, and no item of it is shown", async () => {
    const twice = listOf("tools", [ECHO]).replace('"tools"', '"tools":[{"name":"get-env"}],"tools"');
    const bad: [string, string | Buffer, Record<string, string>][] = [
      ["a list twice", twice, JSON_TYPE],
      ["a list in another case", listOf("Tools", [ENV]), JSON_TYPE],
      ["a list with a long s", listOf("tool\u017f", [ENV]), JSON_TYPE],
      ["a result twice", `{"result":{"tools":[]},${listOf("tools", [ENV]).slice(1)}`, JSON_TYPE],
      ["a result in another case", listOf("tools", [ENV]).replace('"result"', '"Result"'), JSON_TYPE],
      ["a batch", `[${listOf("tools", [ENV])}]`, JSON_TYPE],
      ["no list", listOf("tools", [ENV]).replace(/"tools": \[.*\] ,/, '"tools": {"0":{"name":"get-env"}},'), JSON_TYPE],
      ["no JSON", "tools: get-env", JSON_TYPE],
      ["no UTF-8", Buffer.concat([Buffer.from(listOf("tools", [ENV])), Buffer.from([0xff])]), JSON_TYPE],
      ["compressed", gzipSync(listOf("tools", [ENV])), { ...JSON_TYPE, "content-encoding": "gzip" }],
      ["compressed events", gzipSync(`data: ${listOf("tools", [ENV])}\n\n`), { ...EVENTS, "content-encoding": "gzip" }],
      ["another type", listOf("tools", [ENV]), { "content-type": "text/plain" }],
      ["no type", listOf("tools", [ENV]), {}],
      ["too large", listOf("tools", [ENV, `{"name":"${"x".repeat(100_000)}"}`]), JSON_TYPE],
    ];
    for (const [title, body, headers] of bad) {
      answers(body, headers);
      const answer = await list("tools/list");
      assert.equal(answer.status, 502, title);
      assert.doesNotMatch(answer.text, /get-env/, title);
    }
  });

  test("an item without a name that all readers agree on is not shown", async () => {
    const odd = [
      '{"name":"get-env","name":"echo"}',
      '{"Name":"get-env","name":"echo"}',
      '{"title":"echo"}',
      '{"name":["echo"]}',
      '"echo"',
      "null",
    ];
    answers(listOf("tools", [...odd, ECHO]));
    assert.equal((await list("tools/list")).text, cut("tools", [ECHO]));
    const escaped = '{"n\\u0061me":"get-\\u0065nv"}';
    answers(listOf("tools", [escaped, '{"n\\u0061me":"\\u0065cho"}']));
    assert.equal((await list("tools/list")).text, cut("tools", ['{"n\\u0061me":"\\u0065cho"}']));
  });

  test("each event of a list's stream is filtered as it comes, and the others pass as they are", async () => {
    const arriving = new Promise<Parameters<ScriptedTool["handle"]>[1]>((resolve) => {
      tool.handle = (asked, answer) => {
        asked.resume();
        resolve(answer);
      };
    });
    const message = stateless("tools/list");
    const headers = { ...(await agent.headers(url, "POST")), ...(message.headers as Record<string, string>) };
    const asked = request(url, { method: "POST", headers, agent: false });
    asked.end(message.body);
    const answer = await arriving;
    answer.writeHead(200, EVENTS);
    answer.flushHeaders();
    const [stream] = (await once(asked, "response")) as [IncomingMessage];
    const listed = listOf("tools", [ENV, ECHO]);
    const half = listed.indexOf(ENV) + 5;
    const steps: [string[], string][] = [
      [[": keep-alive\n\n"], ": keep-alive\n\n"],
      [
        ['id: 1\ndata: {"jsonrpc":"2.0","method":"notifications/message"}\n\n'],
        'id: 1\ndata: {"jsonrpc":"2.0","method":"notifications/message"}\n\n',
      ],
      // Cut in the middle of an item, and its event ended by three kinds of line break.
      [
        ["event: message\r\nid: 2\r\ndata: " + listed.slice(0, half), `${listed.slice(half)}\r`, "\n\r\n"],
        `event: message\nid: 2\ndata: ${cut("tools", [ECHO])}\n\n`,
      ],
      [[`data:${listed}\r\r`], `data: ${cut("tools", [ECHO])}\n\n`],
      [
        [`data: ${listed.slice(0, listed.indexOf(","))}\ndata: ${listed.slice(listed.indexOf(","))}\n\n`],
        `data: ${cut("tools", [ECHO]).replace(",", "\ndata: ,")}\n\n`,
      ],
    ];
    let text = "";
    stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
    for (const [sent, expected] of steps) {
      text = "";
      for (const part of sent) answer.write(part);
      while (text.length < expected.length) await once(stream, "data");
      assert.equal(text, expected);
    }
    const ended = once(stream, "end");
    answer.end("data: an event that never ends");
    await ended;
    assert.doesNotMatch(text, /never ends/);
  });

  test("a list that comes again on the resumed stream of a session is filtered there too", async () => {
    const body = `\ufeffid: 3\ndata: ${listOf("tools", [ENV, ECHO])}\n\ndata: ${listOf("prompts", ['{"name":"args-prompt"}'])}\n\n`;
    // A server that knows the whole stream may say so, and it is another one then.
    answers(body, { ...EVENTS, "content-length": String(Buffer.byteLength(body)), etag: '"1"' });
    const headers = { accept: "text/event-stream", "mcp-protocol-version": SESSION_VERSION, "last-event-id": "2" };
    const answer = await agent.call(url, { headers });
    assert.equal(answer.headers["etag"], undefined);
    assert.doesNotMatch(answer.text, /get-env|args-prompt/);
    assert.match(answer.text, /"tools": \[\{ "name":"echo"/);
  });

  test("no line of an event that only some readers take for data hides a list", async () => {
    const hidden = listOf("tools", [ENV]);
    // The SDK's reader drops a byte order mark that is encoded twice; others end a line at each of these, or at LF alone.
    const lines = [`\u00ef\u00bb\u00bfdata: ${hidden}`, `: \u2028data: ${hidden}`, `event: x\vdata: ${hidden}`];
    for (const line of lines) {
      answers(`${line}\ndata: ${listOf("tools", [ECHO])}\n\n`, EVENTS);
      assert.equal((await list("tools/list")).text, `data: ${listOf("tools", [ECHO])}\n\n`);
    }
    const [head, tail] = listOf("tools", [ECHO]).split("[") as [string, string];
    answers(`data: ${head}[\r{"name": "get-env"},\ndata: ${tail}\n\n`, EVENTS);
    assert.equal((await list("tools/list")).text, `data: ${head}[\ndata: ${tail}\n\n`);
  });

  test("an event that could be read in two ways ends the stream before it", async () => {
    const safe = 'data: {"jsonrpc":"2.0","method":"notifications/message"}\n\n';
    for (const event of [
      `data: ${listOf("Tools", [ENV])}\n\n`,
      "data: get-env\n\n",
      `data: [${listOf("tools", [ENV])}]\n\n`,
      `data: ${"x".repeat(100_001)}\n\n`,
    ]) {
      answers(safe + event + safe, EVENTS);
      const message = stateless("tools/list");
      const headers = { ...(await agent.headers(url, "POST")), ...(message.headers as Record<string, string>) };
      const asked = request(url, { method: "POST", headers, agent: false });
      asked.end(message.body);
      let text = "";
      await assert.rejects(async () => {
        const [stream] = (await once(asked, "response")) as [IncomingMessage];
        for await (const chunk of stream) text += String(chunk);
      });
      assert.doesNotMatch(text, /get-env|xxxx/);
    }
  });

  test("a route that observes shows the whole list, and logs what it would have shown", async () => {
    answers(listOf("tools", [ENV, ECHO]));
    const answer = await post(agent, `${g.url}/observed`, stateless("tools/list"));
    assert.equal(answer.text, listOf("tools", [ENV, ECHO]));
    assert.equal((await lineOf(answer))["detail"], "tools: 1 of 2 would be shown");
  });

  test("answers to calls are not lists: they pass as they come", async () => {
    const body = `{"jsonrpc":"2.0","id":7,"result":{"content":[],"structuredContent":{"tools":[${ENV}]}}}`;
    answers(body, { ...JSON_TYPE, etag: '"1"' });
    const answer = await post(agent, url, inSession("tools/call", { name: "echo" }));
    assert.deepEqual([answer.text, answer.headers["etag"]], [body, '"1"']);
  });
});
