// Delegated spawn at the embedded issuer over a real socket: what a delegate gets, and how its end follows its delegator's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { rootDelegator, verifyDelegationChain } from "../../src/lib/delegation-record.ts";
import { parseDelegationClaim } from "../../src/lib/parse-delegation-record.ts";
import { granted, makeRecord, type Spawned, spawnedFrom, startAgentBroker, TASK_ID } from "../fixtures/agent-broker.ts";
import { makeKey } from "../unit/token/token-fixtures.ts";

const RENEWABLE_MS = 226_000;

test("a delegate gets its own id and token from a record that its delegator signed offline", async (t) => {
  const issuer = await startAgentBroker(t);
  const root = await issuer.spawn(
    await issuer.launch({ manifest: JSON.stringify({ model: "m" }), session: { root_request: "r" } }),
  );
  const key = makeKey("Ed25519");
  const constraints = { region: "eu", job_id: "J42", page: { max: 5 } };
  const delegate = await issuer.delegate(
    root,
    { scope: ["read:candidates:J42"], constraints, exp: root.claims.iat + 100, purpose: "read them" },
    key,
  );
  const { cordon } = delegate.claims;
  assert.equal(delegate.id, `${TASK_ID}/${key.thumbprint}`);
  assert.equal(delegate.claims["sub"], delegate.id);
  assert.deepEqual(delegate.claims["cnf"], { jkt: key.thumbprint });
  assert.equal(delegate.claims.scope, "read:candidates:J42");
  assert.deepEqual(delegate.claims["act"], { sub: delegate.id, act: { sub: root.id } });
  assert.deepEqual(cordon["principal"], root.claims.cordon["principal"]);
  assert.equal(cordon["intent"]?.["purpose"], "read them");
  assert.deepEqual(cordon["intent"]?.["constraints"], constraints);
  assert.equal(Date.parse(String(cordon["intent"]?.["expires_at"])), (root.claims.iat + 100) * 1000);
  assert.ok(delegate.claims.exp <= root.claims.iat + 100);
  assert.equal(cordon["provenance"]?.["model"], "m");
  assert.deepEqual(cordon["session"], {
    ...root.claims.cordon["session"],
    depth: 1,
    chain: [
      {
        delegator: root.id,
        delegate: delegate.id,
        scope: ["read:candidates:J42"],
        at: new Date(root.claims.iat * 1000).toISOString().replace(".000Z", "Z"),
      },
    ],
  });
});

test("a chain of five hops is verified offline from its last token alone, which still fits into a header", async (t) => {
  const issuer = await startAgentBroker(t);
  let agent: Spawned = await issuer.spawn();
  const ids = [agent.id];
  for (let depth = 1; depth <= 5; depth++) {
    agent = await issuer.delegate(agent, {}, makeKey(depth % 2 === 0 ? "ES256" : "Ed25519"));
    ids.push(agent.id);
  }
  const claim = parseDelegationClaim(agent.claims.cordon["delegation"]);
  assert.ok(claim.ok);
  const { session, principal } = agent.claims.cordon;
  const chain = verifyDelegationChain(
    claim.value.records,
    rootDelegator(claim.value.root, {
      session: String(session?.["id"]),
      principal: principal as unknown as { type: string; id: string; issuer: string },
    }),
  );
  assert.ok(chain.ok);
  assert.deepEqual([claim.value.root.id, ...chain.value.map(({ record }) => record.sub)], ids);
  assert.ok(agent.token.length <= 16_384);
  const actors: unknown[] = [];
  for (let act = agent.claims["act"] as { sub: string; act?: unknown } | undefined; act !== undefined; ) {
    actors.push(act.sub);
    act = act.act as typeof act;
  }
  assert.deepEqual(actors, ids.toReversed());
});

test("a delegate's token ends with its delegator's latest one and is renewed after it", async (t) => {
  const issuer = await startAgentBroker(t);
  const root = await issuer.spawn();
  await issuer.restart(30_000);
  const delegate = await issuer.delegate(root);
  assert.equal(delegate.claims.exp, root.claims.exp);
  await issuer.restart(RENEWABLE_MS);
  assert.equal((await issuer.renew(delegate)).body["code"], "parent_not_renewed");
  const renewedRoot = spawnedFrom(granted(await issuer.renew(root)), root.key);
  const renewed = spawnedFrom(granted(await issuer.renew(delegate)), delegate.key);
  assert.ok(renewed.claims.exp > delegate.claims.exp && renewed.claims.exp <= renewedRoot.claims.exp);
  assert.deepEqual(renewed.claims.cordon, delegate.claims.cordon);
});

