// The public MCP SDK, pointed at the gateway with nothing but a URL: it finds the company's own issuer by RFC 9728, and gets a
// token there by its own flows. What it lacks is DPoP, which the library's `fetch` adds; issuer, gateway and server are real.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { generateKeyPairSync } from "node:crypto";
import { ClientCredentialsProvider, PrivateKeyJwtProvider } from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import {
  StreamableHTTPClientTransport,
  type StreamableHTTPClientTransportOptions,
} from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { InvalidClientError } from "@modelcontextprotocol/sdk/server/auth/errors.js";
import { decodeJwt } from "jose";
import * as oauth from "oauth4webapi";
import { freePort } from "../../examples/demo/free-ports.ts";
import { assertClient } from "../../src/agent/client-assertion.ts";
import { createKey } from "../../src/agent/create-key.ts";
import { createOAuthFetch } from "../../src/agent/create-oauth-fetch.ts";
import { Application } from "../fixtures/mcp-application.ts";
import { type EverythingServer, startEverything } from "../fixtures/mcp-everything.ts";
import { mcpRoute } from "../fixtures/mcp-route.ts";
import { startIssuingGateway } from "../fixtures/issuing-gateway.ts";
import { CLIENT_ID } from "../fixtures/test-broker.ts";
import { browse, insecure, type OtherIssuer, SECRET, startOtherIssuer } from "../fixtures/other-issuer.ts";
import { startTestGateway, type TestGateway } from "../fixtures/test-gateway.ts";

const SCOPE = "call:mcp:everything";

