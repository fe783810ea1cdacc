// Records that the library signs, read by the same rule as everyone's (lib/delegation-record.ts).
import assert from "node:assert/strict";
import { test } from "node:test";
import { createDelegation, type DelegationRequest } from "../../../src/agent/create-delegation.ts";
import { type AgentKey, createKey, type KeyAlgorithm } from "../../../src/agent/create-key.ts";
import { signJwt } from "../../../src/agent/sign-jwt.ts";
import { rootDelegator, verifyDelegationChain } from "../../../src/lib/delegation-record.ts";
import type { DelegationRoot } from "../../../src/lib/parse-delegation-record.ts";

const TASK = "spiffe://acme.example/agent/hiring/rank-j42";
const ISSUER = "https://issuer.example";
const PRINCIPAL = { type: "user", id: "recruiter_alice", issuer: ISSUER };
const HOUR_MS = 3_600_000;
const endsAtMs = Math.floor(Date.now() / 1000) * 1000 + HOUR_MS;

interface Grant {
  readonly scope: readonly string[];
  readonly details: readonly Record<string, unknown>[];
  readonly constraints: Record<string, unknown>;
  readonly expiresAtMs: number;
}

const OWN: Grant = {
  scope: ["read:candidates:*", "write:scores:J42"],
  details: [{ type: "ranking", actions: ["read", "score"] }],
  constraints: { job_id: ["J42", "J43"], amount: { max: 500 } },
  expiresAtMs: endsAtMs,
};

function rootOf(key: AgentKey): DelegationRoot {
  const { expiresAtMs, ...grant } = OWN;
  return {
    id: `${TASK}/${key.thumbprint}`,
    jkt: key.thumbprint,
    ...grant,
    expires_at: new Date(expiresAtMs).toISOString(),
  };
}

/** As the issuer would give it; the signature is not looked at by who holds it. */
function tokenOf(key: AgentKey, root?: DelegationRoot, records: readonly string[] = []): string {
  const claims = {
    iss: ISSUER,
    sub: `${TASK}/${key.thumbprint}`,
    aud: "https://gateway.example",
    client_id: "hiring.agents",
    exp: Math.floor(Date.now() / 1000) + 300,
    cnf: { jkt: key.thumbprint },
    cordon: {
      principal: { ...PRINCIPAL, attributes: { team: "people" } },
      intent: { ...OWN, expires_at: new Date(endsAtMs).toISOString() },
      session: { id: "session-1" },
      ...(root === undefined ? {} : { delegation: { root, records } }),
    },
  };
  return signJwt({ typ: "at+jwt" }, claims, createKey());
}

function requestFor(delegate: AgentKey, changes: Partial<DelegationRequest> = {}): DelegationRequest {
  return {
    delegateThumbprint: delegate.thumbprint,
    purpose: "read one candidate",
    scope: ["read:candidates:C1"],
    constraints: { job_id: "J42" },
    expiresAt: endsAtMs - 60_000,
    ...changes,
  };
}

for (const algorithm of ["ES256", "EdDSA"] satisfies KeyAlgorithm[]) {
  test(`a record signed by an ${algorithm} key is one that the verifier accepts, with exactly what was asked for`, async () => {
    const [key, delegate] = [createKey(algorithm), createKey()];
    const delegation = await createDelegation({ key, accessToken: tokenOf(key) }, requestFor(delegate));
    const root = rootDelegator(rootOf(key), { session: "session-1", principal: PRINCIPAL });
    const verified = verifyDelegationChain([delegation.record], root);
    assert.ok(verified.ok, JSON.stringify(verified));
    const { record } = verified.value[0];
    assert.deepEqual([delegation.issuer, delegation.clientId], [ISSUER, "hiring.agents"]);
    assert.equal(record.sub, `${TASK}/${delegate.thumbprint}`);
    assert.deepEqual(record.scope, ["read:candidates:C1"]);
    assert.deepEqual(record.constraints, { job_id: "J42", amount: { max: 500 } }, "what is not named stays in force");
    assert.deepEqual(record.details, OWN.details);
    assert.equal(record.exp * 1000, endsAtMs - 60_000);
  });
}

test("delegates delegate on, five hops deep and no deeper", async () => {
  const keys = Array.from({ length: 7 }, (_, index) => createKey(index % 2 === 0 ? "ES256" : "EdDSA"));
  const [top] = keys;
  assert.ok(top);
  const root = rootOf(top);
  const records: string[] = [];
  for (const [index, key] of keys.slice(0, 6).entries()) {
    const delegate = keys[index + 1];
    assert.ok(delegate);
    const accessToken = tokenOf(key, index === 0 ? undefined : root, records);
    const signed = createDelegation({ key, accessToken }, requestFor(delegate));
    if (index === 5) await assert.rejects(signed, { code: "depth_exceeded" });
    else records.push((await signed).record);
  }
  assert.equal(records.length, 5);
  const chain = verifyDelegationChain(records, rootDelegator(root, { session: "session-1", principal: PRINCIPAL }));
  assert.ok(chain.ok);
});

test("what is wider than the delegator's own is refused before it is signed, and the part is named", async () => {
  const [key, delegate] = [createKey(), createKey()];
  const delegator = { key, accessToken: tokenOf(key) };
  const cases: [Partial<DelegationRequest>, string, RegExp][] = [
    [{ scope: ["write:scores:*"] }, "delegation_too_wide", /write:scores:\*/],
    [{ scope: ["read:candidates:C1", "delete:candidates:C1"] }, "delegation_too_wide", /delete:candidates:C1/],
    [{ constraints: { job_id: "J44" } }, "delegation_too_wide", /job_id/],
    [{ constraints: { amount: { max: 501 } } }, "delegation_too_wide", /amount/],
    [{ details: [{ type: "ranking", actions: ["read", "delete"] }] }, "delegation_too_wide", /entry 0/],
    [{ expiresAt: endsAtMs + 1000 }, "expiry_beyond_parent", /exp/],
    [{ delegateThumbprint: key.thumbprint }, "delegate_mismatch", /itself/],
    [{ delegateThumbprint: "short" }, "usage", /delegate_jkt/],
    [{ scope: ["read"] }, "usage", /scope/],
    [{ expiresAt: Date.now() - 1000 }, "usage", /exp/],
  ];
  for (const [changes, code, message] of cases) {
    await assert.rejects(createDelegation(delegator, requestFor(delegate, changes)), { code, message }, code);
  }
});

test("an agent cannot sign with another key than its token's, nor from a chain that is not valid", async () => {
  const [key, other, delegate] = [createKey(), createKey(), createKey()];
  const foreign = { key: other, accessToken: tokenOf(key) };
  await assert.rejects(createDelegation(foreign, requestFor(delegate)), {
    code: "usage",
    message: /not that of the token/,
  });
  const { record } = await createDelegation({ key, accessToken: tokenOf(key) }, requestFor(delegate));
  const spliced = { key: delegate, accessToken: tokenOf(delegate, rootOf(other), [record]) };
  await assert.rejects(createDelegation(spliced, requestFor(createKey())), { code: "record_invalid" });
  await assert.rejects(createDelegation({ key, accessToken: "opaque" }, requestFor(delegate)), {
    code: "issuer_answer_invalid",
  });
});
