// Delegation records that are not what they say, at the broker over a real socket: forged, reordered, cut, spliced, re-used,
// too deep, too long, and those of an agent that has ended.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type AgentBroker, makeRecord, recordFor, type Spawned, startAgentBroker } from "../fixtures/agent-broker.ts";
import { signRecord } from "../fixtures/delegation.ts";
import { makeKey, type TestKey } from "../unit/token/token-fixtures.ts";

async function codeOf(issuer: AgentBroker, record: string, key: TestKey): Promise<unknown> {
  const { status, body } = await issuer.requestDelegate(record, key);
  assert.ok(status === 400 && body["access_token"] === undefined, JSON.stringify(body));
  return body["code"];
}

/** `length` delegates below a launched agent, the agent first. */
async function chainOf(issuer: AgentBroker, length: number): Promise<Spawned[]> {
  const agents = [await issuer.spawn()];
  for (let hop = 0; hop < length; hop++) agents.push(await issuer.delegate(agents.at(-1) as Spawned));
  return agents;
}

test("a record that is signed by anyone but its delegator is refused", async (t) => {
  const issuer = await startAgentBroker(t);
  const [root, child] = (await chainOf(issuer, 1)) as [Spawned, Spawned];
  const key = makeKey("ES256");
  const payload = recordFor(root, key);
  const good = makeRecord(root, key);
  const [header, body, signature] = good.split(".");
  const wider = Buffer.from(JSON.stringify({ ...payload, purpose: "other" })).toString("base64url");
  const forged: Readonly<Record<string, string>> = {
    "by the delegate itself": makeRecord(root, key, {}, key),
    "by another agent of the chain": makeRecord(root, key, {}, child.key),
    "by a stranger with the delegator's key in the header": signRecord(makeKey("ES256"), payload, {
      jwk: root.key.jwk,
    }),
    "with another payload": `${header}.${wider}.${signature}`,
    "with another signature": `${header}.${body}.${makeRecord(child, key).split(".")[2]}`,
    "with no signature": `${header}.${body}.`,
    "with alg none": `${Buffer.from('{"typ":"cordon-delegation+jwt","alg":"none"}').toString("base64url")}.${body}.x`,
    "with another typ": signRecord(root.key, payload, { typ: "JWT" }),
    "with a critical header": signRecord(root.key, payload, { crit: ["x"], x: 1 }),
    "with a private key in the header": signRecord(root.key, payload, {
      jwk: { ...root.key.jwk, d: root.key.privateKey.export({ format: "jwk" }).d },
    }),
  };
  for (const [name, record] of Object.entries(forged)) {
    assert.equal(await codeOf(issuer, record, key), "record_invalid", name);
  }
  await issuer.delegate(root, {}, key);
});

test("a record out of its place in the chain is refused: reordered, cut short, or from another chain, task or principal", async (t) => {
  const issuer = await startAgentBroker(t);
  const [root, child, grandchild] = (await chainOf(issuer, 2)) as [Spawned, Spawned, Spawned];
  const other = await issuer.spawn();
  const otherChild = await issuer.delegate(other);
  const otherTask = await issuer.spawn(await issuer.launch({ task: "rank-j43" }));
  const key = makeKey("ES256");
  const prevOf = (agent: Spawned) => recordFor(agent, key)["prev"];
  const misplaced: Readonly<Record<string, readonly [Spawned, Record<string, unknown>, string]>> = {
    "as if there was no record before": [child, { prev: "" }, "record_invalid"],
    "after its grandparent's record": [grandchild, { prev: prevOf(child) }, "record_invalid"],
    "after a record of another chain": [child, { prev: prevOf(otherChild) }, "record_invalid"],
    "at the first place": [child, { depth: 1 }, "record_invalid"],
    "two places on": [root, { depth: 2 }, "record_invalid"],
    "of the root's name by the child": [child, { iss: root.id }, "record_invalid"],
    "of another chain": [root, { session: recordFor(other, key)["session"] }, "record_invalid"],
    "of another task": [root, { task: recordFor(otherTask, key)["task"] }, "record_invalid"],
    "into another task": [
      root,
      { sub: `spiffe://acme.example/agent/hiring/rank-j43/${key.thumbprint}` },
      "delegate_mismatch",
    ],
    "for another principal": [
      root,
      { principal: { ...(recordFor(root, key)["principal"] as object), id: "mallory" } },
      "record_invalid",
    ],
    "dated before its delegator's own record": [child, { iat: child.claims.iat - 1000 }, "record_invalid"],
  };
  for (const [name, [parent, changes, code]] of Object.entries(misplaced)) {
    assert.equal(await codeOf(issuer, makeRecord(parent, key, changes), key), code, name);
  }
  await issuer.delegate(child, {}, key);
});

