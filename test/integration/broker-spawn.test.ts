// Launch and spawn at the embedded issuer over a real socket, also by public clients that this project did not write.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createRemoteJWKSet, jwtVerify } from "jose";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import { openState } from "../../src/broker/state/open-state.ts";
import {
  ACCESS_TOKEN,
  APPLICATION,
  CEILING,
  EXCHANGE_GRANT,
  LAUNCH,
  LAUNCH_GRANT,
  LAUNCH_TOKEN,
  makeRecord,
  RECORD,
  startAgentBroker,
  TASK_ID,
} from "../fixtures/agent-broker.ts";
import { GATEWAY_ORIGIN, OTHER_ORIGIN } from "../fixtures/test-broker.ts";
import { makeKey } from "../unit/token/token-fixtures.ts";

const DETAIL = { type: "ranking", actions: "read", limit: { max: 10 }, note: "own" };

test("oauth4webapi launches and openid-client spawns, by its own key, an agent whose token has the four claims", async (t) => {
  const issuer = await startAgentBroker(t);
  const url = new URL(issuer.issuer);
  const insecure = { [oauth.allowInsecureRequests]: true };
  const server = await oauth.processDiscoveryResponse(
    url,
    await oauth.discoveryRequest(url, { algorithm: "oauth2", ...insecure }),
  );
  const orchestrator: oauth.Client = { client_id: APPLICATION };
  const key = issuer.orchestratorKey.privateKey.toCryptoKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
  const parameters = {
    ...(LAUNCH as Record<string, string>),
    principal: JSON.stringify(LAUNCH["principal"]),
    constraints: JSON.stringify(LAUNCH["constraints"]),
    authorization_details: JSON.stringify([DETAIL]),
    session: JSON.stringify({ root_request: "req-1", initiator: { type: "schedule", id: "nightly" } }),
    manifest: JSON.stringify({ model: "claude-sonnet-5", environment: "production", image_digest: "sha256:00" }),
  };
  const launched = await oauth.processGenericTokenEndpointResponse(
    server,
    orchestrator,
    await oauth.genericTokenEndpointRequest(
      server,
      orchestrator,
      oauth.PrivateKeyJwt(key),
      LAUNCH_GRANT,
      parameters,
      insecure,
    ),
    { recognizedTokenTypes: { n_a: () => undefined } },
  );
  assert.equal(launched["issued_token_type"], LAUNCH_TOKEN);
  assert.equal(launched.token_type, "n_a");
  assert.equal(launched.expires_in, 30);
  assert.match(launched.access_token, /^hiring\.[\w-]{43}$/);

  const agent = await openid.discovery(url, launched["client_id"] as string, undefined, openid.None(), {
    algorithm: "oauth2",
    execute: [openid.allowInsecureRequests],
  });
  const DPoP = openid.getDPoPHandle(agent, await openid.randomDPoPKeyPair("ES256"));
  const spawned = await openid.genericGrantRequest(
    agent,
    EXCHANGE_GRANT,
    { subject_token: launched.access_token, subject_token_type: LAUNCH_TOKEN },
    { DPoP },
  );

  const thumbprint = await DPoP.calculateThumbprint();
  const id = `${TASK_ID}/${thumbprint}`;
  assert.equal(spawned.token_type, "dpop");
  assert.equal(spawned.expires_in, 300);
  assert.equal(spawned.scope, LAUNCH["scope"]);
  assert.equal(spawned["agent_id"], id);
  assert.deepEqual(spawned["authorization_details"], [DETAIL]);
  const { payload } = await jwtVerify(spawned.access_token, createRemoteJWKSet(new URL(`${issuer.issuer}/jwks`)), {
    issuer: issuer.issuer,
    audience: GATEWAY_ORIGIN,
    typ: "at+jwt",
    algorithms: ["ES256"],
  });
  const { jti, iat, exp, cordon, ...claims } = payload;
  assert.match(String(jti), /^[\w-]{36}$/);
  assert.equal(Number(exp) - Number(iat), 300);
  const { session, ...four } = cordon as { session: Record<string, unknown> };
  const { id: sessionId, ...origin } = session;
  assert.match(String(sessionId), /^[\w-]{22}$/);
  assert.deepEqual(claims, {
    iss: issuer.issuer,
    aud: GATEWAY_ORIGIN,
    sub: id,
    client_id: "hiring.agents",
    cnf: { jkt: thumbprint },
    scope: LAUNCH["scope"],
    authorization_details: [DETAIL],
    act: { sub: id },
  });
  assert.deepEqual(origin, {
    root_request: "req-1",
    initiator: { type: "schedule", id: "nightly" },
    depth: 0,
    chain: [],
  });
  assert.deepEqual(four, {
    agent: { id, trust_domain: "acme.example", orchestration: "hiring", task: "rank-j42", instance: thumbprint },
    principal: { type: "user", id: "recruiter_alice", issuer: issuer.issuer, attributes: { team: "people" } },
    intent: {
      task: "rank-j42",
      purpose: "rank-candidates",
      scope: ["read:candidates:J42", "write:scores:J42"],
      details: [DETAIL],
      constraints: { region: "eu", job_id: "J42" },
      expires_at: new Date((Number(iat) + 3600) * 1000).toISOString().replace(".000Z", "Z"),
    },
    provenance: {
      model: "claude-sonnet-5",
      model_version: "",
      deployment: "",
      environment: "production",
      config_digest: "",
      image_digest: "sha256:00",
      prompt_digest: "",
      publisher: "",
      verified: false,
    },
  });
});

