// In: a launch token or a delegation, given to this agent alone. Out: an agent with an identity, and a `fetch` that proves it.
// The key is made here and never leaves the process; a launch token is redeemed once and never sent a second time.
import { CordonError } from "./cordon-error.ts";
import { createDpopFetch } from "./create-dpop-fetch.ts";
import { type Delegation, type DelegationRequest, signDelegation } from "./create-delegation.ts";
import { type AgentKey, createKey, type KeyAlgorithm } from "./create-key.ts";
import { createTokenKeeper, type HeldToken } from "./create-token-keeper.ts";
import { createIssuerClient } from "./issuer-client.ts";
import { type OwnClaims, readClaims } from "./read-claims.ts";
import { type AgentToken, readToken } from "./read-token.ts";

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange";
const LAUNCH_TOKEN_TYPE = "urn:cordon:params:oauth:token-type:launch-token";
const RECORD_TYPE = "urn:cordon:params:oauth:token-type:delegation-record";
const ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token";
/** `<application>.<256 random bits>`. */
const LAUNCH_TOKEN = /^(?<application>[A-Za-z0-9._-]{1,128})\.[A-Za-z0-9_-]{43}$/;
/** A renewal that was lost must be asked for again within the 10 s that the old token still serves. */
const RENEWAL_TIMEOUT_MS = 3000;
/** Long enough for a busy issuer, short enough for a process that ends. */
const RELEASE_TIMEOUT_MS = 3000;
/** `exp` has whole seconds: a token that ends this close to the authority's end is its last one. */
const FINAL_MS = 2000;

export interface AgentOptions {
  /** The issuer's URL; a delegation names its own. */
  readonly issuer?: string;
  /** From `createLauncher`: single use, 30 s. */
  readonly launchToken?: string;
  /** From the delegator's `delegate`, made for the thumbprint of `key`. */
  readonly delegation?: Delegation;
  /** Needed for a delegation, whose record names it; made here where absent. */
  readonly key?: AgentKey;
  /** Of the key that is made here: `ES256` (P-256) where absent, or `EdDSA` (Ed25519). */
  readonly algorithm?: KeyAlgorithm;
  /** The gateway's origin (RFC 8707); the issuer's default where absent. */
  readonly resource?: string;
  /** Narrower than what was launched or delegated. */
  readonly scope?: readonly string[];
  /** Origins that may get the token besides those of its audience. */
  readonly origins?: readonly string[];
  /** Told when the agent has no token any more and will get none. */
  readonly onEnd?: (error: CordonError) => void;
  /** Told when no renewal will come any more; the token still serves to its end. */
  readonly onLastToken?: (error: CordonError) => void;
  readonly fetch?: typeof fetch;
}