test("a record serves its own delegate only, by its id and by its key", async (t) => {
  const issuer = await startAgentBroker(t);
  const root = await issuer.spawn();
  const [key, other] = [makeKey("ES256"), makeKey("ES256")];
  assert.equal(await codeOf(issuer, makeRecord(root, key), other), "delegate_mismatch");
  assert.equal(
    await codeOf(issuer, makeRecord(root, key, { delegate_jkt: other.thumbprint }), other),
    "delegate_mismatch",
  );
  assert.equal(await codeOf(issuer, makeRecord(root, key, { sub: root.id }), key), "delegate_mismatch");
  const itself = { sub: root.id, delegate_jkt: root.key.thumbprint };
  assert.equal(await codeOf(issuer, makeRecord(root, key, itself), root.key), "delegate_mismatch");
});

test("the sixth hop is refused, and so is the first where no delegation was granted", async (t) => {
  const issuer = await startAgentBroker(t);
  const agents = await chainOf(issuer, 5);
  const key = makeKey("ES256");
  assert.equal(await codeOf(issuer, makeRecord(agents.at(-1) as Spawned, key), key), "depth_exceeded");
  const alone = await issuer.spawn(await issuer.launch({ depth_max: "0" }));
  assert.equal(await codeOf(issuer, makeRecord(alone, key), key), "depth_exceeded");
  const once = await issuer.spawn(await issuer.launch({ depth_max: "1" }));
  const child = await issuer.delegate(once);
  assert.equal(await codeOf(issuer, makeRecord(child, key), key), "depth_exceeded");
});

test("no delegate outlives its delegator, and no record serves before or after its time", async (t) => {
  const issuer = await startAgentBroker(t);
  const root = await issuer.spawn();
  const short = await issuer.delegate(root, { exp: root.claims.iat + 100 });
  const key = makeKey("ES256");
  const { iat } = root.claims;
  assert.equal(await codeOf(issuer, makeRecord(root, key, { exp: iat + 3601 }), key), "expiry_beyond_parent");
  assert.equal(await codeOf(issuer, makeRecord(short, key, { exp: iat + 101 }), key), "expiry_beyond_parent");
  assert.equal(await codeOf(issuer, makeRecord(root, key, { iat: iat - 100, exp: iat - 50 }), key), "record_expired");
  assert.equal(await codeOf(issuer, makeRecord(root, key, { iat: iat + 120, exp: iat + 300 }), key), "record_expired");
  await issuer.delegate(short, { exp: iat + 100 }, key);
});

test("an agent that has ended, or whose token has run out, delegates no more, however deep its delegates are", async (t) => {
  const issuer = await startAgentBroker(t);
  const [root, child, grandchild] = (await chainOf(issuer, 2)) as [Spawned, Spawned, Spawned];
  const lapsed = await issuer.spawn(await issuer.launch({ ttl_s: "60" }));
  const keys = [makeKey("ES256"), makeKey("ES256"), makeKey("ES256")] as const;
  const records = [makeRecord(root, keys[0]), makeRecord(grandchild, keys[1]), makeRecord(lapsed, keys[2])] as const;
  assert.equal((await issuer.release(root)).status, 204);
  assert.equal(await codeOf(issuer, records[0], keys[0]), "ancestor_revoked");
  assert.equal(await codeOf(issuer, records[1], keys[1]), "ancestor_revoked");
  await issuer.restart(226_000);
  assert.equal((await issuer.renew(child)).body["code"], "agent_ended");
  assert.equal((await issuer.renew(grandchild)).body["code"], "agent_ended");
  assert.equal(await codeOf(issuer, records[2], keys[2]), "ancestor_revoked");
});

test("an agent that an operator revoked takes its delegates along, and a revoked chain and task give nothing more", async (t) => {
  const issuer = await startAgentBroker(t);
  const ends: readonly (readonly ["agent" | "chain" | "task" | "token", (agent: Spawned) => string])[] = [
    ["agent", (agent) => agent.id],
    ["token", (agent) => `${issuer.issuer} ${agent.claims.jti}`],
    ["chain", (agent) => `${issuer.issuer} ${String(agent.claims.cordon["session"]?.["id"])}`],
    ["task", (agent) => agent.id.slice(0, agent.id.lastIndexOf("/"))],
  ];
  for (const [level, idOf] of ends) {
    const [root, child] = (await chainOf(issuer, 1)) as [Spawned, Spawned];
    const key = makeKey("ES256");
    const record = makeRecord(root, key);
    const revoked = await issuer.broker.call("revocations.revoke", {
      level,
      id: idOf(root),
      reason: "test",
      by: "test",
    });
    assert.ok(revoked.ok, JSON.stringify(revoked));
    assert.equal(await codeOf(issuer, record, key), "ancestor_revoked", level);
    const renewal = await issuer.renew(child);
    assert.ok(["agent_ended", "ancestor_revoked", "task_revoked"].includes(String(renewal.body["code"])), level);
  }
  const after = await issuer.requestLaunch();
  assert.equal(after.body["code"], "task_revoked");
});
