// In: a key, and the requests of an OAuth client that knows no DPoP, such as the public MCP SDK. Out: the same requests with
// proofs: the token request, so that the token is bound to the key, and every request that carries the token.
// Trusts no answer for a bound one: a token that travels without a proof is refused before the client can keep it.
import { createDpopFetch } from "./create-dpop-fetch.ts";
import { createDpopProof } from "./create-dpop-proof.ts";
import type { AgentKey } from "./create-key.ts";
import type { McpTransportOptions } from "./mcp-options.ts";
import { readToken } from "./read-token.ts";

export interface OAuthFetchOptions {
  /** The client's tokens are bound to it: keep it for as long as they are kept. */
  readonly key: AgentKey;
  readonly fetch?: typeof fetch;
}

const BEARER = /^Bearer +(?<token>\S+)$/i;

/**
 * As the `fetch` beside an `authProvider` of the MCP SDK: proves token requests (RFC 9449 section 5), and sends the token that
 * the SDK writes as `Bearer` as `DPoP`, with a proof. Repeats a request once when the server asks for a nonce; all others pass
 * as they are. Throws CordonError `issuer_answer_invalid` where the token is not bound, and what `createDpopFetch` throws.
 */
export function createOAuthFetch({ key, fetch: send = fetch }: OAuthFetchOptions): McpTransportOptions["fetch"] {
  const nonces = new Map<string, string>();
  let proving: { readonly token: string; readonly fetch: typeof fetch } | undefined;

  function fetchWith(token: string): typeof fetch {
    if (proving?.token !== token)
      proving = { token, fetch: createDpopFetch({ getToken: () => token, key, fetch: send }) };
    return proving.fetch;
  }

  async function askForToken(url: string | URL, init: RequestInit): Promise<Response> {
    const { origin } = new URL(url);
    const headers = new Headers(init.headers);
    headers.set("dpop", createDpopProof({ key, method: "POST", url, nonce: nonces.get(origin) }));
    const response = await send(url, { ...init, headers, redirect: init.redirect ?? "manual" });
    const nonce = response.headers.get("dpop-nonce");
    if (nonce !== null) nonces.set(origin, nonce);
    return response;
  }

  return async function oauthFetch(url, init = {}) {
    const token = BEARER.exec(new Headers(init.headers).get("authorization") ?? "")?.groups?.["token"];
    if (token !== undefined) return fetchWith(token)(url, init);
    if (!isTokenRequest(init)) return send(url, init);
    let response = await askForToken(url, init);
    if (response.headers.has("dpop-nonce") && (await readCopy(response))?.["error"] === "use_dpop_nonce") {
      await response.body?.cancel();
      response = await askForToken(url, init);
    }
    if (response.ok) readToken((await readCopy(response)) ?? {}, Date.now());
    return response;
  };
}

/** A form with a `grant_type` (RFC 6749 section 4); registration, revocation and messages of MCP have none. */
function isTokenRequest({ method, body }: RequestInit): boolean {
  if (method?.toUpperCase() !== "POST") return false;
  return (body instanceof URLSearchParams ? body : new URLSearchParams(typeof body === "string" ? body : "")).has(
    "grant_type",
  );
}

/** The client reads the answer itself. */
async function readCopy(response: Response): Promise<Record<string, unknown> | undefined> {
  try {
    return (await response.clone().json()) as Record<string, unknown>;
  } catch {
    // Not JSON: the client says so, with the status.
    return undefined;
  }
}