export interface Agent {
  /** SPIFFE id. */
  readonly id: string;
  /** RFC 7638 thumbprint of its key: what a delegator of this agent signs for. */
  readonly thumbprint: string;
  readonly scope: readonly string[];
  /** Unix milliseconds: the end of its authority, which no renewal passes. */
  readonly expiresAtMs: number;
  /** Origins to which `fetch` sends the token. */
  readonly origins: readonly string[];
  /** A drop-in for `fetch` that proves every request, and refuses every origin but `origins`. */
  readonly fetch: typeof fetch;
  /** A token that is valid now, renewed where needed. It is of use only with proofs of the agent's key. */
  accessToken(): Promise<string>;
  /** Signs a delegation record for a sub-agent; nothing is sent. */
  delegate(request: DelegationRequest): Promise<Delegation>;
  /** Ends the agent and its delegates at the issuer. Throws CordonError where the issuer could not be told. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The agent and its key, for the parts of this library that prove requests themselves. */
export interface StartedAgent {
  readonly agent: Agent;
  readonly key: AgentKey;
}

/**
 * Throws CordonError: `launch_token_spent`, `launch_token_expired`, `record_invalid`, `delegate_mismatch`, `key_used_before`,
 * `issuer_unreachable`, `usage`, and what else refusals.ts names.
 */
export async function createAgent(options: AgentOptions): Promise<Agent> {
  return (await startAgent(options)).agent;
}

export async function startAgent(options: AgentOptions): Promise<StartedAgent> {
  const { issuer, clientId, subject } = readSource(options);
  const key = options.key ?? createKey(options.algorithm);
  const send = options.fetch === undefined ? {} : { fetch: options.fetch };
  const client = createIssuerClient({ issuer, ...send });
  const wanted = {
    ...(options.scope === undefined ? {} : { scope: options.scope.join(" ") }),
    ...(options.resource === undefined ? {} : { resource: options.resource }),
  };

  async function exchange(fields: Record<string, string>, limits: { timeoutMs?: number; busyRetriesMax?: number }) {
    const form = new URLSearchParams({ grant_type: GRANT_TYPE, client_id: clientId, ...fields, ...wanted });
    const sentAtMs = Date.now();
    const answer = await client.requestToken({ form: () => form, key, ...limits });
    return holdToken(readToken(answer, sentAtMs));
  }

  // Never sent a second time after it may have arrived: a launch token that comes twice is an alarm.
  const first = await exchange(subject, {});
  const { id, clientId: ownClientId, audience, authorityEndsAtMs } = first.claims;
  if (ownClientId !== clientId || !id.endsWith(`/${key.thumbprint}`)) {
    throw new CordonError("issuer_answer_invalid", "The issuer's token is for another agent than this one.");
  }
  const keeper = createTokenKeeper({
    first,
    renew: async (current) => {
      const fields = { subject_token: current.accessToken, subject_token_type: ACCESS_TOKEN_TYPE };
      return exchange(fields, { timeoutMs: RENEWAL_TIMEOUT_MS, busyRetriesMax: 0 });
    },
    onEnd: options.onEnd,
    onLastToken: options.onLastToken,
  });
  const origins = [...new Set([...audience.flatMap(originOf), ...(options.origins ?? []).flatMap(originOf)])];
  let released: Promise<void> | undefined;

  async function release(): Promise<void> {
    const { accessToken } = keeper.held;
    keeper.close();
    try {
      await client.release(accessToken, key, RELEASE_TIMEOUT_MS);
    } catch (error) {
      if (!(error instanceof CordonError) || error.code !== "issuer_unreachable") throw error;
      // Releasing twice is the same as once.
      await client.release(accessToken, key, RELEASE_TIMEOUT_MS);
    }
  }
  function close(): Promise<void> {
    released ??= release();
    return released;
  }

  const agent: Agent = {
    id,
    thumbprint: key.thumbprint,
    expiresAtMs: authorityEndsAtMs,
    origins,
    get scope() {
      return keeper.held.scope;
    },
    fetch: createDpopFetch({ getToken: keeper.accessToken, key, origins, ...send }),
    accessToken: keeper.accessToken,
    delegate: async (request) => signDelegation({ key, accessToken: await keeper.accessToken() }, request),
    close,
    [Symbol.asyncDispose]: close,
  };
  return { agent, key };
}

interface Source {
  readonly issuer: string;
  /** The public client of the application's agents. */
  readonly clientId: string;
  readonly subject: Record<string, string>;
}

function readSource({ issuer, launchToken, delegation, key }: AgentOptions): Source {
  if ((launchToken === undefined) === (delegation === undefined)) {
    throw new CordonError("usage", "An agent starts from a launch token or from a delegation: give one of them.");
  }
  if (delegation !== undefined) {
    if (key === undefined) {
      throw new CordonError(
        "usage",
        "A delegation is for one key: give the key whose thumbprint the delegator signed for.",
      );
    }
    const subject = { subject_token: delegation.record, subject_token_type: RECORD_TYPE };
    return { issuer: withoutSlash(issuer ?? delegation.issuer), clientId: delegation.clientId, subject };
  }
  if (issuer === undefined) throw new CordonError("usage", "Name the issuer that the launch token is from.");
  const application = LAUNCH_TOKEN.exec(launchToken ?? "")?.groups?.["application"];
  // The text is not quoted: it may be a secret of another kind.
  if (application === undefined)
    throw new CordonError("usage", "This is not a launch token: <application>.<43 characters>.");
  const subject = { subject_token: launchToken ?? "", subject_token_type: LAUNCH_TOKEN_TYPE };
  return { issuer: withoutSlash(issuer), clientId: `${application}.agents`, subject };
}

function holdToken(token: AgentToken): HeldToken & { readonly claims: OwnClaims } {
  const claims = readClaims(token.accessToken);
  return {
    accessToken: token.accessToken,
    scope: token.scope,
    lifetimeMs: token.expiresAtMs - Date.now(),
    final: claims.tokenExpiresAtMs >= claims.authorityEndsAtMs - FINAL_MS,
    claims,
  };
}

function originOf(text: string): string[] {
  const url = URL.parse(text);
  return url?.protocol === "http:" || url?.protocol === "https:" ? [url.origin] : [];
}

/** An issuer's identifier has no slash at its end here, as the gateway's configuration has none. */
function withoutSlash(issuer: string): string {
  return issuer.replace(/\/$/, "");
}
