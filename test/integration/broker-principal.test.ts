// For whom an agent is launched, and what it is: tokens of an identity provider and signed agent manifests, over a real socket.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SignJWT } from "jose";
import { ACCESS_TOKEN, startAgentBroker } from "../fixtures/agent-broker.ts";
import type { Cleanup } from "../fixtures/test-broker.ts";
import { makeKey, type TestKey } from "../unit/token/token-fixtures.ts";

const JWT = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token";
const PROVIDER = "https://idp.acme.example";
const PUBLISHER = "acme-agents";

function keyFile(t: Cleanup, key: TestKey): string {
  const folder = mkdtempSync(join(tmpdir(), "cordon-keys-"));
  t.after(async () => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "jwks.json");
  writeFileSync(file, JSON.stringify({ keys: [{ ...key.jwk, kid: "k1" }] }));
  return file;
}

function sign(key: TestKey, claims: Record<string, unknown>, typ = "JWT"): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: key.alg, kid: "k1", typ }).sign(key.privateKey);
}

const nowS = () => Math.floor(Date.now() / 1000);

function personToken(key: TestKey, changes: Record<string, unknown> = {}): Promise<string> {
  const claims = {
    iss: PROVIDER,
    aud: "cordon",
    sub: "alice",
    iat: nowS(),
    exp: nowS() + 300,
    team: "people",
    age: 40,
  };
  return sign(key, { ...claims, ...changes });
}

function identityProvider(jwks: { readonly file: string } | { readonly url: string }) {
  return {
    issuer: PROVIDER,
    audience: ["cordon"],
    algorithms: ["ES256"] as const,
    jwks,
    principal: { type: "user", id_claim: "sub", attribute_claims: ["team", "absent"] },
  };
}

test("a person's token proves the principal of a launch, with the attributes that are configured", async (t) => {
  const key = makeKey("ES256");
  const provider = identityProvider({ file: keyFile(t, key) });
  const issuer = await startAgentBroker(t, { broker: { identity_providers: [provider] } });
  for (const type of [JWT, ID_TOKEN, ACCESS_TOKEN]) {
    const proved = { principal: undefined, subject_token: await personToken(key), subject_token_type: type };
    const { claims } = await issuer.spawn(await issuer.launch(proved));
    assert.deepEqual(claims.cordon["principal"], {
      type: "user",
      id: "alice",
      issuer: PROVIDER,
      attributes: { team: "people" },
    });
  }
});

test("a token that is not the provider's, not for this broker, or not of this time proves nobody", async (t) => {
  const key = makeKey("ES256");
  const provider = identityProvider({ file: keyFile(t, key) });
  const issuer = await startAgentBroker(t, { broker: { identity_providers: [provider] } });
  const ed = makeKey("Ed25519");
  const good = await personToken(key);
  const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${good.split(".")[1]}.`;
  const bad: Readonly<Record<string, string>> = {
    "another key": await personToken(makeKey("ES256")),
    "another issuer": await personToken(key, { iss: "https://evil.example" }),
    "another audience": await personToken(key, { aud: "someone-else" }),
    "no audience": await personToken(key, { aud: undefined }),
    expired: await personToken(key, { exp: nowS() - 60 }),
    "without an end": await personToken(key, { exp: undefined }),
    "from the future": await personToken(key, { nbf: nowS() + 600 }),
    "without a subject": await personToken(key, { sub: undefined }),
    "with a subject that is no text": await personToken(key, { sub: "a\nb" }),
    "of somebody who acts for another": await personToken(key, { act: { sub: "agent" } }),
    "of another algorithm": await personToken(ed),
    unsigned,
    "no token": "x".repeat(100),
  };
  for (const [name, token] of Object.entries(bad)) {
    const { status, body } = await issuer.requestLaunch({
      principal: undefined,
      subject_token: token,
      subject_token_type: JWT,
    });
    assert.deepEqual([status, body["error"], body["code"]], [400, "invalid_grant", "subject_token_invalid"], name);
  }
});

test("who was proved still has to be one that the application may act for, and nobody is declared beside a proof", async (t) => {
  const key = makeKey("ES256");
  const provider = identityProvider({ file: keyFile(t, key) });
  const application = { principals: ["user:bob", "service:nightly"] };
  const issuer = await startAgentBroker(t, { application, broker: { identity_providers: [provider] } });
  const launch = async (changes: Record<string, unknown>) => (await issuer.requestLaunch(changes)).body["code"];
  const proof = async (sub: string) => ({ subject_token: await personToken(key, { sub }), subject_token_type: JWT });
  assert.equal(await launch({ principal: undefined, ...(await proof("alice")) }), "principal_not_allowed");
  assert.equal(await launch({ principal: undefined, ...(await proof("bob")) }), undefined);
  assert.equal(await launch({ ...(await proof("bob")) }), "request_malformed");
  assert.equal(await launch({ principal: undefined }), "principal_required");
  assert.equal(
    await launch({ principal: undefined, ...(await proof("bob")), subject_token_type: "urn:x:saml" }),
    "subject_token_type_unknown",
  );
});

test("a person's token is never an agent's: no exchange takes it, whatever it is called", async (t) => {
  const key = makeKey("ES256");
  const provider = identityProvider({ file: keyFile(t, key) });
  const issuer = await startAgentBroker(t, { broker: { identity_providers: [provider] } });
  const token = await personToken(key, { cnf: { jkt: key.thumbprint } });
  const codes: unknown[] = [];
  for (const type of [JWT, ID_TOKEN, ACCESS_TOKEN, "urn:cordon:params:oauth:token-type:delegation-record", LAUNCH]) {
    codes.push((await issuer.exchange({ subject_token: token, subject_token_type: type }, key)).body["code"]);
  }
  assert.deepEqual(codes, [
    "subject_token_type_unknown",
    "subject_token_type_unknown",
    "token_invalid",
    "record_invalid",
    "launch_token_unknown",
  ]);
  assert.equal((await issuer.release({ key, token })).body["code"], "invalid_token");
});

const LAUNCH = "urn:cordon:params:oauth:token-type:launch-token";

test("the provider's keys are read from its URL, and where they cannot be had nobody is proved", async (t) => {
  const key = makeKey("ES256");
  let status = 503;
  const keys = createServer((_request, response) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify({ keys: [{ ...key.jwk, kid: "k1" }] }));
  });
  await new Promise<void>((resolve) => keys.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => keys.close(resolve)));
  const url = `http://127.0.0.1:${(keys.address() as AddressInfo).port}/jwks`;
  const issuer = await startAgentBroker(t, { broker: { identity_providers: [identityProvider({ url })] } });
  const request = async () =>
    issuer.requestLaunch({ principal: undefined, subject_token: await personToken(key), subject_token_type: JWT });
  assert.equal((await request()).body["code"], "subject_token_invalid");
  status = 200;
  assert.equal((await request()).status, 200);
});

