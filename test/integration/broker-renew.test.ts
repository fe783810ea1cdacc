// Renewal at the embedded issuer over a real socket: when, how often, by whom, and what a lost answer leaves behind.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type AgentBroker,
  granted,
  makeRecord,
  type Spawned,
  spawnedFrom,
  startAgentBroker,
} from "../fixtures/agent-broker.ts";
import { makeKey } from "../unit/token/token-fixtures.ts";

/** Three quarters of 300 s and a second: the test itself has the last quarter. */
const RENEWABLE_MS = 226_000;

async function renewed(issuer: AgentBroker, agent: Spawned, parameters = {}): Promise<Spawned> {
  return spawnedFrom(granted(await issuer.renew(agent, parameters)), agent.key);
}

async function codeOf(answer: Promise<{ readonly body: Readonly<Record<string, unknown>> }>): Promise<unknown> {
  return (await answer).body["code"];
}

test("a token is renewed from three quarters of its life on, for the same agent with the same claims", async (t) => {
  const issuer = await startAgentBroker(t);
  const agent = await issuer.spawn();
  const early = await issuer.renew(agent);
  assert.deepEqual(
    [early.status, early.body["error"], early.body["code"]],
    [400, "invalid_request", "renewal_too_early"],
  );
  await issuer.restart(RENEWABLE_MS);
  const next = await renewed(issuer, agent);
  const { jti, iat, exp, ...same } = next.claims;
  const { jti: oldJti, iat: oldIat, exp: oldExp, ...before } = agent.claims;
  assert.deepEqual(same, before);
  assert.notEqual(jti, oldJti);
  assert.equal(exp - iat, 300);
  assert.ok(exp > oldExp && iat > oldIat);
  assert.equal(issuer.logs.filter((entry) => entry.event === "token_renewed").length, 1);
});

test("the gateway is told which token was renewed, from when it is refused and for how long its streams live on", async (t) => {
  const issuer = await startAgentBroker(t);
  const agent = await issuer.spawn();
  await issuer.restart(RENEWABLE_MS);
  const next = await renewed(issuer, agent);
  const event = {
    kind: "superseded",
    token: `${issuer.issuer} ${agent.claims.jti}`,
    agent: agent.id,
    fromMs: next.claims.iat * 1000 + 10_000,
    untilMs: agent.claims.exp * 1000,
    agentExpiresMs: next.claims.exp * 1000,
  };
  await issuer.restart();
  // Once at the renewal, and again at the start, since the gateway may have been started anew as well.
  assert.deepEqual(issuer.fed, [event, event]);
});

test("asked again with the same token, key and request it is the same successor, also after a restart", async (t) => {
  const issuer = await startAgentBroker(t);
  const agent = await issuer.spawn();
  await issuer.restart(RENEWABLE_MS);
  const narrower = { scope: "read:candidates:J42" };
  const answers = await Promise.all(Array.from({ length: 6 }, () => issuer.renew(agent, narrower)));
  const tokens = answers.map((answer) => spawnedFrom(granted(answer), agent.key).claims);
  assert.equal(new Set(tokens.map(({ jti }) => jti)).size, 1);
  await issuer.restart(10_000);
  assert.deepEqual((await renewed(issuer, agent, narrower)).claims, tokens[0]);
  assert.equal(await codeOf(issuer.renew(agent)), "token_superseded", "another request is another renewal");
  const next = { ...agent, token: String(answers[0]?.body["access_token"]) };
  await issuer.restart(RENEWABLE_MS);
  await renewed(issuer, next, narrower);
  assert.equal(await codeOf(issuer.renew(agent, narrower)), "token_expired");
});

test("an answer that was lost can be asked for again until the old token ends", async (t) => {
  const issuer = await startAgentBroker(t);
  const agent = await issuer.spawn();
  await issuer.restart(RENEWABLE_MS);
  const second = await renewed(issuer, agent);
  await issuer.restart(40_000);
  assert.deepEqual((await renewed(issuer, agent)).claims, second.claims);
});

test("renewals are counted and end with the number that was granted", async (t) => {
  const issuer = await startAgentBroker(t);
  let agent = await issuer.spawn(await issuer.launch({ renewals_max: "2" }));
  for (let count = 0; count < 2; count++) {
    await issuer.restart(RENEWABLE_MS);
    agent = await renewed(issuer, agent);
  }
  await issuer.restart(RENEWABLE_MS);
  assert.equal(await codeOf(issuer.renew(agent)), "renewals_exhausted");
});

