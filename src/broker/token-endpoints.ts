// In: a provider and what the issuer remembers. Out: a provider with `/revoke` (RFC 7009) and `/introspect` (RFC 7662).
// oidc-provider authenticates the client, and then refuses a token that is a JWT, since it keeps none. Only that refusal
// is answered anew here: whoever gets so far has proven to be the client, and every other error stays its own.
import type { KoaContextWithOIDC, Provider } from "oidc-provider";
import { isObject } from "../lib/strict-json.ts";
import { agentsClientOf } from "./grants/agent-token.ts";
import type { GrantContext } from "./grants/grant-context.ts";
import { type OwnToken, readOwnToken } from "./own-token.ts";
import { revoke } from "./revoke.ts";
import { introspectionOf, isActive } from "./token-status.ts";

export const REVOCATION_PATH = "/revoke";
export const INTROSPECTION_PATH = "/introspect";

const NOT_KEPT = "unsupported_token_type";

/** `resourceServers`: clients that may ask about every token of this issuer, and do nothing else. */
export function addTokenEndpoints(
  provider: Provider,
  context: GrantContext,
  resourceServers: ReadonlySet<string>,
): void {
  provider.use(async (ctx: KoaContextWithOIDC, next) => {
    await next();
    const { oidc } = ctx as { oidc?: KoaContextWithOIDC["oidc"] };
    const route = oidc?.route;
    if (oidc === undefined || (route !== "revocation" && route !== "introspection")) return;
    if (!isObject(ctx.body) || ctx.body["error"] !== NOT_KEPT) return;
    const { client, params } = oidc;
    if (client === undefined) throw new Error("a token was refused before its client was known");
    const presented = typeof params?.["token"] === "string" ? params["token"] : "";
    const token = readOwnToken(presented, context.keyRing, context.issuer.issuer);
    ctx.status = 200;
    if (route === "introspection") {
      const told = token !== undefined && mayAsk(client.clientId, token, resourceServers) && isActive(context, token);
      ctx.body = told ? introspectionOf(token) : { active: false };
      return;
    }
    ctx.body = "";
    if (token !== undefined && mayRevoke(client.clientId, token)) await revokeToken(context, token, client.clientId);
  });
}

/** Its orchestrator, or a resource server. The client of agents proves nothing: everyone may claim to be it. */
function mayAsk(clientId: string, token: OwnToken, resourceServers: ReadonlySet<string>): boolean {
  return resourceServers.has(clientId) || isOrchestratorOf(clientId, token);
}

/** Its orchestrator, or whoever holds it: an agent that gives up its token, and also who stole it. */
function mayRevoke(clientId: string, token: OwnToken): boolean {
  return token.client_id === clientId || isOrchestratorOf(clientId, token);
}

function isOrchestratorOf(clientId: string, { client_id: owner }: OwnToken): boolean {
  return owner === agentsClientOf(clientId) || (owner === clientId && !clientId.endsWith(agentsClientOf("")));
}

/** RFC 7009 section 2.2: the answer is the same whatever the token was. */
async function revokeToken(context: GrantContext, token: OwnToken, by: string): Promise<void> {
  if (token.exp * 1000 <= context.nowMs()) return;
  const id = `${context.issuer.issuer} ${token.jti}`;
  await revoke(context, { level: "token", id, reason: "revoked by its client", by: `client:${by}` });
}