const MANIFEST = { model: "claude-sonnet-5", model_version: "1", environment: "production", prompt_digest: "sha256:1" };

test("a manifest that a configured publisher signed is verified provenance, and an unknown one's is not", async (t) => {
  const key = makeKey("Ed25519");
  const publishers = [{ name: PUBLISHER, jwks: keyFile(t, key) }];
  const issuer = await startAgentBroker(t, { broker: { publishers } });
  const provenance = async (manifest: unknown) =>
    (await issuer.spawn(await issuer.launch({ manifest }))).claims.cordon["provenance"];
  const typ = "agent-manifest+jwt";
  const expected = { ...MANIFEST, deployment: "", config_digest: "", image_digest: "" };
  assert.deepEqual(await provenance(await sign(key, { iss: PUBLISHER, exp: nowS() + 60, ...MANIFEST }, typ)), {
    ...expected,
    publisher: PUBLISHER,
    verified: true,
  });
  const unverified = { ...expected, publisher: "", verified: false };
  assert.deepEqual(await provenance(await sign(key, { iss: "someone", ...MANIFEST }, typ)), unverified);
  assert.deepEqual(await provenance({ ...MANIFEST, iss: PUBLISHER, verified: true, publisher: PUBLISHER }), unverified);
});

test("a manifest that claims a publisher who did not sign it is refused", async (t) => {
  const key = makeKey("ES256");
  const publishers = [{ name: PUBLISHER, jwks: keyFile(t, key) }];
  const issuer = await startAgentBroker(t, { broker: { publishers } });
  const typ = "agent-manifest+jwt";
  const claims = { iss: PUBLISHER, ...MANIFEST };
  const good = await sign(key, claims, typ);
  const [header, , signature] = good.split(".");
  const changed = Buffer.from(JSON.stringify({ ...claims, model: "other" })).toString("base64url");
  const bad: Readonly<Record<string, readonly [unknown, string]>> = {
    "another key": [await sign(makeKey("ES256"), claims, typ), "manifest_invalid"],
    "another payload": [`${header}.${changed}.${signature}`, "manifest_invalid"],
    expired: [await sign(key, { ...claims, exp: nowS() - 60 }, typ), "manifest_invalid"],
    "not yet valid": [await sign(key, { ...claims, nbf: nowS() + 600 }, typ), "manifest_invalid"],
    "an ordinary token": [await sign(key, claims), "request_malformed"],
    "a member of another type": [{ model: 7 }, "request_malformed"],
    "no manifest": ["x.y", "request_malformed"],
  };
  for (const [name, [manifest, code]] of Object.entries(bad)) {
    assert.equal((await issuer.requestLaunch({ manifest })).body["code"], code, name);
  }
  await issuer.launch({ manifest: good });
});