test("no renewal passes the end of the agent's authority", async (t) => {
  const issuer = await startAgentBroker(t);
  const agent = await issuer.spawn(await issuer.launch({ lifetime_s: "400" }));
  await issuer.restart(RENEWABLE_MS);
  const next = await renewed(issuer, agent);
  assert.equal(next.claims.exp, agent.claims.iat + 400);
  await issuer.restart(140_000);
  assert.equal(await codeOf(issuer.renew(next)), "authority_expired");
  await issuer.restart(40_000);
  assert.equal(await codeOf(issuer.renew(next)), "token_expired");
});

test("a renewal narrows for good and never widens again", async (t) => {
  const issuer = await startAgentBroker(t);
  const agent = await issuer.spawn();
  await issuer.restart(RENEWABLE_MS);
  const wider = [
    [{ scope: "read:candidates:*" }, "scope_wider"],
    [{ scope: "read:candidates:J42 delete:candidates:J42" }, "scope_wider"],
    [{ constraints: { job_id: "J43" } }, "constraint_wider"],
    [{ authorization_details: [{ type: "ranking" }] }, "details_wider"],
    [{ resource: "https://gateway.acme.example" }, "target_wider"],
  ] as const;
  for (const [parameters, code] of wider) assert.equal(await codeOf(issuer.renew(agent, parameters)), code);
  const next = await renewed(issuer, agent, { scope: "read:candidates:J42" });
  assert.equal(next.claims.scope, "read:candidates:J42");
  await issuer.restart(RENEWABLE_MS);
  assert.equal(await codeOf(issuer.renew(next, { scope: "read:candidates:J42 write:scores:J42" })), "scope_wider");
  assert.equal((await renewed(issuer, next)).claims.scope, "read:candidates:J42");
});

test("nobody renews with another key, with a forged token, or with a token of somebody else", async (t) => {
  const issuer = await startAgentBroker(t);
  const [agent, other] = [await issuer.spawn(), await issuer.spawn()];
  await issuer.restart(RENEWABLE_MS);
  assert.equal(await codeOf(issuer.renew({ ...agent, key: makeKey("ES256") })), "key_mismatch");
  assert.equal(await codeOf(issuer.renew({ ...agent, key: other.key })), "key_mismatch");
  const [header, payload, signature] = agent.token.split(".");
  const claims = { ...agent.claims, scope: "read:candidates:*" };
  const changed = Buffer.from(JSON.stringify(claims)).toString("base64url");
  const [, , foreign] = other.token.split(".");
  const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString("base64url");
  for (const token of [
    `${header}.${changed}.${signature}`,
    `${header}.${payload}.${foreign}`,
    `${none}.${payload}.x`,
    "not a token",
  ]) {
    assert.equal(await codeOf(issuer.renew({ ...agent, token })), "token_invalid");
  }
  await renewed(issuer, agent);
});

test("a ceiling that was lowered reaches agents that live already at their next renewal", async (t) => {
  const issuer = await startAgentBroker(t);
  const agent = await issuer.spawn();
  const [application] = issuer.config.applications;
  assert.ok(application);
  Object.assign(application, { scope: ["read:candidates:*"] });
  await issuer.restart(RENEWABLE_MS);
  assert.equal(await codeOf(issuer.renew(agent)), "scope_beyond_ceiling");
  await renewed(issuer, agent, { scope: "read:candidates:J42" });
});

test("a ceiling that was lowered in times, renewals, depth or orchestrations counts for agents that live already", async (t) => {
  const issuer = await startAgentBroker(t);
  const [renewing, delegating, launched] = [await issuer.spawn(), await issuer.spawn(), await issuer.launch()];
  const key = makeKey("ES256");
  const record = makeRecord(delegating, key);
  const [application] = issuer.config.applications;
  assert.ok(application);
  const lower = async (changes: Partial<typeof application>, laterMs = 0): Promise<void> => {
    Object.assign(application, changes);
    await issuer.restart(laterMs);
  };

  await lower({ depth_max: 0, token_ttl_s_max: 60, lifetime_s_max: 90 });
  assert.equal(await codeOf(issuer.requestDelegate(record, key)), "depth_exceeded");
  const { claims } = await issuer.spawn(launched);
  assert.equal(claims.exp - claims.iat, 60);
  assert.equal(Date.parse(String(claims.cordon["intent"]?.["expires_at"])) / 1000 - claims.iat, 90);
  await lower({ renewals_max: 0 }, RENEWABLE_MS);
  assert.equal(await codeOf(issuer.renew(renewing)), "renewals_exhausted");
  await lower({ renewals_max: 1, orchestrations: ["payroll"] });
  assert.equal(await codeOf(issuer.renew(renewing)), "orchestration_not_allowed");
  await lower({ orchestrations: ["hiring"], token_ttl_s_max: 120 });
  const next = await renewed(issuer, renewing);
  assert.equal(next.claims.exp - next.claims.iat, 120);
});
