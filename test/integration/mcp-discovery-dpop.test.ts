// The public MCP client of the second generation, which has DPoP of its own, pointed at the gateway with nothing but a URL and
// with nothing of Cordon in it: finds the issuer by RFC 9728, and gets a bound token there by its own flows, over both nonces.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  Client,
  ClientCredentialsProvider,
  DpopSession,
  type OAuthClientProvider,
  OAuthError,
  type OAuthDiscoveryState,
  type OAuthTokens,
  PrivateKeyJwtProvider,
  SdkHttpError,
  StreamableHTTPClientTransport,
  type StreamableHTTPClientTransportOptions,
  UnauthorizedError,
} from "@modelcontextprotocol/client";
import { decodeJwt } from "jose";
import type { ClientMetadata } from "oidc-provider";
import { freePort } from "../../examples/demo/free-ports.ts";
import { Application, REDIRECT } from "../fixtures/mcp-application.ts";
import {
  createNightlyClient,
  SCOPE,
  startDiscoveredGateway,
  startOwnIssuer,
} from "../fixtures/mcp-discovered-gateway.ts";
import { type EverythingServer, startEverything } from "../fixtures/mcp-everything.ts";
import { type StatelessServer, startStatelessServer } from "../fixtures/mcp-stateless-server.ts";
import { browse, type OtherIssuer, SECRET, startOtherIssuer } from "../fixtures/other-issuer.ts";
import type { TestGateway } from "../fixtures/test-gateway.ts";

/** Each version that is negotiated, and the route whose server speaks it. */
const GENERATIONS = { "2026-07-28": "stateless", "2025-11-25": "mcp" } as const;
/** One that says nothing to the servers here. */
const OTHER_SCOPE = "read:candidates:J42";
/** Software on a person's machine that the issuer knows already. */
const DESK: ClientMetadata = {
  client_id: "desk",
  application_type: "native",
  token_endpoint_auth_method: "none",
  grant_types: ["authorization_code"],
  response_types: ["code"],
  redirect_uris: [REDIRECT],
};

