// The seam between the two halves: what the embedded issuer writes is what the gateway's own verifier reads.
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeJwt } from "jose";
import { createKey } from "../../src/agent/create-key.ts";
import { fetchToken } from "../../src/agent/fetch-token.ts";
import { configSchema } from "../../src/config/schema.ts";
import { createKeySet } from "../../src/token/key-set.ts";
import { createTokenVerifier } from "../../src/token/token-verifier.ts";
import { CLIENT_ID, GATEWAY_ORIGIN, startTestBroker } from "../fixtures/test-broker.ts";

test("the gateway knows the issuer by its published keys alone, and reads every claim as it was issued", async (t) => {
  const { issuer, clientKey } = await startTestBroker(t);
  const key = createKey();
  const { accessToken } = await fetchToken({ issuer, clientId: CLIENT_ID, clientKey, key });
  const jwks: unknown = await (await fetch(`${issuer}/jwks`)).json();
  const config = configSchema.shape.issuers.element.parse({
    issuer,
    audience: [GATEWAY_ORIGIN],
    trust_domain: "acme.example",
    jwks: { url: `${issuer}/jwks` },
  });
  const verifier = createTokenVerifier({
    issuers: [config],
    keySets: new Map([[issuer, createKeySet({ jwks })]]),
    limits: { token_bytes_max: 16_384, token_cache_entries: 10 },
  });

  const result = await verifier.verify(accessToken, Date.now());
  assert.ok(result.ok, result.ok ? "" : `${result.error.reason} ${result.error.detail}`);
  const agent = result.value.agentFor("dpop");
  const { token: _, session, ...others } = agent.claims;
  // Labels are the gateway's own word, and no claim.
  const { labels, ...claimed } = session;
  assert.deepEqual({ ...others, session: claimed }, decodeJwt(accessToken)["cordon"]);
  assert.deepEqual(labels, []);
  assert.equal(agent.keyThumbprint, key.thumbprint);
  assert.equal(agent.refs.agent, `spiffe://acme.example/agent/hiring/rank-j42/${key.thumbprint}`);
  assert.equal(agent.refs.task, "spiffe://acme.example/agent/hiring/rank-j42");
});
