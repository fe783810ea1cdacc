// H12: a policy whose answer about a list is missing, malformed or no answer. Nothing of the list is shown.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { mcpRoute, post, stateless } from "../fixtures/mcp-route.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { misbehaving } from "../fixtures/policy-bundles.ts";

const LIST = '{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"echo"},{"name":"get-env"}]}}';
const EMPTY = LIST.replace(/\[.*\]/, "[]");

describe("H12 a policy that misbehaves when it is asked what is visible", { timeout: 60_000 }, () => {
  let folder: string;
  let g: TestGateway;
  let agent: TestAgent;
  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "cordon-h12-visible-"));
    const bundle = path.join(folder, "bundle.tar.gz");
    writeFileSync(bundle, misbehaving("asked"));
    g = await startTestGateway(({ toolUrl }) => ({
      policy: { bundle, watch: false, input_bytes_max: 1_100_000 },
      // The policy alone is tried here, with lists that differ from call to call.
      routes: [mcpRoute("mcp", toolUrl, { path: "/mcp/{candidate_id}", mcp: { tools: { pin: "off" } } })],
    }));
    agent = await g.agent();
  });
  after(async () => {
    await g.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function ask(mode: string, list: string): Promise<{ text: string; detail: unknown }> {
    g.tool.answer = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" }).end(list);
    };
    const answer = await post(agent, `${g.url}/mcp/${mode}`, stateless("tools/list"));
    assert.equal(answer.status, 200);
    const mine = (line: Record<string, unknown>): boolean =>
      line["request_id"] === answer.headers["x-cordon-request-id"];
    return { text: answer.text, detail: (await g.lines("access", mine)).find(mine)?.["detail"] };
  }

  test("H12 a well-formed answer shows what it names", async () => {
    const { text, detail } = await ask("list-good", LIST);
    assert.deepEqual([text, detail], [LIST.replace(',{"name":"get-env"}', ""), "tools: 1 of 2 shown"]);
  });

  for (const [mode, reason] of [
    ["list-undefined", "policy.undefined"],
    ["list-text", "policy.malformed_decision"],
    ["list-nested", "policy.malformed_decision"],
    ["list-object", "policy.malformed_decision"],
    ["list-conflict", "policy.error"],
  ] as const) {
    test(`H12 a policy in mode ${mode} shows nothing, and the log says ${reason}`, async () => {
      const { text, detail } = await ask(mode, LIST);
      assert.deepEqual([text, detail], [EMPTY, `tools: 0 of 2 shown, ${reason}`]);
      assert.equal((await ask("list-good", LIST)).detail, "tools: 1 of 2 shown", "the next one is good again");
    });
  }

  test("H12 a list that is too large to be judged shows nothing", async () => {
    const many = Array.from({ length: 40_000 }, (_, index) => `{"name":"tool-${index}-of-a-long-list"}`).join(",");
    const { text, detail } = await ask("list-good", LIST.replace("[", `[${many},`));
    assert.deepEqual([text, detail], [EMPTY, "tools: 0 of 40002 shown, policy.input_too_large"]);
  });
});
