// In: a client's key and the agent's own key. Out: an access token bound to the agent's key.
// client_credentials (RFC 6749 4.4) with private_key_jwt (RFC 7523) and DPoP (RFC 9449 section 5).
import { randomUUID } from "node:crypto";
import { CordonError } from "./cordon-error.ts";
import { createDpopProof } from "./create-dpop-proof.ts";
import type { AgentKey } from "./create-key.ts";
import { signJwt } from "./sign-jwt.ts";

const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/** Made for one request; long enough for a clock that is a little off. */
const ASSERTION_LIFETIME_S = 60;
const TIMEOUT_MS = 10_000;

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

export interface AgentToken {
  readonly accessToken: string;
  /** Unix milliseconds. */
  readonly expiresAtMs: number;
  readonly scope: readonly string[];
}

/** Throws CordonError `issuer_unreachable`, `issuer_answer_invalid` or `token_refused`. */
export async function fetchToken(request: TokenRequest): Promise<AgentToken> {
  const send = request.fetch ?? fetch;
  const endpoint = await readTokenEndpoint(request.issuer, send);
  let response = await post(request, endpoint, undefined, send);
  if (response.status >= 400) {
    const nonce = response.headers.get("dpop-nonce");
    const answer = await readJson(response);
    if (answer?.["error"] !== "use_dpop_nonce" || nonce === null) throw refusal(response.status, answer);
    response = await post(request, endpoint, nonce, send);
  }
  const sentAtMs = Date.now();
  const answer = await readJson(response);
  if (!response.ok) throw refusal(response.status, answer);

  const { access_token: accessToken, token_type: type, expires_in: expiresIn, scope } = answer ?? {};
  // A token of another type would be sent without a proof: refuse it rather than weaken it (RFC 9449 section 5).
  if (typeof accessToken !== "string" || typeof type !== "string" || type.toLowerCase() !== "dpop") {
    throw new CordonError("issuer_answer_invalid", "The issuer did not answer with a token bound to the key (DPoP).");
  }
  return {
    accessToken,
    expiresAtMs: sentAtMs + (typeof expiresIn === "number" ? expiresIn : 0) * 1000,
    scope: typeof scope === "string" ? scope.split(" ") : [],
  };
}

async function readTokenEndpoint(issuer: string, send: typeof fetch): Promise<string> {
  const response = await reach(issuer, () =>
    send(`${issuer}/.well-known/oauth-authorization-server`, { signal: AbortSignal.timeout(TIMEOUT_MS) }),
  );
  const metadata = await readJson(response);
  const endpoint = metadata?.["token_endpoint"];
  // RFC 8414 section 3.3: metadata of another issuer is not used.
  if (!response.ok || metadata?.["issuer"] !== issuer || typeof endpoint !== "string") {
    throw new CordonError(
      "issuer_answer_invalid",
      `${issuer} did not answer with its own metadata; check the issuer's URL.`,
    );
  }
  return endpoint;
}

async function post(
  request: TokenRequest,
  endpoint: string,
  nonce: string | undefined,
  send: typeof fetch,
): Promise<Response> {
  const { clientId, clientKey, key, issuer } = request;
  const iat = Math.floor(Date.now() / 1000);
  const assertion = signJwt(
    { typ: "JWT", kid: clientKey.thumbprint },
    { iss: clientId, sub: clientId, aud: issuer, jti: randomUUID(), iat, exp: iat + ASSERTION_LIFETIME_S },
    clientKey,
  );
  const body = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: clientId,
    client_assertion_type: ASSERTION_TYPE,
    client_assertion: assertion,
  });
  if (request.scope !== undefined && request.scope.length > 0) body.set("scope", request.scope.join(" "));
  if (request.resource !== undefined) body.set("resource", request.resource);
  return reach(issuer, () =>
    send(endpoint, {
      method: "POST",
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        accept: "application/json",
        dpop: createDpopProof({ key, method: "POST", url: endpoint, nonce }),
      },
      body: body.toString(),
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    }),
  );
}

async function reach(issuer: string, call: () => Promise<Response>): Promise<Response> {
  try {
    return await call();
  } catch (cause) {
    throw new CordonError("issuer_unreachable", `The issuer ${issuer} cannot be reached; is it running?`, { cause });
  }
}

async function readJson(response: Response): Promise<Record<string, unknown> | undefined> {
  const text = await response.text();
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // Not JSON: the caller says so, with the status.
    return undefined;
  }
}

function refusal(status: number, answer: Record<string, unknown> | undefined): CordonError {
  const error = typeof answer?.["error"] === "string" ? answer["error"] : "unknown";
  const description = answer?.["error_description"];
  const why = typeof description === "string" ? `${error}, ${description}` : error;
  return new CordonError("token_refused", `The issuer refused a token: ${why} (status ${status}).`, { status, error });
}
