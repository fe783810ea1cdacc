// What was issued is ended: by operators at four levels, by an orchestrator or the holder at /revoke, and seen at /introspect.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { SignJWT } from "jose";
import * as oauth from "oauth4webapi";
import {
  type AgentBroker,
  APPLICATION,
  CEILING,
  type Spawned,
  startAgentBroker,
  TASK_ID,
  TRUST_DOMAIN,
} from "../fixtures/agent-broker.ts";
import type { Cleanup } from "../fixtures/test-broker.ts";
import { makeKey, type TestKey } from "../unit/token/token-fixtures.ts";

const ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const BY = { reason: "left the company", by: "soc-1" };

/** A client's request at one of the two endpoints; the orchestrator's where nothing else is said. */
async function ask(b: AgentBroker, path: string, token: string, client = APPLICATION, key = b.orchestratorKey) {
  const assertion = await b.assertion({ iss: client, sub: client }, key);
  return b.post({ client_id: client, client_assertion_type: ASSERTION, client_assertion: assertion, token }, {}, path);
}

const introspect = async (b: AgentBroker, token: string) => (await ask(b, "/introspect", token)).body;

const holder = (b: AgentBroker, path: string, token: string) =>
  b.post({ client_id: `${APPLICATION}.agents`, token }, {}, path);

const tokenId = (b: AgentBroker, agent: Spawned) => `${b.issuer} ${agent.claims.jti}`;
const chainId = (b: AgentBroker, agent: Spawned) => `${b.issuer} ${String(agent.claims.cordon["session"]?.["id"])}`;

/** The operators' API checks what an application is; here it comes as it would from there. */
async function addApplication(b: AgentBroker, name: string, key: TestKey) {
  const { kty, crv, x, y } = key.jwk;
  const definition = { ...CEILING, name, jwks: { keys: [{ kty, crv, x, y }] } };
  const added = await b.broker.call("applications.add", { definition });
  assert.ok(added.ok, JSON.stringify(added));
}

async function startWithResourceServer(t: Cleanup) {
  const key = makeKey("ES256");
  const b = await startAgentBroker(t);
  const jwks = join(b.dataFolder, "gateway.jwks.json");
  writeFileSync(jwks, JSON.stringify({ keys: [key.jwk] }));
  const own = await startAgentBroker(t, { broker: { resource_servers: [{ client_id: "tool", jwks }] } });
  return { b: own, key };
}