test("an agent gets the scope, details, constraints and resource that it asks for where they are narrower", async (t) => {
  const issuer = await startAgentBroker(t);
  const key = makeKey("Ed25519");
  const launched = await issuer.launch({ authorization_details: [DETAIL], ttl_s: "60", lifetime_s: "90" });
  const { claims } = await issuer.spawn(launched, key, {
    scope: "read:candidates:J42",
    authorization_details: [{ ...DETAIL, limit: { max: 5 } }],
    constraints: { job_id: "J42", region: "eu", page: { max: 10 } },
    resource: OTHER_ORIGIN,
  });
  assert.equal(claims["aud"], OTHER_ORIGIN);
  assert.equal(claims.scope, "read:candidates:J42");
  assert.equal(claims.exp - claims.iat, 60);
  assert.deepEqual(claims.cordon["intent"]?.["constraints"], { region: "eu", job_id: "J42", page: { max: 10 } });
  assert.deepEqual(claims["authorization_details"], [{ ...DETAIL, limit: { max: 5 } }]);
  assert.equal(claims.cordon["agent"]?.["instance"], key.thumbprint);
});

test("an agent gets no other resource than the one that its launch named", async (t) => {
  const issuer = await startAgentBroker(t);
  const launched = await issuer.launch({ resource: OTHER_ORIGIN });
  const key = makeKey("ES256");
  const other = await issuer.requestSpawn(launched, key, { resource: GATEWAY_ORIGIN });
  assert.deepEqual([other.body["error"], other.body["code"]], ["invalid_target", "target_wider"]);
  const unknown = await issuer.requestSpawn(launched, key, { resource: "https://evil.example" });
  assert.equal(unknown.body["code"], "target_unknown");
  assert.equal((await issuer.spawn(launched, key, { resource: `${OTHER_ORIGIN}/` })).claims["aud"], OTHER_ORIGIN);
});

test("a constraint of the ceiling is inherited by a launch that does not name it", async (t) => {
  const issuer = await startAgentBroker(t);
  const { claims } = await issuer.spawn(await issuer.launch({ constraints: undefined }));
  assert.deepEqual(claims.cordon["intent"]?.["constraints"], { region: ["eu", "us"] });
});

test("a launch token is spent once, the second use is refused, logged and told as an alert", async (t) => {
  const issuer = await startAgentBroker(t);
  const launched = await issuer.launch();
  await issuer.spawn(launched);
  const { status, body } = await issuer.requestSpawn(launched, makeKey("ES256"));
  assert.deepEqual([status, body["error"], body["code"]], [400, "invalid_grant", "launch_token_spent"]);
  const line = issuer.logs.find((entry) => entry.event === "launch_token_reused");
  assert.equal(line?.level, "warn");
  assert.equal(line.alert, "high");
  assert.equal(line.client_id, APPLICATION);
  assert.ok(!JSON.stringify(issuer.logs).includes(launched), "no launch token in a log");
});

test("of many agents that redeem one launch token at the same instant, exactly one wins", async (t) => {
  const issuer = await startAgentBroker(t);
  await issuer.spawn(); // the nonce is known from here on
  const launched = await issuer.launch();
  const answers = await Promise.all(Array.from({ length: 24 }, () => issuer.requestSpawn(launched, makeKey("ES256"))));
  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  const codes = new Set(answers.filter(({ status }) => status !== 200).map(({ body }) => body["code"]));
  assert.deepEqual([...codes], ["launch_token_spent"]);
});

test("a refused spawn spends neither the launch token nor the key", async (t) => {
  const issuer = await startAgentBroker(t);
  const launched = await issuer.launch();
  const key = makeKey("ES256");
  const refused = await issuer.requestSpawn(launched, key, { scope: "read:candidates:J43" });
  assert.equal(refused.body["code"], "scope_wider");
  await issuer.spawn(launched, key);
});

