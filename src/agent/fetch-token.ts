// In: a client's key and the agent's own key. Out: an access token bound to the agent's key.
// client_credentials (RFC 6749 4.4) with private_key_jwt (RFC 7523) and DPoP (RFC 9449 section 5).
import { assertClient } from "./client-assertion.ts";
import type { AgentKey } from "./create-key.ts";
import { createIssuerClient } from "./issuer-client.ts";
import { type AgentToken, readToken } from "./read-token.ts";

export interface TokenRequest {
  /** The issuer's URL; its token endpoint is read from its metadata (RFC 8414). */
  readonly issuer: string;
  readonly clientId: string;
  /** The client's registered key, with which it authenticates. */
  readonly clientKey: AgentKey;
  /** The agent's own key, to which the token will be bound. */
  readonly key: AgentKey;
  /** `action:resource:identifier`; all that the client is registered with where absent. */
  readonly scope?: readonly string[];
  /** The gateway's origin; the issuer's default where absent (RFC 8707). */
  readonly resource?: string;
  readonly fetch?: typeof fetch;
}

/** Throws CordonError `issuer_unreachable`, `issuer_answer_invalid` or `token_refused`. */
export async function fetchToken(request: TokenRequest): Promise<AgentToken> {
  const { issuer, clientId, clientKey, key, scope, resource } = request;
  const client = createIssuerClient({ issuer, ...(request.fetch === undefined ? {} : { fetch: request.fetch }) });
  const sentAtMs = Date.now();
  const form = (): URLSearchParams => {
    const fields = new URLSearchParams({
      grant_type: "client_credentials",
      ...assertClient({ issuer, clientId, key: clientKey }),
    });
    if (scope !== undefined && scope.length > 0) fields.set("scope", scope.join(" "));
    if (resource !== undefined) fields.set("resource", resource);
    return fields;
  };
  return readToken(await client.requestToken({ form, key }), sentAtMs);
}
