// The embedded issuer over a real socket, spoken to by public clients that this project did not write.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRemoteJWKSet, jwtVerify } from "jose";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import { type AgentKey, createKey } from "../../src/agent/create-key.ts";
import { fetchToken } from "../../src/agent/fetch-token.ts";
import { CLIENT_ID, GATEWAY_ORIGIN, OTHER_ORIGIN, startTestBroker, type TestBroker } from "../fixtures/test-broker.ts";
import { PROVENANCE } from "../fixtures/hiring-claims.ts";

async function toCryptoKey(key: AgentKey): Promise<CryptoKey> {
  const jwk = key.privateKey.export({ format: "jwk" });
  return crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
}

async function openidToken(issuer: TestBroker, parameters: Record<string, string>) {
  const key = { key: await toCryptoKey(issuer.clientKey), kid: issuer.clientKey.thumbprint };
  const config = await openid.discovery(new URL(issuer.issuer), CLIENT_ID, undefined, openid.PrivateKeyJwt(key), {
    algorithm: "oauth2",
    execute: [openid.allowInsecureRequests],
  });
  const pair = await openid.randomDPoPKeyPair("ES256");
  const DPoP = openid.getDPoPHandle(config, pair);
  const answer = await openid.clientCredentialsGrant(config, parameters, { DPoP });
  return { answer, thumbprint: await DPoP.calculateThumbprint() };
}

test("openid-client gets a token whose claims are exactly the registered agent's, bound to its key", async (t) => {
  const issuer = await startTestBroker(t);
  const { answer, thumbprint } = await openidToken(issuer, {});

  assert.equal(answer.token_type, "dpop");
  assert.equal(answer.expires_in, 300);
  assert.equal(answer.scope, "read:candidates:J42 write:scores:*");
  const keys = createRemoteJWKSet(new URL(`${issuer.issuer}/jwks`));
  const { payload, protectedHeader } = await jwtVerify(answer.access_token, keys, {
    issuer: issuer.issuer,
    audience: GATEWAY_ORIGIN,
    typ: "at+jwt",
    algorithms: ["ES256"],
  });
  assert.deepEqual(Object.keys(protectedHeader).toSorted(), ["alg", "kid", "typ"]);
  const { jti, iat, exp, ...claims } = payload;
  assert.equal(typeof jti, "string");
  assert.equal(Number(exp) - Number(iat), 300);

  const id = `spiffe://acme.example/agent/hiring/rank-j42/${thumbprint}`;
  const { session, ...cordon } = claims["cordon"] as { session: Record<string, unknown> };
  assert.deepEqual(
    { ...claims, cordon },
    {
      iss: issuer.issuer,
      sub: id,
      aud: GATEWAY_ORIGIN,
      client_id: CLIENT_ID,
      scope: "read:candidates:J42 write:scores:*",
      cnf: { jkt: thumbprint },
      cordon: {
        agent: {
          id,
          trust_domain: "acme.example",
          orchestration: "hiring",
          task: "rank-j42",
          instance: thumbprint,
        },
        principal: {
          type: "user",
          id: "recruiter_alice",
          issuer: issuer.issuer,
          attributes: { team: "people" },
        },
        intent: {
          task: "rank-j42",
          purpose: "rank-candidates",
          scope: ["read:candidates:J42", "write:scores:*"],
          details: [],
          constraints: { job_id: "J42" },
          expires_at: new Date(Number(exp) * 1000).toISOString().replace(".000Z", "Z"),
        },
        provenance: PROVENANCE,
      },
    },
  );
  assert.deepEqual(session["initiator"], { type: "user", id: "recruiter_alice" });
  assert.equal(session["depth"], 0);
  assert.deepEqual(session["chain"], []);
  assert.match(String(session["id"]), /^[\w-]{22}$/);
  assert.match(String(session["root_request"]), /^[\w-]{22}$/);
});