suite("what was issued is ended", () => {
  test("an operator ends a token, an agent, a chain or a task: it is on disk, fed to the gateway, and stays ended", async (t) => {
    const b = await startAgentBroker(t);
    const agents = [await b.spawn(), await b.spawn(), await b.spawn(), await b.spawn()] as const;
    const [byToken, byAgent, byChain, byTask] = agents;
    const wanted = [
      { level: "token", id: tokenId(b, byToken), agents: 0 },
      { level: "agent", id: byAgent.id, agents: 1 },
      { level: "chain", id: chainId(b, byChain), agents: 1 },
      // The one whose token was revoked still stands as an agent of the task.
      { level: "task", id: TASK_ID, agents: 2 },
    ] as const;
    for (const [index, { level, id, agents: count }] of wanted.entries()) {
      assert.equal((await introspect(b, agents[index]?.token ?? ""))["active"], true, level);
      const revoked = await b.broker.call("revocations.revoke", { level, id, ...BY });
      assert.ok(revoked.ok, JSON.stringify(revoked));
      assert.deepEqual([revoked.value.agents, revoked.value.enforced], [count, true], level);
      assert.deepEqual(await introspect(b, agents[index]?.token ?? ""), { active: false });
      const event = b.fed.find((one) => one.kind === "revoked" && one.level === level && one.id === id);
      assert.ok(event?.kind === "revoked" && event.reason === BY.reason);
      // No shorter than the token lives, and bounded: the gateway forgets it then.
      assert.ok(event.untilMs > byTask.claims.exp * 1000 && event.untilMs < (byTask.claims.exp + 180) * 1000);
    }
    assert.equal((await b.requestLaunch()).body["code"], "task_revoked");

    b.fed.length = 0;
    await b.restart();
    assert.deepEqual(
      b.fed.map((event) => event.kind === "revoked" && `${event.level} ${event.id}`),
      wanted.map(({ level, id }) => `${level} ${id}`),
    );
    for (const { token } of agents) assert.deepEqual(await introspect(b, token), { active: false });
  });

  test("a launch token that was out when its task was revoked gives no agent", async (t) => {
    const b = await startAgentBroker(t);
    const launch = await b.launch();
    const revoked = await b.broker.call("revocations.revoke", { level: "task", id: TASK_ID, ...BY });
    assert.ok(revoked.ok && revoked.value.agents === 0);
    assert.equal((await b.requestSpawn(launch, makeKey("ES256"))).body["code"], "task_revoked");
  });

  test("a revoked agent takes everyone along whom it delegated to, at any depth, and nobody else; none can renew", async (t) => {
    const b = await startAgentBroker(t);
    const root = await b.spawn();
    const child = await b.delegate(root);
    const [grandchild, sibling] = [await b.delegate(child), await b.delegate(root)];
    const revoked = await b.broker.call("revocations.revoke", { level: "agent", id: child.id, ...BY });
    assert.deepEqual(revoked.ok && revoked.value.agents, 2);
    for (const [agent, active] of [
      [root, true],
      [child, false],
      [grandchild, false],
      [sibling, true],
    ] as const) {
      assert.equal((await introspect(b, agent.token))["active"], active);
    }
    // Late enough for a renewal, which would otherwise be refused for that.
    await b.restart(226_000);
    for (const agent of [child, grandchild]) {
      const renewed = await b.renew(agent);
      assert.equal(renewed.status, 400);
      assert.match(String(renewed.body["code"]), /^(?:agent_ended|token_revoked|ancestor_revoked)$/);
    }
    assert.equal((await b.renew(root)).status, 200);
    assert.equal((await b.renew(sibling)).status, 200);
  });

  test("what the issuer does not know is refused with a sentence, and nothing is written or fed", async (t) => {
    const b = await startAgentBroker(t);
    for (const [level, id] of [
      ["agent", `${TASK_ID}/nobody`],
      ["chain", `${b.issuer} nothing`],
      ["token", "https://idp.example j1"],
      ["task", "spiffe://other.example/agent/o/t"],
    ] as const) {
      const refused = await b.broker.call("revocations.revoke", { level, id, ...BY });
      assert.ok(!refused.ok && refused.error.status === 404, level);
      assert.match(refused.error.detail, /block it instead/);
    }
    assert.deepEqual(b.fed, []);
  });

  test("an orchestrator revokes a token of its own agents, and 200 says nothing of whether there was one", async (t) => {
    const b = await startAgentBroker(t);
    const otherKey = makeKey("ES256");
    await addApplication(b, "billing", otherKey);
    const agent = await b.spawn();
    const forged = await new SignJWT({ ...agent.claims })
      .setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: "k" })
      .sign(otherKey.privateKey);
    for (const [token, client, key] of [
      ["unknown", APPLICATION, b.orchestratorKey],
      [forged, APPLICATION, b.orchestratorKey],
      [agent.token, "billing", otherKey],
    ] as const) {
      assert.equal((await ask(b, "/revoke", token, client, key)).status, 200);
      assert.equal((await introspect(b, agent.token))["active"], true);
    }
    assert.equal((await ask(b, "/revoke", agent.token)).status, 200);
    assert.deepEqual(await introspect(b, agent.token), { active: false });
    assert.deepEqual(
      b.fed.map((event) => event.kind === "revoked" && [event.level, event.id]),
      [["token", tokenId(b, agent)]],
    );
  });

  test("whoever holds a token may give it up, by the public client of agents", async (t) => {
    const b = await startAgentBroker(t);
    const [agent, other] = [await b.spawn(), await b.spawn()];
    const { token } = agent;
    const server = { issuer: b.issuer, revocation_endpoint: `${b.issuer}/revoke` };
    const client = { client_id: `${APPLICATION}.agents` };
    const response = await oauth.revocationRequest(server, client, oauth.None(), token, {
      [oauth.allowInsecureRequests]: true,
    });
    await oauth.processRevocationResponse(response);
    assert.deepEqual(await introspect(b, token), { active: false });
    assert.equal((await introspect(b, other.token))["active"], true);
  });

  test("introspection tells the orchestrator and a registered resource server of a live token, and no one else", async (t) => {
    const { b, key } = await startWithResourceServer(t);
    const otherKey = makeKey("ES256");
    await addApplication(b, "billing", otherKey);
    const agent = await b.spawn();
    const server = { issuer: b.issuer, introspection_endpoint: `${b.issuer}/introspect` };
    const signer = await crypto.subtle.importKey(
      "jwk",
      key.privateKey.export({ format: "jwk" }),
      { name: "ECDSA", namedCurve: "P-256" },
      false,
      ["sign"],
    );
    const client = { client_id: "tool" };
    const response = await oauth.introspectionRequest(server, client, oauth.PrivateKeyJwt(signer), agent.token, {
      [oauth.allowInsecureRequests]: true,
    });
    const told = await oauth.processIntrospectionResponse(server, client, response);
    const { iss, sub, aud, client_id, jti, iat, exp, scope, cnf, act, authorization_details } = agent.claims;
    const claims = { iss, sub, aud, client_id, jti, iat, exp, scope, cnf, act, authorization_details };
    assert.deepEqual(told, { active: true, token_type: "DPoP", ...claims });
    assert.equal(response.headers.get("cache-control"), "no-store");

    assert.equal((await introspect(b, agent.token))["active"], true);
    assert.deepEqual((await ask(b, "/introspect", agent.token, "billing", otherKey)).body, { active: false });
    assert.deepEqual((await holder(b, "/introspect", agent.token)).body, { active: false });
    assert.equal((await ask(b, "/introspect", agent.token, APPLICATION, otherKey)).status, 401);
    assert.equal((await b.post({ token: agent.token }, {}, "/introspect")).status, 400);
    for (const token of ["x", agent.token.slice(0, -4), `${agent.token.slice(0, -8)}AAAAAAAA`, "a.b.c"]) {
      assert.deepEqual(await introspect(b, token), { active: false });
    }
    // A resource server asks; it revokes nothing and gets no token.
    await ask(b, "/revoke", agent.token, "tool", key);
    assert.equal((await introspect(b, agent.token))["active"], true);
  });

  test("an expired token is not active", async (t) => {
    const b = await startAgentBroker(t);
    const { token } = await b.spawn();
    await b.restart(301_000);
    assert.deepEqual((await ask(b, "/introspect", token)).body, { active: false });
  });

  test("both endpoints take a form by POST, and are named in the metadata", async (t) => {
    const b = await startAgentBroker(t);
    const metadata = (await (await fetch(`${b.issuer}/.well-known/oauth-authorization-server`)).json()) as object;
    for (const [name, path] of [
      ["revocation", "/revoke"],
      ["introspection", "/introspect"],
    ] as const) {
      assert.equal((metadata as Record<string, unknown>)[`${name}_endpoint`], b.issuer + path);
      assert.equal((await fetch(b.issuer + path)).status, 405);
      assert.equal((await fetch(`${b.issuer}${path}?token=x`, { method: "POST", body: "" })).status, 400);
      const missing = await ask(b, path, "");
      assert.deepEqual(
        [missing.status, missing.body["error"], missing.body["code"]],
        [400, "invalid_request", "invalid_request"],
      );
    }
  });

  test("an application that is removed takes its agents along, also where it was the configuration file that lost it", async (t) => {
    const b = await startAgentBroker(t);
    const key = makeKey("ES256");
    await addApplication(b, "billing", key);
    const launch = { client_assertion: await b.assertion({ iss: "billing", sub: "billing" }, key) };
    const launchToken = await b.launch(launch);
    const spawned = await b.exchange(
      {
        client_id: "billing.agents",
        subject_token: launchToken,
        subject_token_type: "urn:cordon:params:oauth:token-type:launch-token",
      },
      makeKey("ES256"),
    );
    const token = String(spawned.body["access_token"]);
    assert.equal((await ask(b, "/introspect", token, "billing", key)).body["active"], true);
    const removed = await b.broker.call("applications.remove", { name: "billing", ...BY });
    assert.deepEqual(removed.ok && removed.value, { name: "billing", agents: 1, enforced: true });
    assert.deepEqual(
      b.fed.map((event) => event.kind === "revoked" && [event.level, event.id]),
      [["agent", spawned.body["agent_id"]]],
    );
    assert.equal((await ask(b, "/introspect", token, "billing", key)).status, 401);

    const agent = await b.spawn();
    b.fed.length = 0;
    Object.assign(b.config, { applications: [] });
    await b.restart();
    assert.ok(b.fed.some((event) => event.kind === "revoked" && event.id === agent.id));
    assert.ok(agent.id.startsWith(`spiffe://${TRUST_DOMAIN}/`));
  });
});
