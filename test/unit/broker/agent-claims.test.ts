import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { agentClaims } from "../../../src/broker/agent-claims.ts";
import { createKey } from "../../../src/agent/create-key.ts";

const client = {
  client_id: "c",
  jwks: "c.jwks.json",
  orchestration: "o1",
  task: "t1",
  purpose: "p",
  scope: ["read:a:*"],
  constraints: { job_id: "J42" },
  principal: { type: "user", id: "alice", attributes: {} },
  provenance: { model: "m", model_version: "1", deployment: "d", environment: "e", config_digest: "" },
  initiator: { type: "user", id: "alice" },
};
const base = { client, issuer: "https://idp.example", trustDomain: "acme.example", scope: ["read:a:1"], expiresAt: 1 };

test("the SPIFFE id names trust domain, orchestration, task and the key, in characters SPIFFE allows", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (hash) => {
      const keyThumbprint = Buffer.from(hash).toString("base64url");
      const { sub, cordon } = agentClaims({ ...base, keyThumbprint });
      assert.match(sub, /^spiffe:\/\/acme\.example\/agent\/o1\/t1\/[A-Za-z0-9._-]+$/);
      assert.equal(cordon.agent.id, sub);
      assert.equal(cordon.agent.instance, keyThumbprint);
    }),
  );
});

test("the intent carries the granted scope and the token's expiry, and provenance is never verified here", () => {
  const { cordon } = agentClaims({ ...base, keyThumbprint: createKey().thumbprint, expiresAt: 1_767_225_600 });
  assert.deepEqual(cordon.intent.scope, ["read:a:1"]);
  assert.equal(cordon.intent.expires_at, "2026-01-01T00:00:00Z");
  assert.equal(cordon.provenance.verified, false);
  assert.equal(cordon.principal.issuer, "https://idp.example");
});

test("session and root request belong to the instance: the same for one key, different for two", () => {
  const session = (keyThumbprint: string) => agentClaims({ ...base, keyThumbprint }).cordon.session;
  assert.deepEqual(session("k1"), session("k1"));
  assert.notEqual(session("k1").id, session("k2").id);
  assert.notEqual(session("k1").id, session("k1").root_request);
});
