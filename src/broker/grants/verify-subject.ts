// In: a token of a person or service, issued by a configured identity provider. Out: the principal it proves.
// Trusts: the provider's keys for its own `iss`, and only for tokens made for this broker (`aud`).
import { createLocalJWKSet, createRemoteJWKSet, decodeJwt, errors, type JSONWebKeySet, jwtVerify } from "jose";
import type { JWTVerifyGetKey } from "jose";
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import { memberOf } from "../../lib/strict-json.ts";
import type { BrokerConfig } from "../../config/schema.ts";
import type { Principal } from "../../token/agent.ts";
import { isShortText } from "./read-parameters.ts";
import { type Refusal, refuse } from "./refusal.ts";

type IdentityProvider = BrokerConfig["identity_providers"][number];

/** Proves a principal by a token, at the given time (Unix milliseconds). */
export type SubjectVerifier = (token: string, nowMs: number) => Promise<Result<Principal, Refusal>>;

const TOKEN_CHARS_MAX = 16_384;
const LEEWAY_S = 30;
const COOLDOWN_MS = 30_000;
const FETCH_TIMEOUT_MS = 3000;
const KEY_SET_MAX_AGE_MS = 300_000;

/** `files`: the key sets that were read from files, by the path. */
export function createSubjectVerifier(
  providers: readonly IdentityProvider[],
  files: ReadonlyMap<string, JSONWebKeySet>,
): SubjectVerifier {
  const known = new Map(providers.map((provider) => [provider.issuer, { provider, keys: keysOf(provider, files) }]));

  return async (token, nowMs) => {
    const found = known.get(issuerOf(token) ?? "");
    if (found === undefined) return refuse("subject_token_invalid", "issuer");
    const { provider, keys } = found;
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer: provider.issuer,
        audience: [...provider.audience],
        algorithms: [...provider.algorithms],
        clockTolerance: LEEWAY_S,
        currentDate: new Date(nowMs),
        requiredClaims: ["exp", "sub"],
      });
      return principalOf(provider, payload);
    } catch (error) {
      // A bug is no refusal, and must not look like one.
      if (!(error instanceof errors.JOSEError) && !(error instanceof TypeError)) throw error;
      return refuse("subject_token_invalid", error instanceof errors.JOSEError ? error.code : "key set");
    }
  };
}

function keysOf(provider: IdentityProvider, files: ReadonlyMap<string, JSONWebKeySet>): JWTVerifyGetKey {
  if ("url" in provider.jwks) {
    return createRemoteJWKSet(new URL(provider.jwks.url), {
      cooldownDuration: COOLDOWN_MS,
      timeoutDuration: FETCH_TIMEOUT_MS,
      cacheMaxAge: KEY_SET_MAX_AGE_MS,
    });
  }
  return createLocalJWKSet(files.get(provider.jwks.file) ?? { keys: [] });
}

/** Only to find the provider; nothing else of an unverified token is looked at. */
function issuerOf(token: string): string | undefined {
  if (token.length > TOKEN_CHARS_MAX) return undefined;
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

/** RFC 8693 section 4.1: a token that carries an `act` speaks for someone already, and proves no principal here. */
function principalOf(provider: IdentityProvider, payload: Record<string, unknown>): Result<Principal, Refusal> {
  if (payload["act"] !== undefined) return refuse("subject_token_invalid", "act");
  const id = memberOf(payload, provider.principal.id_claim);
  if (!isShortText(id)) return refuse("subject_token_invalid", provider.principal.id_claim);
  const attributes: Record<string, unknown> = {};
  for (const name of provider.principal.attribute_claims) {
    const value = memberOf(payload, name);
    if (value !== undefined) attributes[name] = value;
  }
  return ok({ type: provider.principal.type, id, issuer: provider.issuer, attributes });
}
