// In: where the token comes from, and the agent's key. Out: a `fetch` that proves possession with every request.
// It sends the token only to the origins it may: a redirect is never followed with it.
import { CordonError } from "./cordon-error.ts";
import { createDpopProof } from "./create-dpop-proof.ts";
import type { AgentKey } from "./create-key.ts";

export interface DpopFetchOptions {
  /** Called for every request: return the current token, renewed where needed. */
  readonly getToken: () => string | Promise<string>;
  readonly key: AgentKey;
  /** Origins that may get the token; any where absent. */
  readonly origins?: readonly string[];
  readonly fetch?: typeof fetch;
}

/** The first error code of a DPoP challenge (RFC 9449 section 7.1). */
const NONCE_CHALLENGE = /^DPoP\b.*\berror="?use_dpop_nonce\b/i;
const TOKEN_CHALLENGE = /^DPoP\b.*\berror="?invalid_token\b/i;

/**
 * A drop-in for `fetch`, for example as the `fetch` option of the MCP SDK's transports.
 * Adds `Authorization: DPoP` and a fresh proof; repeats a request once when the server asks for a nonce.
 * Throws CordonError `target_refused` (origin not listed) or `body_not_repeatable` (a streamed body and a nonce challenge).
 */
export function createDpopFetch(options: DpopFetchOptions): typeof fetch {
  const { getToken, key, origins } = options;
  const nonces = new Map<string, string>();

  return async function dpopFetch(input, init) {
    const send = options.fetch ?? fetch;
    const request = input instanceof Request ? input : undefined;
    const url = new URL(request?.url ?? (input as string | URL));
    if (origins !== undefined && !origins.includes(url.origin)) {
      throw new CordonError(
        "target_refused",
        `The token is not for ${url.origin}; list it in \`origins\` if it should be.`,
      );
    }
    const method = (init?.method ?? request?.method ?? "GET").toUpperCase();
    const repeatable = !(init?.body instanceof ReadableStream);
    // A Request's body can be read once: the first attempt gets a copy, the second one the original.
    const ownBody = init?.body === undefined ? request?.body : undefined;

    const attempt = async (target: typeof input): Promise<Attempt> => {
      const accessToken = await getToken();
      const headers = new Headers(init?.headers ?? request?.headers);
      headers.set("authorization", `DPoP ${accessToken}`);
      headers.set("dpop", createDpopProof({ key, method, url, accessToken, nonce: nonces.get(url.origin) }));
      const response = await send(target, { ...init, method, headers, redirect: init?.redirect ?? "manual" });
      const nonce = response.headers.get("dpop-nonce");
      if (nonce !== null) nonces.set(url.origin, nonce);
      return { response, accessToken };
    };

    const first = await attempt(ownBody ? (request?.clone() ?? input) : input);
    const asksForNonce = isChallenge(first.response, NONCE_CHALLENGE) && first.response.headers.has("dpop-nonce");
    // A token may be superseded between its choice and its arrival: with its successor the request is as good as new.
    const isSuperseded =
      !asksForNonce &&
      isChallenge(first.response, TOKEN_CHALLENGE) &&
      repeatable &&
      (await getToken()) !== first.accessToken;
    if (!asksForNonce && !isSuperseded) {
      // Nobody reads the original any more: what the copy has buffered for it may go.
      await ownBody?.cancel();
      return first.response;
    }
    if (!repeatable) {
      throw new CordonError(
        "body_not_repeatable",
        "The server asks for a nonce, and a streamed body cannot be sent again.",
      );
    }
    await first.response.body?.cancel();
    return (await attempt(input)).response;
  };
}

interface Attempt {
  readonly response: Response;
  readonly accessToken: string;
}

function isChallenge(response: Response, challenge: RegExp): boolean {
  return response.status === 401 && challenge.test(response.headers.get("www-authenticate") ?? "");
}
