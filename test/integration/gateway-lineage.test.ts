// The whole way, with the real issuer: launched, delegated, used, verified offline, revoked, and still revoked after a restart.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { type Agent, createAgent } from "../../src/agent/create-agent.ts";
import { createKey } from "../../src/agent/create-key.ts";
import { packageRoot } from "../../src/lib/package-root.ts";
import { type AgentGateway, CANDIDATE, startAgentGateway } from "../fixtures/agent-gateway.ts";
import { startTestGateway, type TestGateway } from "../fixtures/test-gateway.ts";

/** A root agent and a chain of delegates, each with the key that its record was made for. */
async function startChain({ g, issuer, launch }: AgentGateway, hops: number): Promise<readonly [Agent, ...Agent[]]> {
  const root = await createAgent({ issuer, launchToken: await launch(), resource: g.url });
  const chain: [Agent, ...Agent[]] = [root];
  let last = root;
  for (let hop = 1; hop <= hops; hop++) {
    const key = createKey(hop % 2 === 0 ? "EdDSA" : "ES256");
    const delegation = await last.delegate({
      delegateThumbprint: key.thumbprint,
      purpose: "rank-candidates",
      scope: ["read:candidates:J42"],
      constraints: { job_id: "J42" },
    });
    last = await createAgent({ delegation, key, resource: g.url });
    chain.push(last);
  }
  return chain;
}

const statusOf = async (agent: Agent, g: TestGateway): Promise<number> => (await agent.fetch(g.url + CANDIDATE)).status;

test("five delegates in a row work through the gateway, and the command proves their lineage with the published keys", async (t) => {
  const gateway = await startAgentGateway(t, { threads: 2 });
  const { g, issuer } = gateway;
  const chain = await startChain(gateway, 5);
  for (const agent of chain) assert.equal(await statusOf(agent, g), 200, agent.id);
  const last = chain[5];
  assert.ok(last);
  const jwks = path.join(g.folder, "published.json");
  writeFileSync(jwks, await (await fetch(`${issuer}/jwks`)).text());
  const main = path.join(packageRoot(), "src", "cli", "main.ts");
  const args = [main, "verify", "token", "-", "--jwks", jwks, "--issuer", issuer, "--audience", g.url, "--json"];
  const { status, stdout } = spawnSync(process.execPath, args, { input: await last.accessToken(), encoding: "utf8" });
  assert.equal(status, 0, stdout);
  const report = JSON.parse(stdout) as { lineage: { id: string; scope: string[] }[] };
  assert.deepEqual(
    report.lineage.map(({ id }) => id),
    chain.map(({ id }) => id),
  );
  assert.deepEqual(report.lineage[1]?.scope, ["read:candidates:J42"]);
});

test("a root agent that an operator revokes takes its delegates along, at once and after a restart; others go on", async (t) => {
  const gateway = await startAgentGateway(t, { threads: 2 });
  const { g } = gateway;
  const [root, delegate] = await startChain(gateway, 1);
  const [other] = await startChain(gateway, 0);
  assert.ok(delegate);
  for (const agent of [root, delegate, other]) assert.equal(await statusOf(agent, g), 200);
  const body = { id: root.id, reason: "a test of revocation" };
  const revoked = await g.operate("POST", "/v1/revocations/agent", body);
  assert.equal(revoked.status, 200, revoked.text);
  for (const agent of [root, delegate]) assert.equal(await statusOf(agent, g), 401, agent.id);
  assert.equal(await statusOf(other, g), 200);

  // The same configuration but for the tool, which is a new one.
  const { routes: _routes, ...settings } = parse(readFileSync(path.join(g.folder, "cordon.yaml"), "utf8")) as Record<
    string,
    unknown
  >;
  await g.close();
  const again = await startTestGateway(settings, { folder: g.folder });
  t.after(() => again.close());
  assert.equal(again.url, g.url);
  for (const agent of [root, delegate]) assert.equal(await statusOf(agent, again), 401, agent.id);
  assert.equal(await statusOf(other, again), 200);
});
