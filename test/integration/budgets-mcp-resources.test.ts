// A budget per tool, of what has no tool: a resource's URI is the agent's own text, and no name to count by.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startJudgingGateway } from "../fixtures/judging-gateway.ts";
import { errorOf, post, stateless } from "../fixtures/mcp-route.ts";

test("a resource in another spelling is no other tool: all of a server's count together", {
  timeout: 60_000,
}, async (t) => {
  const j = await startJudgingGateway({
    budgets: [{ name: "reads", match: { routes: ["mcp"] }, per: ["agent", "tool"], calls_total: 2 }],
  });
  t.after(() => j.close());
  const agent = await j.g.agent();
  j.answers('{"jsonrpc":"2.0","id":7,"result":{"contents":[]}}');
  const read = (uri: string) => post(agent, j.mcp, stateless("resources/read", { uri }));
  assert.deepEqual([(await read("demo://x")).status, (await read("demo://x?1")).status], [200, 200]);
  assert.deepEqual(errorOf(await read("demo://x?2")), [429, 7, -32_000, "budget_exhausted"]);
  const prompt = await post(agent, j.mcp, stateless("prompts/get", { name: "simple-prompt" }));
  assert.equal(prompt.status, 200, "a prompt has its own");
});
