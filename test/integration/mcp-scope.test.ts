// What a denied caller is told of the authority that it lacks: what the policy says to it, and nothing else.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { errorOf, inSession, mcpRoute, post, stateless } from "../fixtures/mcp-route.ts";
import { startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const ECHO = { name: "echo", arguments: { message: "hello" } };

describe("a scope that is missing", { timeout: 60_000 }, () => {
  let g: TestGateway;
  let agent: TestAgent;
  before(async () => {
    const ofServer = (server: string) => ({
      resource: { type: "mcp_tools", classification: "public", attributes: { server } },
    });
    g = await startTestGateway(({ toolUrl }) => ({
      routes: [
        mcpRoute("mcp", toolUrl),
        mcpRoute("payroll", toolUrl, ofServer("payroll")),
        mcpRoute("odd", toolUrl, ofServer('x", realm="evil')),
      ],
    }));
    agent = await g.agent();
  });
  after(() => g.close());

  test("an agent that lacks the server's scope is told which, whatever it asks for, and nothing else of the policy", async () => {
    const scope = "call:mcp:payroll";
    const challenge = `DPoP error="insufficient_scope", scope="${scope}", resource_metadata="${g.url}/.well-known/oauth-protected-resource"`;
    for (const message of [
      stateless("tools/call", ECHO),
      stateless("tools/call", { name: "no-such-tool", arguments: {} }),
      stateless("tools/list"),
      inSession("initialize", {}),
    ]) {
      const answer = await post(agent, `${g.url}/payroll`, message);
      assert.deepEqual(errorOf(answer), [403, 7, -32_003, "access_denied"]);
      assert.equal(answer.headers["www-authenticate"], challenge);
      const { request_id: _, ...data } = answer.json<{ error: { data: Record<string, unknown> } }>().error.data;
      assert.deepEqual(data, { code: "access_denied", status: 403, scope });
    }
    // What no other token would mend names no scope.
    const denied = await post(agent, `${g.url}/mcp`, stateless("tools/call", { name: "get-env", arguments: {} }));
    assert.doesNotMatch(`${denied.text} ${String(denied.headers["www-authenticate"])}`, /scope/);
    assert.equal(g.tool.seen.length, 0);
  });

  test("a scope that would write into the header is no decision, and is denied without one", async () => {
    const answer = await post(agent, `${g.url}/odd`, stateless("tools/call", ECHO));
    assert.deepEqual(errorOf(answer), [403, 7, -32_003, "access_denied"]);
    assert.match(String(answer.headers["www-authenticate"]), /^DPoP resource_metadata="[^"]+"$/);
    const id = String(answer.headers["x-cordon-request-id"]);
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === id;
    assert.equal((await g.lines("access", mine)).find(mine)?.["reason"], "policy.malformed_decision");
  });
});
