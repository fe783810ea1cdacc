// What the gateway says of itself to who is not known yet (RFC 9728): where tokens for it come from, and nothing else.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import * as oauth from "oauth4webapi";
import { createDpopFetch } from "../../src/agent/create-dpop-fetch.ts";
import { createKey } from "../../src/agent/create-key.ts";
import { fetchToken } from "../../src/agent/fetch-token.ts";
import { issueCertificate, makeCa } from "../fixtures/certificates.ts";
import { startIssuingGateway } from "../fixtures/issuing-gateway.ts";
import { CLIENT_ID } from "../fixtures/test-broker.ts";
import { call, ISSUER, startTestGateway } from "../fixtures/test-gateway.ts";
import { askRaw, hostOf, rawRequest } from "../hostile/raw-client.ts";

const WELL_KNOWN = "/.well-known/oauth-protected-resource";
const PATH = "/ats/jobs/J42/candidates/C1";
const INSECURE = { [oauth.allowInsecureRequests]: true };

test("from a refusal alone, oauth4webapi finds the resource, its issuer and the issuer's endpoints, and a call succeeds", async (t) => {
  const { g, issuer, clientKey } = await startIssuingGateway(t);
  const refused = await call(g.url + PATH);
  assert.equal(refused.status, 401);
  const url = /resource_metadata="([^"]+)"/.exec(String(refused.headers["www-authenticate"]))?.[1];
  assert.equal(url, g.url + WELL_KNOWN);

  const resource = new URL(g.url);
  const response = await oauth.resourceDiscoveryRequest(resource, INSECURE);
  const metadata = await oauth.processResourceDiscoveryResponse(resource, response);
  assert.deepEqual(metadata, {
    resource: g.url,
    authorization_servers: [issuer],
    bearer_methods_supported: [],
    dpop_signing_alg_values_supported: ["ES256", "EdDSA", "Ed25519"],
    dpop_bound_access_tokens_required: true,
  });
  const server = new URL(metadata.authorization_servers?.[0] ?? "");
  const discovered = await oauth.processDiscoveryResponse(
    server,
    await oauth.discoveryRequest(server, { algorithm: "oauth2", ...INSECURE }),
  );
  assert.equal(discovered.token_endpoint, `${issuer}/token`);

  const key = createKey();
  const { accessToken } = await fetchToken({
    issuer,
    clientId: CLIENT_ID,
    clientKey,
    key,
    resource: metadata.resource,
  });
  const answer = await createDpopFetch({ getToken: () => accessToken, key })(g.url + PATH);
  assert.equal(answer.status, 200);
});

test("the path-inserted forms give the same answer for what is served and for what is not", async (t) => {
  const g = await startTestGateway();
  t.after(() => g.close());
  const plain = await call(g.url + WELL_KNOWN);
  assert.equal(plain.status, 200);
  assert.equal(plain.headers["content-type"], "application/json");
  assert.equal(plain.json()["resource"], g.url);
  for (const target of [PATH, "/nowhere", "/"]) {
    const inserted = await call(g.url + WELL_KNOWN + target);
    assert.deepEqual([inserted.status, inserted.text], [200, plain.text], target);
  }
  assert.deepEqual(plain.json()["authorization_servers"], [ISSUER]);
  // Not a path of the metadata, however close: judged as any other, and told nothing.
  for (const target of [
    `${WELL_KNOWN}x`,
    `/a${WELL_KNOWN}`,
    "/.well-known/",
    "/%2ewell-known/oauth-protected-resource",
  ]) {
    assert.equal((await call(g.url + target)).status, target.includes("%2e") ? 400 : 401, target);
  }
  // Whoever reads it leaves a line, and reached no tool.
  const lines = await g.lines("access", (line) => line["path"] === `${WELL_KNOWN}/nowhere`);
  const line = lines.find(({ path }) => path === `${WELL_KNOWN}/nowhere`);
  assert.deepEqual([line?.["status"], line?.["outcome"], line?.["reason"], line?.["route"]], [200, "answered", "", ""]);
  assert.equal(g.tool.seen.length, 0);
});