test("a key is an agent's once for ever, also after the agent is gone and the issuer was started again", async (t) => {
  const issuer = await startAgentBroker(t);
  const { key } = await issuer.spawn();
  const again = await issuer.requestSpawn(await issuer.launch(), key);
  assert.deepEqual([again.status, again.body["code"]], [400, "key_used_before"]);
  await issuer.restart(90 * 86_400_000);
  assert.equal((await issuer.requestSpawn(await issuer.launch(), key)).body["code"], "key_used_before");
});

test("a launch token lives 30 seconds, and what was spent stays spent after a restart", async (t) => {
  const issuer = await startAgentBroker(t);
  const [late, spent] = [await issuer.launch(), await issuer.launch()];
  await issuer.spawn(spent);
  await issuer.restart(30_000);
  assert.equal((await issuer.requestSpawn(late, makeKey("ES256"))).body["code"], "launch_token_expired");
  assert.equal((await issuer.requestSpawn(spent, makeKey("ES256"))).body["code"], "launch_token_spent");
  assert.equal((await issuer.requestSpawn(`${late}x`, makeKey("ES256"))).body["code"], "launch_token_unknown");
});

test("what one application gave is worth nothing to the agents of another", async (t) => {
  const issuer = await startAgentBroker(t);
  const { jwk } = makeKey("ES256");
  const definition = { ...CEILING, name: "payroll", orchestrations: ["*"], jwks: { keys: [jwk] } };
  assert.ok((await issuer.broker.call("applications.add", { definition })).ok);
  const launched = await issuer.launch();
  const agent = await issuer.spawn();
  const [key, delegateKey] = [makeKey("ES256"), makeKey("ES256")];
  const codes: unknown[] = [];
  for (const client_id of ["payroll.agents", "nobody.agents"]) {
    for (const [subject_token, subject_token_type, by] of [
      [launched, LAUNCH_TOKEN, key],
      [agent.token, ACCESS_TOKEN, agent.key],
      [makeRecord(agent, delegateKey), RECORD, delegateKey],
    ] as const) {
      codes.push((await issuer.exchange({ client_id, subject_token, subject_token_type }, by)).body["code"]);
    }
  }
  assert.deepEqual(codes, [
    "launch_token_unknown",
    "token_invalid",
    "record_invalid",
    "invalid_client",
    "invalid_client",
    "invalid_client",
  ]);
  await issuer.spawn(launched, key);
});

test("each client may use its own grants only", async (t) => {
  const issuer = await startAgentBroker(t);
  const asOrchestrator = await issuer.requestLaunch({ grant_type: EXCHANGE_GRANT, subject_token: "x" });
  assert.equal(asOrchestrator.body["error"], "invalid_request");
  const asAgent = await issuer.exchange({ ...LAUNCH, grant_type: LAUNCH_GRANT }, makeKey("ES256"));
  assert.equal(asAgent.body["error"], "invalid_request");
  const unsigned = await issuer.post({ grant_type: LAUNCH_GRANT, client_id: APPLICATION, ...LAUNCH });
  assert.deepEqual([unsigned.status, unsigned.body["code"]], [401, "invalid_client"]);
  const forged = await issuer.requestLaunch({}, makeKey("ES256"));
  assert.deepEqual([forged.status, forged.body["code"]], [401, "invalid_client"]);
  const bare = await issuer.post({
    grant_type: EXCHANGE_GRANT,
    client_id: `${APPLICATION}.agents`,
    subject_token: await issuer.launch(),
    subject_token_type: LAUNCH_TOKEN,
  });
  assert.deepEqual([bare.body["error"], bare.body["code"]], ["invalid_dpop_proof", "proof_required"]);
});

test("the broker's database says which key signs", async (t) => {
  const issuer = await startAgentBroker(t);
  const { token } = await issuer.spawn();
  await issuer.broker.close();
  const state = openState(issuer.dataFolder, Date.now);
  t.after(() => state.close());
  const { kid } = JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()) as { kid: string };
  assert.deepEqual(
    state.keys.list().map((key) => [key.kid, key.state]),
    [[kid, "active"]],
  );
});

test("the broker's database is private and holds neither a launch token nor an access token", async (t) => {
  const issuer = await startAgentBroker(t);
  const launched = await issuer.launch();
  const { token } = await issuer.spawn(launched);
  const folder = join(issuer.dataFolder, "broker");
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  const files = readdirSync(folder).filter((name) => name.startsWith("broker.sqlite"));
  assert.ok(files.length > 0);
  for (const name of files) {
    assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
    const bytes = readFileSync(join(folder, name));
    assert.ok(!bytes.includes(launched.slice(APPLICATION.length + 1)), name);
    assert.ok(!bytes.includes(token.slice(-60)), name);
  }
});
