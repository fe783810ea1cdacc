// In: an agent's own access token. Out: what it says of the agent, for which it needs no verification here.
// Trusts: the token came from the issuer, over a connection that the agent made. Who must not trust it verifies it.
import { CordonError } from "./cordon-error.ts";
import type { DelegationPrincipal, DelegationRoot } from "../lib/parse-delegation-record.ts";
import { DELEGATION_HOPS_MAX, parseDelegationClaim } from "../lib/parse-delegation-record.ts";
import { parseJwsPayload, splitCompactJws } from "../lib/parse-compact-jws.ts";
import { isObject, type JsonObject, memberOf } from "../lib/strict-json.ts";

/** The gateway's own default; what is longer no gateway would take. */
const TOKEN_CHARS_MAX = 16_384;

export interface OwnClaims {
  /** SPIFFE id. */
  readonly id: string;
  readonly issuer: string;
  readonly audience: readonly string[];
  readonly clientId: string;
  /** Unix milliseconds. */
  readonly tokenExpiresAtMs: number;
  /** Unix milliseconds: the end of the agent's authority, which no renewal passes. */
  readonly authorityEndsAtMs: number;
  readonly session: string;
  readonly principal: DelegationPrincipal;
  /** The agent at the top of the chain, and the records down to this one: none for a launched agent. */
  readonly root: DelegationRoot;
  readonly records: readonly string[];
}

/** Throws CordonError `issuer_answer_invalid`; the message never quotes the token. */
export function readClaims(accessToken: string): OwnClaims {
  const parts = splitCompactJws(accessToken, TOKEN_CHARS_MAX);
  const claims = parts.ok ? parseJwsPayload(parts.value.payload) : undefined;
  if (claims === undefined) throw invalid("it is no JWT");
  const { sub, iss, aud, client_id: clientId, exp, cnf } = claims;
  const cordon = claims["cordon"];
  const intent = memberOf(cordon, "intent");
  const principal = memberOf(cordon, "principal");
  const session = memberOf(memberOf(cordon, "session"), "id");
  const endsAt = memberOf(intent, "expires_at");
  const jkt = memberOf(cnf, "jkt");
  if (typeof sub !== "string" || typeof iss !== "string" || typeof clientId !== "string" || typeof jkt !== "string") {
    throw invalid("it does not say whose it is");
  }
  if (typeof exp !== "number" || typeof endsAt !== "string" || Number.isNaN(Date.parse(endsAt))) {
    throw invalid("it does not say when it ends");
  }
  if (typeof session !== "string" || !isObject(principal)) throw invalid("it names no session or principal");
  const delegation = memberOf(cordon, "delegation");
  const parsed = delegation === undefined ? undefined : parseDelegationClaim(delegation);
  if (parsed?.ok === false || (parsed?.value.records.length ?? 0) > DELEGATION_HOPS_MAX) {
    throw invalid("its delegation cannot be read");
  }
  const root = parsed?.value.root ?? {
    id: sub,
    jkt,
    scope: textsOf(memberOf(intent, "scope")),
    details: objectsOf(memberOf(intent, "details")),
    constraints: objectOf(memberOf(intent, "constraints")),
    expires_at: endsAt,
  };
  return {
    id: sub,
    issuer: iss,
    audience: typeof aud === "string" ? [aud] : textsOf(aud),
    clientId,
    tokenExpiresAtMs: exp * 1000,
    authorityEndsAtMs: Date.parse(endsAt),
    session,
    principal: {
      type: String(principal["type"]),
      id: String(principal["id"]),
      issuer: String(principal["issuer"]),
    },
    root,
    records: parsed?.value.records ?? [],
  };
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((member) => typeof member === "string") : [];
}

function objectsOf(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function objectOf(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

function invalid(why: string): CordonError {
  return new CordonError("issuer_answer_invalid", `The issuer's token cannot be read: ${why}.`);
}