test("the metadata is read with GET or HEAD, from a public origin alone", async (t) => {
  const g = await startTestGateway();
  t.after(() => g.close());
  const get = await call(g.url + WELL_KNOWN);
  const head = await call(g.url + WELL_KNOWN, { method: "HEAD" });
  assert.deepEqual([head.status, head.text], [200, ""]);
  assert.equal(head.headers["content-length"], get.headers["content-length"]);
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
    const answer = await call(g.url + WELL_KNOWN, { method, body: "{}", headers: { "content-length": "2" } });
    assert.deepEqual([answer.status, answer.headers["allow"]], [405, "GET, HEAD"], method);
  }
  assert.equal((await call(g.url + WELL_KNOWN, { headers: { host: "evil.example" } })).status, 421);
});

test("a 403 of the policy says where the metadata is, and a refusal that no other token would mend does not", async (t) => {
  const g = await startTestGateway();
  t.after(() => g.close());
  const agent = await g.agent();
  const denied = await agent.call(`${g.url}/ats/jobs/J42/candidates/C1/salary`);
  assert.equal(denied.status, 403);
  assert.equal(denied.headers["www-authenticate"], `DPoP resource_metadata="${g.url}${WELL_KNOWN}"`);
  assert.doesNotMatch(denied.text, /scope/);
  assert.equal((await agent.call(`${g.url}/nowhere`)).headers["www-authenticate"], undefined);
  await g.operate("PUT", "/v1/containment/agent", { id: agent.id, mode: "blocked", reason: "test" });
  const blocked = await agent.call(g.url + PATH);
  assert.deepEqual([blocked.status, blocked.headers["www-authenticate"]], [403, undefined]);
});

test("where a listener takes client certificates, the metadata says that a certificate will do instead of a proof", async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-metadata-"));
  const ca = makeCa();
  const server = issueCertificate(ca, { ip: ["127.0.0.1"] });
  const files = { certificate: server.certificate, key: server.key, client_ca: ca.certificate };
  const tls = Object.fromEntries(
    Object.entries(files).map(([name, text]) => {
      const file = path.join(folder, name);
      writeFileSync(file, text);
      return [name, file];
    }),
  );
  const g = await startTestGateway(({ port }) => ({
    public_origins: [`https://127.0.0.1:${port}`],
    listeners: [{ name: "mtls", port, tls: { ...tls, client_certificates: "optional" } }],
  }));
  t.after(async () => {
    await g.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const request = rawRequest(`GET ${WELL_KNOWN} HTTP/1.1`, [`Host: ${hostOf(g.url)}`]);
  const answer = await askRaw(g.url, request, { ca: ca.certificate });
  const metadata = JSON.parse(answer.body) as Record<string, unknown>;
  assert.equal(metadata["resource"], g.url);
  assert.equal(metadata["tls_client_certificate_bound_access_tokens"], true);
  assert.equal(metadata["dpop_bound_access_tokens_required"], false);
  assert.deepEqual(metadata["bearer_methods_supported"], ["header"]);
});

test("a 403 of the policy names the scope that the policy says is missing, in the challenge and in the document", async (t) => {
  const g = await startTestGateway(({ toolUrl }) => ({
    routes: [
      {
        name: "payroll",
        path: "/payroll",
        methods: ["POST"],
        resource: { type: "mcp_tools", classification: "public", attributes: { server: "payroll" } },
        upstream: { url: toolUrl, allow_private_addresses: true },
      },
    ],
  }));
  t.after(() => g.close());
  const agent = await g.agent();
  const denied = await agent.call(`${g.url}/payroll`, { method: "POST" });
  const metadata = `resource_metadata="${g.url}${WELL_KNOWN}"`;
  assert.equal(
    denied.headers["www-authenticate"],
    `DPoP error="insufficient_scope", scope="call:mcp:payroll", ${metadata}`,
  );
  assert.deepEqual([denied.json()["code"], denied.json()["scope"]], ["access_denied", "call:mcp:payroll"]);
});
