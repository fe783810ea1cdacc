// In: the broker's configuration, its key, its clients and its state. Out: an oidc-provider that knows three grants.
// client_credentials, launch and token exchange, with private_key_jwt (RFC 7523) or DPoP (RFC 9449) or both; the rest is off.
import { randomBytes } from "node:crypto";
import type { Adapter, ClientMetadata, Configuration, JWKS } from "oidc-provider";
import * as errors from "oidc-provider/lib/helpers/errors.js";
import { Provider } from "oidc-provider/lib/provider.js";
import type { BrokerConfig } from "../config/schema.ts";
import { agentClaims, type BrokerClient } from "./agent-claims.ts";
import { ASSERTIONS_AHEAD_S } from "./assertion-window.ts";
import { agentsClientOf } from "./grants/agent-token.ts";
import type { GrantContext } from "./grants/grant-context.ts";
import { LAUNCH_GRANT } from "./grants/launch-grant.ts";
import { registerGrants, TOKEN_EXCHANGE_GRANT } from "./grants/register-grants.ts";
import { findClient } from "./state/client-adapter.ts";
import type { KeyRing } from "./keys/key-ring.ts";
import { createProviderKey } from "./keys/provider-key.ts";
import { serveRelease } from "./release-endpoint.ts";
import type { ReplayStore } from "./replay-store.ts";
import { grantScopes } from "./scope.ts";
import { addTokenEndpoints, INTROSPECTION_PATH, REVOCATION_PATH } from "./token-endpoints.ts";

export const SIGNATURE_ALGORITHMS = ["ES256", "EdDSA", "Ed25519"] as const;
/** An assertion is made for one request; this bounds how long its id must be remembered. */
const ASSERTION_LIFETIME_S_MAX = 300;

type Context = NonNullable<Parameters<NonNullable<Configuration["assertJwtClientAuthClaimsAndHeader"]>>[0]>;

export interface ProviderOptions {
  readonly broker: BrokerConfig;
  readonly publicOrigins: readonly string[];
  readonly keyRing: KeyRing;
  /** Public keys by client id. */
  readonly clientKeys: ReadonlyMap<string, JWKS>;
  readonly replayStore: ReplayStore;
  /** Unix milliseconds: assertions from before may have been used at an issuer that ran here before. */
  readonly assertionsFromMs: number;
  readonly grants: GrantContext;
}

export function createProvider(options: ProviderOptions): Provider {
  const { broker, publicOrigins } = options;
  const clients = new Map(broker.clients.map((client) => [client.client_id, client]));
  const off = { enabled: false } as const;

  const provider = new Provider(broker.issuer, {
    adapter: (model: string) => adapterOf(model, options),
    clients: [
      ...broker.clients.map(({ client_id: id }) => clientMetadata(id, ["client_credentials"], options.clientKeys)),
      ...broker.resource_servers.map(({ client_id: id }) => clientMetadata(id, [], options.clientKeys)),
    ],
    jwks: { keys: [createProviderKey(options.keyRing)] },
    clientAuthMethods: ["private_key_jwt", "none"],
    clientDefaults: { id_token_signed_response_alg: "ES256" },
    enabledJWA: {
      clientAuthSigningAlgValues: [...SIGNATURE_ALGORITHMS],
      dPoPSigningAlgValues: [...SIGNATURE_ALGORITHMS],
    },
    responseTypes: [],
    scopes: [],
    // Agents are no web pages: no origin is ever allowed.
    clientBasedCORS: () => false,
    clockTolerance: ASSERTIONS_AHEAD_S,
    ttl: { ClientCredentials: broker.token_ttl_s },
    renderError: (ctx, out) => {
      ctx.type = "json";
      ctx.body = out;
    },
    assertJwtClientAuthClaimsAndHeader: (_ctx, claims, header) => {
      checkAssertionHeader(header);
      checkAssertion(claims, options.assertionsFromMs, Date.now() / 1000);
    },
    routes: { revocation: REVOCATION_PATH, introspection: INTROSPECTION_PATH },
    features: {
      clientCredentials: { enabled: true },
      // The secret lives as long as the process: a proof from before a restart carries a nonce that is unknown now.
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true, allowReplay: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => publicOrigins[0] ?? "",
        getResourceServerInfo: (ctx, resource) =>
          resourceServer(ctx, resource, publicOrigins, clients, broker.token_ttl_s),
      },
      // A key that oidc-provider holds itself can never be replaced while it runs.
      externalSigningSupport: { enabled: true, ack: "experimental-01" },
      // It finds no token by itself: what it authenticates is answered in token-endpoints.ts.
      revocation: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => false },
      devInteractions: off,
      pushedAuthorizationRequests: off,
      rpInitiatedLogout: off,
      userinfo: off,
    },
    formats: {
      customizers: {
        jwt: (_ctx, token, parts) => {
          const client = clients.get(token.clientId ?? "");
          const { jkt } = token as { jkt?: string };
          const { exp } = parts.payload;
          if (client === undefined || jkt === undefined || typeof exp !== "number") {
            throw new Error("a token without a known client, a key or an expiry is never issued");
          }
          const { sub, cordon } = agentClaims({
            client,
            issuer: broker.issuer,
            trustDomain: broker.trust_domain,
            keyThumbprint: jkt,
            scope: token.scope === undefined ? [] : token.scope.split(" "),
            expiresAt: exp,
          });
          Object.assign(parts.payload, { sub, cordon });
        },
      },
    },
  });
  addTokenEndpoints(provider, options.grants, new Set(broker.resource_servers.map(({ client_id: id }) => id)));
  registerGrants(provider, options.grants);
  serveRelease(provider, options.grants);
  return provider;
}