test("what a delegator gave up it can no longer delegate, and its delegates lose it at their renewal", async (t) => {
  const issuer = await startAgentBroker(t);
  const root = await issuer.spawn();
  const delegate = await issuer.delegate(root);
  await issuer.restart(RENEWABLE_MS);
  granted(await issuer.renew(root, { scope: "read:candidates:J42" }));
  const key = makeKey("ES256");
  assert.equal((await issuer.requestDelegate(makeRecord(root, key), key)).body["code"], "scope_wider");
  assert.equal((await issuer.renew(delegate)).body["code"], "scope_wider");
  granted(await issuer.renew(delegate, { scope: "read:candidates:J42" }));
});

test("a delegate may ask for less than its record gives, and brings its own manifest", async (t) => {
  const issuer = await startAgentBroker(t);
  const root = await issuer.spawn();
  const key = makeKey("ES256");
  const answer = await issuer.requestDelegate(makeRecord(root, key), key, {
    scope: "read:candidates:J42",
    manifest: { model: "small" },
  });
  const { claims } = spawnedFrom(granted(answer), key);
  assert.equal(claims.scope, "read:candidates:J42");
  assert.equal(claims.cordon["provenance"]?.["model"], "small");
  const wider = makeKey("ES256");
  const record = makeRecord(root, wider, { scope: ["read:candidates:J42"] });
  const refused = await issuer.requestDelegate(record, wider, { scope: "write:scores:J42" });
  assert.equal(refused.body["code"], "scope_wider");
});

test("a record serves once, and nobody but the holder of its key", async (t) => {
  const issuer = await startAgentBroker(t);
  const root = await issuer.spawn();
  const [key, thief] = [makeKey("ES256"), makeKey("ES256")];
  const record = makeRecord(root, key);
  assert.equal((await issuer.requestDelegate(record, thief)).body["code"], "delegate_mismatch");
  granted(await issuer.requestDelegate(record, key));
  assert.equal((await issuer.requestDelegate(record, key)).body["code"], "key_used_before");
});

test("a release ends the agent and every delegate of it, the gateway is told, and a second one is the same", async (t) => {
  const issuer = await startAgentBroker(t);
  const root = await issuer.spawn();
  const child = await issuer.delegate(root);
  const grandchild = await issuer.delegate(child);
  const sibling = await issuer.delegate(root);
  const released = await issuer.release(child);
  assert.equal(released.status, 204);
  const [event] = issuer.fed;
  assert.deepEqual(event, {
    kind: "revoked",
    level: "agent",
    id: child.id,
    untilMs: child.claims.exp * 1000 + 120_000,
    reason: "released",
  });
  assert.equal((await issuer.release(child)).status, 204);
  assert.equal(issuer.fed.length, 1);
  await issuer.restart(RENEWABLE_MS);
  assert.deepEqual(issuer.fed, [event, event], "what is revoked is told again at the start");
  assert.equal((await issuer.renew(child)).body["code"], "agent_ended");
  assert.equal((await issuer.renew(grandchild)).body["code"], "agent_ended");
  granted(await issuer.renew(root));
  granted(await issuer.renew(sibling));
  const key = makeKey("ES256");
  assert.equal((await issuer.requestDelegate(makeRecord(child, key), key)).body["code"], "ancestor_revoked");
});

test("nobody releases an agent without its key", async (t) => {
  const issuer = await startAgentBroker(t);
  const [agent, other] = [await issuer.spawn(), await issuer.spawn()];
  const foreign = await issuer.release({ ...agent, key: other.key });
  assert.deepEqual([foreign.status, foreign.body["code"]], [401, "invalid_token"]);
  const url = `${issuer.issuer}/release`;
  const dpop = await issuer.proof(agent.key, { url, token: other.token });
  const wrong = await issuer.post({}, { authorization: `DPoP ${agent.token}`, dpop }, "/release");
  assert.deepEqual([wrong.status, wrong.body["code"]], [401, "invalid_dpop_proof"]);
  const bare = await issuer.post({}, { authorization: `Bearer ${agent.token}` }, "/release");
  assert.deepEqual([bare.status, bare.body["code"]], [401, "invalid_token"]);
  assert.match(String(bare.headers.get("www-authenticate")), /^DPoP error="invalid_token"/);
  const proof = await issuer.proof(agent.key, { url, token: agent.token });
  const headers = { authorization: `DPoP ${agent.token}`, dpop: proof };
  const answers = [await issuer.post({}, headers, "/release"), await issuer.post({}, headers, "/release")];
  assert.deepEqual(
    answers.map(({ status, body }) => [status, body["code"]]),
    [
      [204, undefined],
      [401, "invalid_dpop_proof"],
    ],
  );
});
