// In: an issuer's URL, and forms to post to it. Out: its JSON answers, or typed errors.
// Proofs over the server's nonce (RFC 9449 section 8), which is kept for the next request. No redirect is ever followed.
import { setTimeout as wait } from "node:timers/promises";
import { CordonError } from "./cordon-error.ts";
import { createDpopProof } from "./create-dpop-proof.ts";
import type { AgentKey } from "./create-key.ts";
import { readRefusal } from "./refusals.ts";

const TIMEOUT_MS = 10_000;
/** A 503 says that nothing was done: so often it is worth another try, within the 30 s of a launch token. */
const BUSY_RETRIES_MAX = 4;
/** What a `Retry-After` may ask for; half of it to all of it is waited, so that a crowd does not come back at once. */
const BUSY_WAIT_MS_MAX = 3000;
const BUSY_WAIT_MS_DEFAULT = 1000;

export interface IssuerRequest {
  /** Called for each attempt: what may be used once, as an assertion, is made anew. */
  readonly form: () => URLSearchParams;
  /** Proved with, where given. */
  readonly key?: AgentKey;
  readonly timeoutMs?: number;
  /** How often it is tried again where the issuer has too much to do; 4 where absent. */
  readonly busyRetriesMax?: number;
}

export interface IssuerClient {
  readonly issuer: string;
  /** Throws CordonError `issuer_unreachable`, `issuer_answer_invalid`, or what the issuer refused with. */
  requestToken(request: IssuerRequest): Promise<Readonly<Record<string, unknown>>>;
  /** Ends the agent whose token this is, and its delegates. Asked again it is the same: also of an expired token. */
  release(accessToken: string, key: AgentKey, timeoutMs: number): Promise<void>;
}

interface Attempt {
  readonly endpoint: string;
  readonly body: string;
  readonly key: AgentKey | undefined;
  readonly accessToken?: string;
  readonly timeoutMs: number;
}

export function createIssuerClient(options: { readonly issuer: string; readonly fetch?: typeof fetch }): IssuerClient {
  const { issuer } = options;
  const send = options.fetch ?? fetch;
  let endpoint: Promise<string> | undefined;
  let nonce: string | undefined;

  async function tokenEndpoint(): Promise<string> {
    endpoint ??= readTokenEndpoint(issuer, send);
    try {
      return await endpoint;
    } catch (error) {
      endpoint = undefined;
      throw error;
    }
  }

  async function post({ endpoint, body, key, accessToken, timeoutMs }: Attempt): Promise<Response> {
    const headers: Record<string, string> = {
      "content-type": "application/x-www-form-urlencoded",
      accept: "application/json",
    };
    if (key !== undefined)
      headers["dpop"] = createDpopProof({ key, method: "POST", url: endpoint, accessToken, nonce });
    if (accessToken !== undefined) headers["authorization"] = `DPoP ${accessToken}`;
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await reach(issuer, () =>
      send(endpoint, { method: "POST", headers, body, redirect: "error", signal }),
    );
    nonce = response.headers.get("dpop-nonce") ?? nonce;
    return response;
  }

  /** A nonce is asked for before anything is done, so the second request is as good as the first (once). */
  async function postWithNonce(attempt: () => Attempt): Promise<Answer> {
    const first = await readAnswer(issuer, await post(attempt()));
    if (!first.asksForNonce) return first;
    return readAnswer(issuer, await post(attempt()));
  }

  return {
    issuer,
    async requestToken({ form, key, timeoutMs = TIMEOUT_MS, busyRetriesMax = BUSY_RETRIES_MAX }) {
      const url = await tokenEndpoint();
      for (let retries = 0; ; retries++) {
        const answer = await postWithNonce(() => ({ endpoint: url, body: form().toString(), key, timeoutMs }));
        if (answer.status < 300 && answer.json !== undefined) return answer.json;
        if (answer.status !== 503 || retries >= busyRetriesMax) throw readRefusal(answer.status, answer.json);
        await wait(answer.retryAfterMs * (0.5 + Math.random() / 2));
      }
    },
    async release(accessToken, key, timeoutMs) {
      const endpoint = `${issuer}/release`;
      const { status, json } = await postWithNonce(() => ({ endpoint, body: "", key, accessToken, timeoutMs }));
      if (status >= 300) throw readRefusal(status, json);
    },
  };
}

interface Answer {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>> | undefined;
  readonly asksForNonce: boolean;
  readonly retryAfterMs: number;
}

async function readAnswer(issuer: string, response: Response): Promise<Answer> {
  const json = parseObject(await reach(issuer, () => response.text()));
  const challenge = response.headers.get("www-authenticate") ?? "";
  const asked = json?.["error"] === "use_dpop_nonce" || /\berror="?use_dpop_nonce\b/i.test(challenge);
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return {
    status: response.status,
    json,
    asksForNonce: response.status >= 400 && asked && response.headers.has("dpop-nonce"),
    retryAfterMs: seconds >= 0 ? Math.min(seconds * 1000, BUSY_WAIT_MS_MAX) : BUSY_WAIT_MS_DEFAULT,
  };
}

/** RFC 8414. */
async function readTokenEndpoint(issuer: string, send: typeof fetch): Promise<string> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const url = `${issuer}/.well-known/oauth-authorization-server`;
  const response = await reach(issuer, () => send(url, { signal, redirect: "error" }));
  const metadata = parseObject(await reach(issuer, () => response.text()));
  const endpoint = metadata?.["token_endpoint"];
  // Section 3.3: metadata of another issuer is not used.
  if (!response.ok || metadata?.["issuer"] !== issuer || typeof endpoint !== "string") {
    throw new CordonError(
      "issuer_answer_invalid",
      `${issuer} did not answer with its own metadata; check the issuer's URL.`,
    );
  }
  return endpoint;
}

async function reach<T>(issuer: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw new CordonError("issuer_unreachable", `The issuer ${issuer} cannot be reached; is it running?`, { cause });
  }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // Not JSON: the caller says so, with the status.
    return undefined;
  }
}
