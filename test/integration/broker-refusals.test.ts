// What the embedded issuer refuses, over a real socket, request by request.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { createDpopProof } from "../../src/agent/create-dpop-proof.ts";
import { type AgentKey, createKey } from "../../src/agent/create-key.ts";
import { signJwt } from "../../src/agent/sign-jwt.ts";
import { startBroker } from "../../src/broker/start-broker.ts";
import { readClockBase } from "../../src/lib/clock.ts";
import { CLIENT_ID, GATEWAY_ORIGIN, startTestBroker, type TestBroker } from "../fixtures/test-broker.ts";

interface Parts {
  readonly assertion?: string;
  readonly proof?: string | undefined;
  readonly parameters?: Record<string, string>;
}

function assertionClaims(issuer: TestBroker): Record<string, unknown> {
  const iat = Math.floor(Date.now() / 1000);
  return { iss: CLIENT_ID, sub: CLIENT_ID, aud: issuer.issuer, jti: randomUUID(), iat, exp: iat + 60 };
}

function assertion(issuer: TestBroker, changes: Record<string, unknown> = {}, key = issuer.clientKey): string {
  return signJwt({ typ: "JWT" }, { ...assertionClaims(issuer), ...changes }, key);
}

async function post(issuer: TestBroker, parts: Parts, headers: Record<string, string> = {}) {
  const response = await fetch(`${issuer.issuer}/token`, {
    method: "POST",
    headers: { ...headers, ...(parts.proof === undefined ? {} : { dpop: parts.proof }) },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: parts.assertion ?? assertion(issuer),
      ...parts.parameters,
    }),
  });
  const body = (await response.json()) as Record<string, string>;
  return { status: response.status, body, nonce: response.headers.get("dpop-nonce") ?? undefined };
}

async function prover(issuer: TestBroker, key: AgentKey = createKey()) {
  const url = `${issuer.issuer}/token`;
  const { nonce, body } = await post(issuer, { proof: createDpopProof({ key, method: "POST", url }) });
  assert.equal(body["error"], "use_dpop_nonce");
  return () => createDpopProof({ key, method: "POST", url, nonce });
}

test("a request without a DPoP proof gets no token", async (t) => {
  const issuer = await startTestBroker(t);
  const { status, body } = await post(issuer, {});
  assert.equal(status, 400);
  assert.equal(body["access_token"], undefined);
});

test("an assertion by another key, for another audience, or without its claims is refused", async (t) => {
  const issuer = await startTestBroker(t);
  const prove = await prover(issuer);
  const now = Math.floor(Date.now() / 1000);
  const bad: Record<string, string> = {
    "another key": assertion(issuer, {}, createKey()),
    "another audience": assertion(issuer, { aud: "https://other.example" }),
    "another client": assertion(issuer, { iss: "someone", sub: "someone" }),
    "no iat": assertion(issuer, { iat: undefined }),
    "no jti": assertion(issuer, { jti: undefined }),
    expired: assertion(issuer, { exp: now - 60 }),
    "living too long": assertion(issuer, { exp: now + 3600 }),
    "from the future": assertion(issuer, { iat: now + 3000, exp: now + 3060 }),
    "without finite times": assertion(issuer, { iat: "1", exp: now + 60 }),
    "with a critical header": signJwt({ crit: ["b64"], b64: false }, assertionClaims(issuer), issuer.clientKey),
    "from before the start": assertion(issuer, { iat: now - 100, exp: now + 60 }),
  };
  for (const [name, text] of Object.entries(bad)) {
    const { status, body } = await post(issuer, { assertion: text, proof: prove() });
    assert.equal(body["error"], "invalid_client", name);
    assert.equal(status, 401, name);
    assert.equal(body["error_detail"], undefined, "the reason is for the log");
  }
  assert.equal((await post(issuer, { proof: prove() })).status, 200);
});

test("an assertion can be used once", async (t) => {
  const issuer = await startTestBroker(t);
  const prove = await prover(issuer);
  const text = assertion(issuer);
  assert.equal((await post(issuer, { assertion: text, proof: prove() })).status, 200);
  const { status, body } = await post(issuer, { assertion: text, proof: prove() });
  assert.deepEqual([status, body["error"]], [401, "invalid_client"]);
});

test("a proof can be used once at the token endpoint", async (t) => {
  const issuer = await startTestBroker(t);
  const proof = (await prover(issuer))();
  assert.equal((await post(issuer, { proof })).status, 200);
  const { status, body } = await post(issuer, { proof });
  assert.deepEqual([status, body["error"]], [400, "invalid_grant"]);
});