test("oauth4webapi gets a narrower token for another of the gateway's origins", async (t) => {
  const issuer = await startTestBroker(t);
  const url = new URL(issuer.issuer);
  const insecure = { [oauth.allowInsecureRequests]: true };
  const server = await oauth.processDiscoveryResponse(
    url,
    await oauth.discoveryRequest(url, { algorithm: "oauth2", ...insecure }),
  );
  const client: oauth.Client = { client_id: CLIENT_ID };
  const auth = oauth.PrivateKeyJwt({ key: await toCryptoKey(issuer.clientKey), kid: issuer.clientKey.thumbprint });
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("Ed25519"));
  const parameters = { resource: OTHER_ORIGIN, scope: "write:scores:J42" };
  const request = async () =>
    oauth.processClientCredentialsResponse(
      server,
      client,
      await oauth.clientCredentialsGrantRequest(server, client, auth, parameters, { DPoP, ...insecure }),
    );
  const answer = await request().catch((error: unknown) => {
    assert.ok(oauth.isDPoPNonceError(error), "the first request is answered with a nonce");
    return request();
  });

  const keys = createRemoteJWKSet(new URL(`${issuer.issuer}/jwks`));
  const { payload } = await jwtVerify(answer.access_token, keys, { audience: OTHER_ORIGIN });
  assert.equal(payload["scope"], "write:scores:J42");
  assert.deepEqual((payload["cordon"] as { intent: { scope: string[] } }).intent.scope, ["write:scores:J42"]);
});

test("one key is one instance: a renewed token keeps identity and session, another key gets its own", async (t) => {
  const issuer = await startTestBroker(t);
  const first = createKey();
  const claimsFor = async (key: AgentKey) => {
    const token = await fetchToken({ issuer: issuer.issuer, clientId: CLIENT_ID, clientKey: issuer.clientKey, key });
    return JSON.parse(Buffer.from(token.accessToken.split(".")[1] ?? "", "base64url").toString());
  };
  const [a, renewed, b] = [await claimsFor(first), await claimsFor(first), await claimsFor(createKey("EdDSA"))];
  assert.equal(renewed.sub, a.sub);
  assert.deepEqual(renewed.cordon.session, a.cordon.session);
  assert.notEqual(renewed.jti, a.jti);
  assert.notEqual(b.sub, a.sub);
  assert.notEqual(b.cordon.session.id, a.cordon.session.id);
});

test("a scope beyond the registered, or an unknown resource, is refused to openid-client", async (t) => {
  const issuer = await startTestBroker(t);
  for (const scope of ["read:candidates:J43", "read:candidates:J42 read:candidates:*", "write:scores", "openid"]) {
    await assert.rejects(openidToken(issuer, { scope }), { error: "invalid_scope" }, scope);
  }
  for (const resource of ["https://evil.example", `${GATEWAY_ORIGIN}/ats`, `${GATEWAY_ORIGIN}.evil.example`]) {
    await assert.rejects(openidToken(issuer, { resource }), { error: "invalid_target" }, resource);
  }
  await assert.rejects(openidToken(issuer, { authorization_details: '[{"type":"anything"}]' }), {
    error: "invalid_request",
  });
});

test("the log names client, key and scope of a token, and never a token, an assertion or a proof", async (t) => {
  const issuer = await startTestBroker(t);
  const { answer, thumbprint } = await openidToken(issuer, {});
  await assert.rejects(openidToken(issuer, { scope: "read:everything:*" }));
  const issued = issuer.logs.find((entry) => entry.event === "token_issued");
  assert.equal(issued?.client_id, CLIENT_ID);
  assert.equal(issued?.key_thumbprint, thumbprint);
  assert.equal(issuer.logs.filter((entry) => entry.event === "token_refused").length, 1);
  const text = JSON.stringify(issuer.logs);
  assert.ok(!text.includes(answer.access_token));
  assert.ok(!text.includes("eyJ"), "no JWT of any kind");
});
