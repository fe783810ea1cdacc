// `cordon tools` as an operator runs it: the real command against a whole gateway, with a server whose list is hostile.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { packageRoot } from "../../src/lib/package-root.ts";
import { mcpRoute, post, stateless } from "../fixtures/mcp-route.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 60_000 };
const CLI = join(packageRoot(import.meta.url), "src", "cli", "main.ts");
const ECHO = { name: "echo", description: "Says it again.", inputSchema: { type: "object" } };
/** A line that hides itself, one that runs backwards, a code of terminals, and words in invisible tags. */
const HOSTILE = "Says\u200b it\u202e again.\u001b[2J\u009b2J\u0007\r\n\u{e0041} Ok.";
const SHOWN = String.raw`Says\u200b it\u202e again.\u001b[2J\u009b2J\u0007\r\n\udb40\udc41 Ok.`;

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

describe("the commands for tools of MCP servers", LIMIT, () => {
  let g: TestGateway;
  let agent: TestAgent;
  let description = ECHO.description;
  before(async () => {
    g = await startTestGateway(({ toolUrl }) => ({ routes: [mcpRoute("notes", toolUrl)] }));
    agent = await g.agent();
    g.tool.answer = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ jsonrpc: "2.0", id: 7, result: { tools: [{ ...ECHO, description }] } }));
    };
  });
  after(() => g.close());

  async function list(served: string): Promise<string> {
    description = served;
    return (await post(agent, `${g.url}/notes`, stateless("tools/list"))).text;
  }
  function tools(...args: string[]): Promise<Outcome> {
    const env = { PATH: process.env["PATH"], CORDON_CONTROL_URL: g.control, CORDON_OPERATOR_KEY: g.operatorKey };
    return new Promise((resolve) => {
      execFile(process.execPath, [CLI, "tools", ...args], { env, timeout: 20_000 }, (error, out, errors) => {
        resolve({ code: error === null ? 0 : Number(error.code), out, error: errors });
      });
    });
  }

  test("what a hostile server wrote is shown escaped, and accepted only as it was looked at", async () => {
    assert.match(await list(ECHO.description), /"echo"/);
    assert.deepEqual(await tools("diff", "notes"), {
      code: 0,
      out: "Nothing of notes waits to be accepted.\n",
      error: "",
    });
    assert.match((await tools("list")).out, /^ROUTE .*\nnotes +echo +pinned +[0-9a-f]{12} /);

    assert.doesNotMatch(await list(HOSTILE), /"echo"/);
    assert.match((await tools("list")).out, /\nnotes +echo +changed /);
    const { code, out } = await tools("diff", "notes", "echo");
    assert.equal(code, 0);
    const [head = "", ...lines] = out.split("\n");
    assert.match(head, /^echo: changed, sha256 [0-9a-f]{64}$/);
    assert.deepEqual(lines, ["  description", `  - "${ECHO.description}"`, `  + "${SHOWN}"`, ""]);

    const digest = head.slice(-64);
    const why = ["--reason", "looked at it"];
    const stale = await tools("accept", "notes", "echo", "--digest", "0".repeat(64), ...why);
    assert.deepEqual([stale.code, stale.out], [1, ""]);
    assert.match(stale.error, /^echo is not what it was: /);
    assert.doesNotMatch(await list(HOSTILE), /"echo"/, "still hidden");
    const accepted = await tools("accept", "notes", "echo", "--digest", digest, ...why);
    assert.deepEqual(accepted, { code: 0, out: "In force from now on: echo.\n", error: "" });
    assert.match(await list(HOSTILE), /"echo"/);
  });

  test("a reason is asked for, and an unknown route is refused", async () => {
    const silent = await tools("accept", "notes");
    assert.deepEqual([silent.code, silent.out], [2, ""]);
    assert.match(silent.error, /--reason/);
    const unknown = await tools("diff", "elsewhere");
    assert.deepEqual([unknown.code, unknown.out], [1, ""]);
  });
});