test("of many requests with one proof or one assertion at the same instant, exactly one gets a token", async (t) => {
  const issuer = await startTestBroker(t);
  const prove = await prover(issuer);
  const proof = prove();
  const text = assertion(issuer);
  const sameProof = await Promise.all(Array.from({ length: 12 }, () => post(issuer, { proof })));
  const sameAssertion = await Promise.all(
    Array.from({ length: 12 }, () => post(issuer, { assertion: text, proof: prove() })),
  );
  assert.equal(sameProof.filter(({ status }) => status === 200).length, 1);
  assert.equal(sameAssertion.filter(({ status }) => status === 200).length, 1);
});

test("a proof for another URL, by the wrong method, or with a made-up nonce is refused", async (t) => {
  const issuer = await startTestBroker(t);
  const { nonce } = await post(issuer, {
    proof: createDpopProof({ key: createKey(), method: "POST", url: `${issuer.issuer}/token` }),
  });
  const key = createKey();
  const bad = [
    createDpopProof({ key, method: "POST", url: "http://evil.example/token", nonce }),
    createDpopProof({ key, method: "GET", url: `${issuer.issuer}/token`, nonce }),
    createDpopProof({ key, method: "POST", url: `${issuer.issuer}/token`, nonce: "made-up" }),
    "not a proof",
  ];
  for (const proof of bad) assert.equal((await post(issuer, { proof })).body["access_token"], undefined);
});

test("headers of the caller do not move the issuer's URL", async (t) => {
  const issuer = await startTestBroker(t);
  const key = createKey();
  const { nonce } = await post(issuer, {
    proof: createDpopProof({ key, method: "POST", url: `${issuer.issuer}/token` }),
  });
  const forwarded = { "x-forwarded-host": "evil.example", "x-forwarded-proto": "https" };
  const forEvil = createDpopProof({ key, method: "POST", url: "https://evil.example/token", nonce });
  assert.equal((await post(issuer, { proof: forEvil }, forwarded)).body["error"], "invalid_dpop_proof");
  const own = createDpopProof({ key, method: "POST", url: `${issuer.issuer}/token`, nonce });
  assert.equal((await post(issuer, { proof: own }, forwarded)).status, 200);
});

test("other grants and client secrets are refused", async (t) => {
  const issuer = await startTestBroker(t);
  const prove = await prover(issuer);
  for (const grant of ["authorization_code", "password", "refresh_token", "implicit"]) {
    const { status, body } = await post(issuer, { proof: prove(), parameters: { grant_type: grant } });
    assert.deepEqual([status, body["error"]], [400, "unsupported_grant_type"], grant);
  }
  const basic = { authorization: `Basic ${btoa(`${CLIENT_ID}:guess`)}` };
  const both = await post(issuer, { proof: prove() }, basic);
  assert.equal(both.body["error"], "invalid_request");
  const response = await fetch(`${issuer.issuer}/token`, {
    method: "POST",
    headers: { dpop: prove(), ...basic },
    body: new URLSearchParams({ grant_type: "client_credentials" }),
  });
  assert.deepEqual([response.status, ((await response.json()) as { error: string }).error], [401, "invalid_client"]);
});

test("the metadata names what there is, and every other path is 404", async (t) => {
  const issuer = await startTestBroker(t);
  const oauth = await (await fetch(`${issuer.issuer}/.well-known/oauth-authorization-server`)).json();
  const openid = await (await fetch(`${issuer.issuer}/.well-known/openid-configuration`)).json();
  assert.deepEqual(openid, oauth);
  assert.deepEqual(oauth, {
    issuer: issuer.issuer,
    authorization_endpoint: `${issuer.issuer}/authorize`,
    token_endpoint: `${issuer.issuer}/token`,
    jwks_uri: `${issuer.issuer}/jwks`,
    grant_types_supported: [
      "client_credentials",
      "urn:cordon:params:oauth:grant-type:launch",
      "urn:ietf:params:oauth:grant-type:token-exchange",
    ],
    response_types_supported: [],
    subject_types_supported: ["public"],
    token_endpoint_auth_methods_supported: ["private_key_jwt", "none"],
    token_endpoint_auth_signing_alg_values_supported: ["ES256", "EdDSA", "Ed25519"],
    revocation_endpoint: `${issuer.issuer}/revoke`,
    revocation_endpoint_auth_methods_supported: ["private_key_jwt", "none"],
    revocation_endpoint_auth_signing_alg_values_supported: ["ES256", "EdDSA", "Ed25519"],
    introspection_endpoint: `${issuer.issuer}/introspect`,
    introspection_endpoint_auth_methods_supported: ["private_key_jwt"],
    introspection_endpoint_auth_signing_alg_values_supported: ["ES256", "EdDSA", "Ed25519"],
    dpop_signing_alg_values_supported: ["ES256", "EdDSA", "Ed25519"],
  });
  for (const path of [
    "/",
    "/auth",
    "/me",
    "/interaction/x",
    "/session/end",
    "/request",
    "/reg",
    "/token/introspection",
  ]) {
    const response = await fetch(issuer.issuer + path);
    assert.equal(response.status, 404, path);
    assert.equal(response.headers.get("set-cookie"), null, path);
  }
  assert.equal((await fetch(`${issuer.issuer}/token`)).status, 405);
});