describe("a public MCP client with DPoP of its own and no credential", { timeout: 60_000 }, () => {
  const nightly = createNightlyClient();
  let everything: EverythingServer;
  let stateless: StatelessServer;
  let company: OtherIssuer;
  let servers: Record<string, string>;
  let g: TestGateway;
  before(async () => {
    const origin = `http://127.0.0.1:${await freePort()}`;
    everything = await startEverything();
    stateless = await startStatelessServer();
    company = await startOtherIssuer(origin, {
      scope: `${SCOPE} ${OTHER_SCOPE}`,
      nonce: true,
      clients: [nightly.metadata, DESK],
    });
    servers = { mcp: everything.url, stateless: stateless.url };
    g = await startDiscoveredGateway({ origin, issuer: company.issuer, audience: [origin], servers });
  });
  after(async () => {
    await g.close();
    await company.close();
    await stateless.close();
    await everything.close();
  });

  const newClient = () => new Client({ name: "assistant", version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
  const transportTo = (route: string, options: StreamableHTTPClientTransportOptions, gateway = g.url) =>
    new StreamableHTTPClientTransport(new URL(`/${route}`, gateway), options);
  const withSecret = (scope: string) =>
    new ClientCredentialsProvider({ clientId: "ranker", clientSecret: SECRET, expectedIssuer: company.issuer, scope });
  const tokenOf = (provider: Pick<OAuthClientProvider, "tokens">) =>
    decodeJwt((provider.tokens() as OAuthTokens | undefined)?.access_token ?? "");

  async function callsTheTool(client: Client): Promise<void> {
    const { content } = await client.callTool({ name: "get-sum", arguments: { a: 2, b: 40 } });
    assert.match(JSON.stringify(content), /42/);
    await client.close();
  }

  /** The client sends the person away; who comes back with a code. */
  async function signIn(transport: StreamableHTTPClientTransport, application: Application): Promise<URL> {
    await assert.rejects(newClient().connect(transport), UnauthorizedError);
    const { asked } = application;
    assert.ok(asked !== undefined);
    await transport.finishAuth((await browse(asked)).searchParams);
    return asked;
  }

  for (const [version, route] of Object.entries(GENERATIONS)) {
    test(`${version}: it finds the issuer, registers itself, lets a person sign in, and calls a tool with a token bound to its key`, async () => {
      const session = await DpopSession.create();
      const authProvider = new BindingApplication(session, SCOPE);
      const asked: string[] = [];
      const listening = (url: string | URL, init?: RequestInit) => {
        asked.push(String(url));
        return fetch(url, init);
      };
      const ask = await signIn(transportTo(route, { authProvider, fetch: listening }), authProvider);
      // It takes the challenge's word for where the metadata is, though no other place was tried.
      const metadata = `${g.url}/.well-known/oauth-protected-resource`;
      assert.deepEqual([...new Set(asked)].slice(0, 2), [`${g.url}/${route}`, metadata]);
      assert.equal(ask.origin, company.issuer);
      // RFC 8707: the resource is the one of the metadata, character by character.
      assert.equal(ask.searchParams.get("resource"), g.url);
      assert.equal(ask.searchParams.get("scope"), SCOPE);
      assert.equal(authProvider.tokens()?.token_type, "DPoP");
      assert.deepEqual(tokenOf(authProvider)["cnf"], { jkt: session.thumbprint });

      const client = newClient();
      await client.connect(transportTo(route, { authProvider }));
      assert.equal(client.getNegotiatedProtocolVersion(), version);
      await callsTheTool(client);
      // Both servers asked for one of their own.
      assert.notEqual(session.nonceFor(g.url), undefined);
      assert.notEqual(session.nonceFor(company.issuer), undefined);
    });

    test(`${version}: with a client secret it needs no person`, async () => {
      const session = await DpopSession.create();
      const authProvider = binding(withSecret(SCOPE), session);
      const client = newClient();
      await client.connect(transportTo(route, { authProvider }));
      assert.deepEqual(tokenOf(authProvider)["cnf"], { jkt: session.thumbprint });
      await callsTheTool(client);
    });

    test(`${version}: with a registered key it needs no person either`, async () => {
      const provider = new PrivateKeyJwtProvider({ ...nightly.options, expectedIssuer: company.issuer, scope: SCOPE });
      const client = newClient();
      await client.connect(transportTo(route, { authProvider: binding(provider, await DpopSession.create()) }));
      await callsTheTool(client);
    });

    test(`${version}: told by the gateway which scope it lacks, it asks the issuer for that one too, and goes on`, async () => {
      const authProvider = binding(withSecret(OTHER_SCOPE), await DpopSession.create());
      const scopes: unknown[] = [];
      const { saveTokens } = authProvider;
      authProvider.saveTokens = (tokens) => {
        saveTokens.call(authProvider, tokens);
        scopes.push(tokenOf(authProvider)["scope"]);
      };
      const client = newClient();
      await client.connect(transportTo(route, { authProvider }));
      await callsTheTool(client);
      assert.deepEqual(scopes, [OTHER_SCOPE, `${OTHER_SCOPE} ${SCOPE}`]);
    });

    test(`${version}: a person whom it sent to sign in is asked once more, for the scope that the gateway names`, async () => {
      const authProvider = new BindingApplication(await DpopSession.create(), OTHER_SCOPE);
      // Who registers itself is known with the scope that it asked for first, and this issuer lets it ask for no other.
      authProvider.saveClientInformation({ client_id: DESK.client_id, issuer: company.issuer });
      const first = await signIn(transportTo(route, { authProvider }), authProvider);
      assert.equal(first.searchParams.get("scope"), OTHER_SCOPE);
      const second = await signIn(transportTo(route, { authProvider }), authProvider);
      assert.equal(second.searchParams.get("scope"), `${OTHER_SCOPE} ${SCOPE}`);
      const client = newClient();
      await client.connect(transportTo(route, { authProvider }));
      await callsTheTool(client);
    });
  }

  test("without a key of its own it gets a token that is bound to none, and the gateway refuses it", async () => {
    const authProvider = new BindingApplication(undefined, SCOPE);
    await signIn(transportTo("mcp", { authProvider }), authProvider);
    assert.equal(authProvider.tokens()?.token_type, "Bearer");
    await assert.rejects(newClient().connect(transportTo("mcp", { authProvider })), UnauthorizedError);
    const unbound = (line: Record<string, unknown>): boolean => line["reason"] === "token.unbound";
    assert.ok((await g.lines("access", unbound)).some(unbound));
  });

  test("a tool that no scope would open is denied at once: the issuer is not asked again", async () => {
    const authProvider = binding(withSecret(SCOPE), await DpopSession.create());
    const client = newClient();
    await client.connect(transportTo("mcp", { authProvider }));
    const token = authProvider.tokens()?.access_token;
    await assert.rejects(
      client.callTool({ name: "get-env", arguments: {} }),
      (error) => error instanceof SdkHttpError && error.status === 403,
    );
    assert.equal(authProvider.tokens()?.access_token, token);
    await client.close();
  });

  test("at Cordon's own issuer a registered client needs no more than its key, and a token that ends is replaced under way", async (t) => {
    const own = await startOwnIssuer(t, servers);
    const session = await DpopSession.create();
    for (const [version, route] of Object.entries(GENERATIONS)) {
      const authProvider = binding(new PrivateKeyJwtProvider(own.options), session);
      const client = newClient();
      await client.connect(transportTo(route, { authProvider }, own.g.url));
      assert.equal(client.getNegotiatedProtocolVersion(), version);
      const first = authProvider.tokens()?.access_token ?? "";
      assert.deepEqual(decodeJwt(first)["cnf"], { jkt: session.thumbprint });
      await own.revoke(first);
      // The same key is the same agent, so that a session goes on.
      await callsTheTool(client);
      assert.notEqual(authProvider.tokens()?.access_token, first);
    }
  });

  test("at Cordon's own issuer a client that is not registered is told what is missing, in one sentence", async (t) => {
    const own = await startOwnIssuer(t, servers);
    const connect = (options: StreamableHTTPClientTransportOptions) =>
      newClient().connect(transportTo("mcp", options, own.g.url));
    const session = await DpopSession.create();
    const named = new BindingApplication(session, SCOPE);
    named.saveClientInformation({ client_id: "hiring.agents", issuer: own.issuer });
    const guess = { clientId: "hiring", clientSecret: "a guess", expectedIssuer: own.issuer, scope: SCOPE };
    await assert.rejects(
      connect({}),
      (error) => error instanceof SdkHttpError && /Send a key-bound access token/.test(String(error.data.text)),
    );
    await assert.rejects(connect({ authProvider: new BindingApplication(session, SCOPE) }), {
      message: "Incompatible auth server: does not support dynamic client registration",
    });
    await assert.rejects(connect({ authProvider: named }), {
      message: "Incompatible auth server: does not support response type code",
    });
    await assert.rejects(
      connect({ authProvider: binding(new ClientCredentialsProvider(guess), session) }),
      (error) => error instanceof OAuthError && error.code === "invalid_client",
    );
  });
});

/** What turns DPoP on, in a provider of the SDK's own. */
function binding<P extends OAuthClientProvider>(provider: P, session: DpopSession): P {
  return Object.assign(provider, { dpop: () => session });
}

/** The same, in an application's own provider. It remembers whom it asked, so that a code goes to nobody else. */
class BindingApplication extends Application {
  readonly #session: DpopSession | undefined;
  #discovered: OAuthDiscoveryState | undefined;

  constructor(session: DpopSession | undefined, scope?: string) {
    super(scope);
    this.#session = session;
  }

  dpop(): DpopSession | undefined {
    return this.#session;
  }

  discoveryState(): OAuthDiscoveryState | undefined {
    return this.#discovered;
  }

  saveDiscoveryState(state: OAuthDiscoveryState): void {
    this.#discovered = state;
  }
}
