// The public MCP SDK, pointed at the gateway with nothing but a URL: it finds the company's own issuer by RFC 9728, and gets a
// token there by its own flows. What it lacks is DPoP, which the library's `fetch` adds; issuer, gateway and server are real.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
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
import { createKey } from "../../src/agent/create-key.ts";
import { createOAuthFetch } from "../../src/agent/create-oauth-fetch.ts";
import {
  createNightlyClient,
  SCOPE,
  startDiscoveredGateway,
  startOwnIssuer,
} from "../fixtures/mcp-discovered-gateway.ts";
import { Application } from "../fixtures/mcp-application.ts";
import { type EverythingServer, startEverything } from "../fixtures/mcp-everything.ts";
import { browse, insecure, type OtherIssuer, SECRET, startOtherIssuer } from "../fixtures/other-issuer.ts";
import type { TestGateway } from "../fixtures/test-gateway.ts";

describe("a public MCP client with no credential", { timeout: 60_000 }, () => {
  const nightly = createNightlyClient();
  let server: EverythingServer;
  let company: OtherIssuer;
  let g: TestGateway;
  before(async () => {
    const gateway = `http://127.0.0.1:${await freePort()}`;
    server = await startEverything();
    company = await startOtherIssuer(gateway, {
      scope: SCOPE,
      nonce: true,
      clients: [nightly.metadata],
    });
    g = await startGateway(gateway, company.issuer, [gateway]);
  });
  after(async () => {
    await g.close();
    await company.close();
    await server.close();
  });

  const startGateway = (origin: string, issuer: string, audience: readonly string[]) =>
    startDiscoveredGateway({ origin, issuer, audience, servers: { mcp: server.url } });
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
      ...nightly.options,
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
    const own = await startOwnIssuer(t, { mcp: server.url });
    const authProvider = new PrivateKeyJwtProvider(own.options);
    const client = newClient();
    const options = { authProvider, fetch: createOAuthFetch({ key: createKey() }) };
    await client.connect(new StreamableHTTPClientTransport(new URL(`${own.g.url}/mcp`), options));
    const first = authProvider.tokens()?.access_token ?? "";
    await own.revoke(first);
    // The same key is the same agent, so that the session goes on.
    await callsTheTool(client);
    assert.notEqual(authProvider.tokens()?.access_token, first);
  });

  test("at Cordon's own issuer a client that is not registered is told what is missing, in one sentence", async (t) => {
    const own = await startOwnIssuer(t, { mcp: server.url });
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