const CLIENT_GRANTS = { launch: LAUNCH_GRANT, exchange: TOKEN_EXCHANGE_GRANT, agentsClientOf };

/** Clients of applications are looked up at every request; those of the configuration file never change. */
function adapterOf(model: string, { replayStore, grants }: ProviderOptions): Adapter {
  const adapter = replayStore.adapter(model);
  if (model !== "Client") return adapter;
  return { ...adapter, find: async (id) => findClient(grants.state.applications, id, CLIENT_GRANTS) };
}

function clientMetadata(id: string, grants: string[], keys: ReadonlyMap<string, JWKS>): ClientMetadata {
  const jwks = keys.get(id);
  return {
    client_id: id,
    token_endpoint_auth_method: "private_key_jwt",
    grant_types: grants,
    response_types: [],
    redirect_uris: [],
    dpop_bound_access_tokens: true,
    ...(jwks === undefined ? {} : { jwks }),
  };
}

/** RFC 7523 section 3 leaves `iat` and the lifetime open; both are needed to refuse a replay across a restart. */
function checkAssertion(claims: Record<string, unknown>, fromMs: number, nowS: number): void {
  const { iat, exp } = claims;
  if (!Number.isFinite(iat) || !Number.isFinite(exp)) throw new errors.InvalidClientAuth("iat and exp are required");
  if (Number(iat) > nowS + ASSERTIONS_AHEAD_S) throw new errors.InvalidClientAuth("the assertion is from the future");
  if (Number(exp) - Number(iat) > ASSERTION_LIFETIME_S_MAX)
    throw new errors.InvalidClientAuth("the assertion lives too long");
  if (Number(iat) * 1000 <= fromMs)
    throw new errors.InvalidClientAuth("the assertion was made before the issuer started");
}

/** RFC 7515 section 4.1.11: no extension is understood here, so none that is critical is accepted. */
function checkAssertionHeader(header: Record<string, unknown>): void {
  if (header["crit"] !== undefined) throw new errors.InvalidClientAuth("an unknown critical header");
}

/** RFC 8707: one resource, one of the gateway's own origins. The scope is settled here, before a token exists. */
function resourceServer(
  ctx: Context,
  resource: string,
  publicOrigins: readonly string[],
  clients: ReadonlyMap<string, BrokerClient>,
  accessTokenTTL: number,
) {
  const audience = publicOrigins.find((origin) => resource === origin || resource === `${origin}/`);
  if (audience === undefined) throw new errors.InvalidTarget("resource is not one of this gateway's origins");
  const { body, client, params } = ctx.oidc;
  // Details that nobody enforces must not look granted.
  if (body?.["authorization_details"] !== undefined) {
    throw new errors.InvalidRequest("authorization_details are not supported here");
  }
  const registered = clients.get(client?.clientId ?? "")?.scope ?? [];
  const asked = typeof params?.["scope"] === "string" ? params["scope"].split(" ") : [];
  const grant = grantScopes(registered, asked);
  if ("refused" in grant)
    throw new errors.InvalidScope("requested scope is not registered for this client", grant.refused);
  const scope = grant.granted.join(" ");
  if (params !== undefined && scope !== "") params["scope"] = scope;
  return {
    scope,
    audience,
    accessTokenTTL,
    accessTokenFormat: "jwt" as const,
    jwt: { sign: { alg: "ES256" as const } },
  };
}