describe("a public MCP client with no credential", { timeout: 60_000 }, () => {
  const clientKey = generateKeyPairSync("ec", { namedCurve: "P-256" });
  let server: EverythingServer;
  let company: OtherIssuer;
  let g: TestGateway;
  before(async () => {
    const gateway = `http://127.0.0.1:${await freePort()}`;
    server = await startEverything();
    company = await startOtherIssuer(gateway, {
      scope: SCOPE,
      nonce: true,
      clients: [
        {
          client_id: "nightly",
          token_endpoint_auth_method: "private_key_jwt",
          token_endpoint_auth_signing_alg: "ES256",
          jwks: { keys: [clientKey.publicKey.export({ format: "jwk" })] },
          grant_types: ["client_credentials"],
          response_types: [],
          redirect_uris: [],
          dpop_bound_access_tokens: true,
        },
      ],
    });
    g = await startGateway(gateway, company.issuer, [gateway]);
  });
  after(async () => {
    await g.close();
    await company.close();
    await server.close();
  });

  function startGateway(origin: string, issuer: string, audience: readonly string[]): Promise<TestGateway> {
    return startTestGateway({
      listeners: [{ name: "traffic", port: Number(new URL(origin).port) }],
      public_origins: [origin],
      proof: { nonce: "required" },
      routes: [mcpRoute("mcp", server.url)],
      issuers: [
        {
          issuer,
          audience,
          trust_domain: "acme.example",
          jwks: { url: `${issuer}/jwks`, allow_private_addresses: true },
          claims: {
            "agent.orchestration": { claim: "work.app" },
            "agent.task": { claim: "work.ticket" },
            "principal.type": { value: "user" },
            "principal.id": { claim: "on_behalf_of" },
            "intent.purpose": { claim: "work.why" },
          },
        },
      ],
    });
  }

  const rankerOf = ({ issuer }: OtherIssuer) =>
    new ClientCredentialsProvider({
      clientId: "ranker",
      clientSecret: SECRET,
      expectedIssuer: issuer,
      scope: SCOPE,
    });
  const transportWith = (options: StreamableHTTPClientTransportOptions) =>
    new StreamableHTTPClientTransport(new URL(`${g.url}/mcp`), options);
  const newClient = () => new Client({ name: "assistant", version: "1.0.0" });

  async function callsTheTool(client: Client): Promise<void> {
    const { content } = await client.callTool({ name: "get-sum", arguments: { a: 2, b: 40 } });
    assert.match(JSON.stringify(content), /42/);
    await client.close();
  }

  test("finds the issuer, registers itself, lets a person sign in, and calls a tool with a token bound to its key", async () => {
    const provider = new Application(SCOPE);
    const key = createKey();
    const options = { authProvider: provider, fetch: createOAuthFetch({ key }) };
    const first = transportWith(options);
    await assert.rejects(newClient().connect(first), UnauthorizedError);
    assert.ok(provider.asked !== undefined);
    // RFC 8707: the resource is the one of the metadata, character by character.
    assert.equal(provider.asked.origin, company.issuer);
    assert.equal(provider.asked.searchParams.get("resource"), g.url);
    assert.equal(provider.asked.searchParams.get("scope"), SCOPE);
    const code = (await browse(provider.asked)).searchParams.get("code");
    await first.finishAuth(code ?? "");

    const { access_token: token = "", token_type: type } = provider.tokens() ?? {};
    assert.equal(type, "DPoP");
    assert.deepEqual(decodeJwt(token)["cnf"], { jkt: key.thumbprint });
    const client = newClient();
    await client.connect(transportWith(options));
    await callsTheTool(client);
  });

  test("with the SDK alone it finds the issuer all the same, and the token that it gets there is refused: no key is behind it", async () => {
    const provider = new Application(SCOPE);
    const first = transportWith({ authProvider: provider });
    await assert.rejects(newClient().connect(first), UnauthorizedError);
    assert.ok(provider.asked !== undefined);
    await first.finishAuth((await browse(provider.asked)).searchParams.get("code") ?? "");
    assert.equal(provider.tokens()?.token_type, "Bearer");
    // It asks for a person once more: the gateway takes no bearer token, whoever issued it.
    await assert.rejects(newClient().connect(transportWith({ authProvider: provider })), UnauthorizedError);
    const unbound = (line: Record<string, unknown>): boolean => line["reason"] === "token.unbound";
    assert.ok((await g.lines("access", unbound)).some(unbound));
  });

  test("with a client secret it needs no person", async () => {
    const client = newClient();
    await client.connect(
      transportWith({ authProvider: rankerOf(company), fetch: createOAuthFetch({ key: createKey() }) }),
    );
    await callsTheTool(client);
  });

  test("with a registered key it needs no person either, though its assertion is spent when the issuer asks for a nonce", async () => {
    const authProvider = new PrivateKeyJwtProvider({
      clientId: "nightly",
      privateKey: { ...clientKey.privateKey.export({ format: "jwk" }) },
      algorithm: "ES256",
      expectedIssuer: company.issuer,
      scope: SCOPE,
    });
    const client = newClient();
    await client.connect(transportWith({ authProvider, fetch: createOAuthFetch({ key: createKey() }) }));
    await callsTheTool(client);
  });

  test("a route's URL that an audience names is a resource of its own, which a client takes that holds to the letter", async (t) => {
    const origin = `http://127.0.0.1:${await freePort()}`;
    const resource = new URL(`${origin}/mcp`);
    const partner = await startOtherIssuer(resource.href, { scope: SCOPE });
    const own = await startGateway(origin, partner.issuer, [origin, resource.href]);
    t.after(async () => {
      await own.close();
      await partner.close();
    });
    const refused = await fetch(resource, { method: "POST", body: "{}" });
    const url = `${origin}/.well-known/oauth-protected-resource/mcp`;
    assert.ok(refused.headers.get("www-authenticate")?.includes(`resource_metadata="${url}"`));
    const found = await oauth.resourceDiscoveryRequest(resource, insecure);
    const metadata = await oauth.processResourceDiscoveryResponse(resource, found);
    assert.deepEqual([metadata.resource, metadata.authorization_servers], [resource.href, [partner.issuer]]);
    // Everything else is still the origin's.
    const other = (await (await fetch(`${url}/x`)).json()) as { resource: string };
    assert.equal(other.resource, origin);

    const client = newClient();
    const options = { authProvider: rankerOf(partner), fetch: createOAuthFetch({ key: createKey() }) };
    await client.connect(new StreamableHTTPClientTransport(resource, options));
    await callsTheTool(client);
  });

  test("at Cordon's own issuer a registered client needs no more than its key, and a token that ends is replaced in its session", async (t) => {
    const overrides = { routes: [mcpRoute("mcp", server.url)], proof: { nonce: "required" } };
    const own = await startIssuingGateway(t, { scope: [SCOPE], overrides });
    const authProvider = new PrivateKeyJwtProvider({
      clientId: CLIENT_ID,
      privateKey: { ...own.clientKey.privateKey.export({ format: "jwk" }) },
      algorithm: own.clientKey.algorithm,
      expectedIssuer: own.issuer,
      scope: SCOPE,
    });
    const client = newClient();
    const options = { authProvider, fetch: createOAuthFetch({ key: createKey() }) };
    await client.connect(new StreamableHTTPClientTransport(new URL(`${own.g.url}/mcp`), options));
    const first = authProvider.tokens()?.access_token ?? "";
    const form = { token: first, ...assertClient({ issuer: own.issuer, clientId: CLIENT_ID, key: own.clientKey }) };
    const revoked = await fetch(`${own.issuer}/revoke`, { method: "POST", body: new URLSearchParams(form) });
    assert.equal(revoked.status, 200);
    // The same key is the same agent, so that the session goes on.
    await callsTheTool(client);
    assert.notEqual(authProvider.tokens()?.access_token, first);
  });

  test("at Cordon's own issuer a client that is not registered is told what is missing, in one sentence", async (t) => {
    const own = await startIssuingGateway(t, { overrides: { routes: [mcpRoute("mcp", server.url)] } });
    const connect = (options: StreamableHTTPClientTransportOptions) =>
      newClient().connect(new StreamableHTTPClientTransport(new URL(`${own.g.url}/mcp`), options));
    const fetch = createOAuthFetch({ key: createKey() });
    await assert.rejects(
      connect({}),
      /Send a key-bound access token: `Authorization: DPoP <token>` with a `DPoP` proof/,
    );
    await assert.rejects(connect({ authProvider: new Application(SCOPE), fetch }), {
      message: "Incompatible auth server: does not support dynamic client registration",
    });
    const named = new Application(SCOPE);
    named.saveClientInformation({ client_id: "hiring.agents" });
    await assert.rejects(connect({ authProvider: named, fetch }), {
      message: "Incompatible auth server: does not support response type code",
    });
    const guess = { clientId: "hiring", clientSecret: "a guess", expectedIssuer: own.issuer, scope: SCOPE };
    await assert.rejects(connect({ authProvider: new ClientCredentialsProvider(guess), fetch }), InvalidClientError);
  });
});
