// Nonces of the broker that are not of it, or not of this time: no token, and the launch token stays as it was.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createBrokerServer } from "../../src/broker/create-broker-server.ts";
import { createProvider } from "../../src/broker/create-provider.ts";
import { createFeed } from "../../src/broker/feed.ts";
import { openKeyRing } from "../../src/broker/keys/key-ring.ts";
import { createSigningKey } from "../../src/broker/keys/signing-keys.ts";
import { openGrants } from "../../src/broker/open-grants.ts";
import { createReplayStore } from "../../src/broker/replay-store.ts";
import { openState } from "../../src/broker/state/open-state.ts";
import { type AgentBroker, EXCHANGE_GRANT, LAUNCH_TOKEN, startAgentBroker } from "../fixtures/agent-broker.ts";
import { GATEWAY_ORIGIN } from "../fixtures/test-broker.ts";
import { makeKey, type TestKey } from "../unit/token/token-fixtures.ts";

const NONCE_LIFE_MS_MAX = 300_000;

async function nonceOf(issuer: AgentBroker): Promise<string> {
  const { headers } = await spawnWith(issuer, "unused", makeKey("ES256"), undefined);
  return headers.get("dpop-nonce") as string;
}

/** One request, without a second one for a nonce. */
async function spawnWith(issuer: AgentBroker, launched: string, key: TestKey, nonce: string | undefined) {
  const form = {
    grant_type: EXCHANGE_GRANT,
    client_id: "hiring.agents",
    subject_token: launched,
    subject_token_type: LAUNCH_TOKEN,
  };
  const proof = await issuer.proof(key, nonce === undefined ? {} : { nonce });
  return issuer.post(form, { dpop: proof });
}

test("a nonce of another issuer, of the run before, made up, or none at all is answered with a new one", async (t) => {
  const [issuer, other] = [await startAgentBroker(t), await startAgentBroker(t)];
  const before = await nonceOf(issuer);
  await issuer.restart();
  const launched = await issuer.launch();
  const key = makeKey("ES256");
  for (const nonce of [await nonceOf(other), before, "made-up", "x".repeat(43), ""]) {
    const { status, body, headers } = await spawnWith(issuer, launched, key, nonce);
    assert.deepEqual([status, body["error"], body["code"]], [400, "use_dpop_nonce", "use_dpop_nonce"]);
    assert.notEqual(headers.get("dpop-nonce"), nonce);
    assert.equal(headers.get("cache-control"), "no-store");
  }
  const answer = await spawnWith(issuer, launched, key, await nonceOf(issuer));
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
});

test("a nonce that has expired is answered with a new one", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  const dataFolder = mkdtempSync(join(tmpdir(), "cordon-nonce-"));
  const fixture = await startAgentBroker(t);
  const { config: broker } = fixture;
  await fixture.broker.close();
  const nowMs = () => Date.now();
  const fail = (error: Error) => {
    throw error;
  };
  const file = join(dataFolder, "broker", "keys.json");
  const ring = {
    nowMs,
    rotationMs: 86_400_000,
    overlapMs: 600_000,
    restartOverlapMs: 600_000,
    onChange: () => undefined,
  };
  const keyRing = await openKeyRing({ file, create: createSigningKey, ...ring, onProblem: fail });
  const state = openState(dataFolder, nowMs);
  const publicOrigins = [GATEWAY_ORIGIN];
  const feed = createFeed(() => undefined);
  const grants = await openGrants({ broker, publicOrigins, keyRing, state, feed, nowMs, tell: () => undefined });
  const provider = createProvider({
    broker,
    publicOrigins,
    keyRing,
    clientKeys: new Map(),
    replayStore: createReplayStore(() => performance.now()),
    assertionsFromMs: 0,
    grants,
  });
  const server = createBrokerServer({
    provider,
    issuer: broker.issuer,
    keyRing,
    keyOverlapS: broker.key_overlap_s,
    onConnectionRefused: () => undefined,
  });
  server.listen(broker.port, broker.address);
  await once(server, "listening");
  t.after(async () => {
    keyRing.close();
    server.closeAllConnections();
    server.close();
    await state.close();
    rmSync(dataFolder, { recursive: true, force: true });
  });

  const nonce = await nonceOf(fixture);
  assert.equal((await spawnWith(fixture, await fixture.launch(), makeKey("ES256"), nonce)).status, 200);
  t.mock.timers.setTime(Date.now() + NONCE_LIFE_MS_MAX);
  const launched = await fixture.launch();
  const key = makeKey("ES256");
  const { status, body, headers } = await spawnWith(fixture, launched, key, nonce);
  assert.deepEqual([status, body["error"]], [400, "use_dpop_nonce"]);
  const fresh = headers.get("dpop-nonce") as string;
  assert.equal((await spawnWith(fixture, launched, key, fresh)).status, 200);
});

test("a proof for another URL, another method or another token endpoint is refused, and one proof serves once", async (t) => {
  const issuer = await startAgentBroker(t);
  const nonce = await nonceOf(issuer);
  const launched = await issuer.launch();
  const key = makeKey("ES256");
  const form = {
    grant_type: EXCHANGE_GRANT,
    client_id: "hiring.agents",
    subject_token: launched,
    subject_token_type: LAUNCH_TOKEN,
  };
  for (const url of ["https://evil.example/token", `${issuer.issuer}/release`, GATEWAY_ORIGIN]) {
    const { status, body } = await issuer.post(form, { dpop: await issuer.proof(key, { nonce, url }) });
    assert.deepEqual([status, body["code"]], [400, "invalid_dpop_proof"], url);
  }
  const dpop = await issuer.proof(key, { nonce });
  // The first one is refused for another reason, and has used the proof up all the same.
  const [refused, replayed] = [
    await issuer.post({ ...form, scope: "read:candidates:*" }, { dpop }),
    await issuer.post(form, { dpop }),
  ];
  assert.deepEqual(
    [refused.body["code"], replayed.status, replayed.body["code"]],
    ["scope_wider", 400, "invalid_grant"],
  );
  const both = { dpop: await issuer.proof(key, { nonce }) };
  const answers = await Promise.all([
    issuer.post({ ...form, scope: "read:candidates:*" }, both),
    issuer.post(form, both),
  ]);
  assert.equal(answers.filter(({ body }) => body["code"] === "invalid_grant").length, 1);
});