test("the authorization endpoint refuses whoever comes, with what to do in its place", async (t) => {
  const { issuer } = await startTestBroker(t);
  for (const [target, method] of [
    ["/authorize", "GET"],
    [`/authorize?response_type=code&client_id=${CLIENT_ID}&redirect_uri=http%3A%2F%2F127.0.0.1%2Fx`, "GET"],
    ["/authorize", "POST"],
  ]) {
    const response = await fetch(issuer + target, { method: String(method), redirect: "manual" });
    const body = (await response.json()) as Record<string, string>;
    assert.deepEqual([response.status, body["error"]], [400, "unsupported_response_type"]);
    assert.match(String(body["error_description"]), /launch token/);
  }
  assert.equal((await fetch(`${issuer}/authorize/x`)).status, 404);
});

test("the published key set holds the public key only", async (t) => {
  const issuer = await startTestBroker(t);
  const { keys } = (await (await fetch(`${issuer.issuer}/jwks`)).json()) as { keys: Record<string, string>[] };
  assert.deepEqual(
    keys.map((key) => Object.keys(key).toSorted()),
    [["alg", "crv", "kid", "kty", "use", "x", "y"]],
  );
});

test("a body that is too large or of unknown length is refused before it is read", async (t) => {
  const issuer = await startTestBroker(t);
  const send = (headers: Record<string, string | number>) =>
    new Promise<number | undefined>((resolve, reject) => {
      const request = httpRequest(`${issuer.issuer}/token`, { method: "POST", headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
        request.destroy();
      });
      request.on("error", reject);
      request.flushHeaders();
    });
  assert.equal(await send({ "content-length": 1_000_000_000 }), 413);
  assert.equal(await send({ "transfer-encoding": "chunked" }), 411);
});

test("the signing key is kept in a private file, survives a restart, and is refused when others may read it", async (t) => {
  const issuer = await startTestBroker(t);
  const file = join(issuer.dataFolder, "broker", "keys.json");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(statSync(join(issuer.dataFolder, "broker")).mode & 0o777, 0o700);
  const jwks = async (url: string) => (await fetch(`${url}/jwks`)).text();
  const before = await jwks(issuer.issuer);
  assert.ok(!JSON.stringify(issuer.logs).includes(JSON.parse(readFileSync(file, "utf8")).keys[0].d));

  const options = {
    broker: { ...issuer.config, port: 0 },
    publicOrigins: [GATEWAY_ORIGIN],
    dataFolder: issuer.dataFolder,
    clock: readClockBase(),
    assertionsFromMs: Math.floor(Date.now() / 1000) * 1000 - 1,
    onLog: () => undefined,
    onFeed: async () => undefined,
    onExit: () => undefined,
  };
  const second = await startBroker(options);
  assert.equal(await jwks(second.url), before);
  await second.close();

  chmodSync(file, 0o644);
  await assert.rejects(startBroker(options), /can be read by others/);
  chmodSync(file, 0o600);
  writeFileSync(file, '{"keys":[{"d":"secret-part"');
  await assert.rejects(
    startBroker(options),
    (error: Error) => /damaged/.test(error.message) && !/secret/.test(error.message),
  );
});

test("H28 a port in use, or a client's private key in its public file, is one clear line", async (t) => {
  const issuer = await startTestBroker(t);
  const options = {
    broker: issuer.config,
    publicOrigins: [GATEWAY_ORIGIN],
    dataFolder: issuer.dataFolder,
    clock: readClockBase(),
    assertionsFromMs: Math.floor(Date.now() / 1000) * 1000 - 1,
    onLog: () => undefined,
    onFeed: async () => undefined,
    onExit: () => undefined,
  };
  await assert.rejects(startBroker(options), (error: Error & { code: string }) => {
    assert.equal(error.code, "EADDRINUSE");
    assert.match(error.message, new RegExp(`127.0.0.1:${issuer.config.port}.*in use`));
    return !error.message.includes("\n");
  });
  const [client] = issuer.config.clients;
  assert.ok(client);
  writeFileSync(client.jwks, JSON.stringify({ keys: [issuer.clientKey.privateKey.export({ format: "jwk" })] }));
  await assert.rejects(startBroker(options), /hiring-agent.*private or secret key/);
});
