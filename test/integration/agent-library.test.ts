// The library against the real issuer and the real gateway: launched, used, narrowed, refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAgent } from "../../src/agent/create-agent.ts";
import { CANDIDATE, startAgentGateway } from "../fixtures/agent-gateway.ts";

test("an agent is launched, and its fetch reads through the gateway with a key that only it has", async (t) => {
  const { g, issuer, launch } = await startAgentGateway(t);
  const agent = await createAgent({ issuer, launchToken: await launch() });
  const response = await agent.fetch(g.url + CANDIDATE);
  assert.equal(response.status, 200, await response.text());
  assert.equal(agent.id, `spiffe://acme.example/agent/hiring/rank-j42/${agent.thumbprint}`);
  assert.deepEqual(agent.scope, ["read:candidates:J42", "write:scores:J42"]);
  assert.deepEqual(agent.origins, [g.url]);
  assert.equal(g.tool.seen.length, 1);
  await assert.rejects(agent.fetch("http://127.0.0.1:1/"), { code: "target_refused" });
});
