// In: the text of a token, an issuer's key set and a time. Out: whether it was valid then, and its lineage as far as it is proven.
// Trusts the key set alone, which the caller has from the issuer: nothing is fetched, and nobody is asked.
// What cannot be seen offline: that its caller holds its key, and whether it was revoked or renewed since.
import type { IssuerConfig } from "../config/schema.ts";
import { type Delegator, rootDelegator, verifyDelegationRecord } from "../lib/delegation-record.ts";
import { parseJwsPayload } from "../lib/parse-compact-jws.ts";
import { type DelegationRecord, parseDelegationClaim } from "../lib/parse-delegation-record.ts";
import { parseAgentId } from "../lib/spiffe-id.ts";
import { isObject, type JsonObject, memberOf } from "../lib/strict-json.ts";
import { checkDelegation, type Lineage } from "../token/check-delegation.ts";
import { createKeySet } from "../token/key-set.ts";
import { createTokenVerifier } from "../token/token-verifier.ts";
import type { VerifiedToken } from "../token/verified-token.ts";

/** What the gateway takes by default; a token that it would not take is not said to be valid here. */
export const TOKEN_BYTES_MAX = 16_384;

export interface VerifyOptions {
  readonly jwks: unknown;
  /** Unix milliseconds. */
  readonly atMs: number;
  /** Where absent, any: the key set says whose tokens are meant. */
  readonly issuer?: string | undefined;
  readonly audience?: string | undefined;
}

/** One agent of the lineage, and what it may do. */
export interface LineageMember {
  readonly id: string;
  readonly key_thumbprint: string;
  /** 0 is the root agent. */
  readonly depth: number;
  readonly purpose: string;
  readonly scope: readonly string[];
  readonly details: readonly unknown[];
  readonly constraints: Readonly<Record<string, unknown>>;
  /** RFC 3339; null for the root agent of a delegate's token, which does not say it. */
  readonly delegated_at: string | null;
  /** RFC 3339: the end of its authority. */
  readonly expires_at: string;
}

export interface TokenReport {
  readonly valid: boolean;
  /** RFC 3339: the time that it was judged at. */
  readonly at: string;
  /** A reason of the gateway (docs/reasons.md); null where it is valid. */
  readonly reason: string | null;
  readonly detail: string;
  /** What the token says; proven only where it is valid, or where the reason is `token.delegation`. */
  readonly token: {
    readonly issuer: string;
    readonly jti: string;
    readonly subject: string;
    readonly expires_at: string;
  };
  readonly principal: { readonly type: string; readonly id: string; readonly issuer: string } | null;
  /** From the root agent on; of a broken chain the members before the break. */
  readonly lineage: readonly LineageMember[];
}

/** The issuer that the token names, as the gateway would have it configured: Cordon's own claims, no mapping. */
function issuerOf(payload: JsonObject, options: VerifyOptions): IssuerConfig {
  const agent = parseAgentId(textOf(memberOf(memberOf(memberOf(payload, "cordon"), "agent"), "id") ?? payload["sub"]));
  const audience = options.audience === undefined ? audiencesOf(payload["aud"]) : [options.audience];
  return {
    kind: "oauth",
    issuer: options.issuer ?? textOf(payload["iss"]),
    audience,
    trust_domain: agent?.trust_domain ?? "none",
    algorithms: ["ES256", "ES384", "EdDSA", "Ed25519", "PS256", "RS256"],
    jwks: { file: "" },
    leeway_s: 0,
    max_lifetime_s: Number.MAX_SAFE_INTEGER,
    claims: {},
  };
}

export async function verifyToken(text: string, options: VerifyOptions): Promise<TokenReport> {
  const payload = parseJwsPayload(text.split(".")[1] ?? "") ?? {};
  const issuer = issuerOf(payload, options);
  const verifier = createTokenVerifier({
    issuers: [issuer],
    keySets: new Map([[issuer.issuer, createKeySet({ jwks: options.jwks })]]),
    limits: { token_bytes_max: TOKEN_BYTES_MAX, token_cache_entries: 1 },
  });
  const verified = await verifier.verify(text, options.atMs);
  const common = { at: new Date(options.atMs).toISOString(), token: tokenOf(payload) };
  if (verified.ok) {
    const { type, id, issuer: of } = verified.value.claims.principal;
    const lineage = lineageOf(payload, verified.value);
    return { valid: true, ...common, reason: null, detail: "", principal: { type, id, issuer: of }, lineage };
  }
  const { reason, detail = "" } = verified.error;
  // Here the issuer's signature holds: what of the chain is proven helps to see what is not.
  const proven = reason === "token.delegation" ? provenPartOf(payload) : undefined;
  const { principal = null, lineage = [] } = proven ?? {};
  return { valid: false, ...common, reason, detail, principal, lineage };
}

function lineageOf(payload: JsonObject, token: VerifiedToken): readonly LineageMember[] {
  const { claims, confirmation, expiresAtMs } = token;
  const { agent, intent } = claims;
  const lineage = checkDelegation(payload, { claims, jkt: confirmation.jkt, expiresAtMs });
  if (lineage.ok && lineage.value !== undefined) return membersOf(lineage.value);
  const { purpose, scope, details, constraints, expires_at } = intent;
  const keyThumbprint = confirmation.jkt ?? confirmation.x5tS256 ?? "";
  const grant = { purpose, scope, details, constraints, delegated_at: null, expires_at };
  return [{ id: agent.id, key_thumbprint: keyThumbprint, depth: 0, ...grant }];
}

function membersOf({ root, records }: Lineage): readonly LineageMember[] {
  return [memberFor(root), ...records.map(({ record, delegate }) => memberFor(delegate, record))];
}

function memberFor(delegator: Delegator, record?: DelegationRecord): LineageMember {
  const { id, jkt, depth, scope, details, constraints, expiresAtMs } = delegator;
  return {
    id,
    key_thumbprint: jkt,
    depth,
    purpose: record?.purpose ?? "",
    scope,
    details,
    constraints,
    delegated_at: record === undefined ? null : new Date(record.iat * 1000).toISOString(),
    expires_at: new Date(expiresAtMs).toISOString(),
  };
}

/** The members up to the first record that does not hold. */
function provenPartOf(payload: JsonObject): Pick<TokenReport, "principal" | "lineage"> | undefined {
  const cordon = memberOf(payload, "cordon");
  const claim = parseDelegationClaim(memberOf(cordon, "delegation"));
  const principal = memberOf(cordon, "principal");
  if (!claim.ok || !isObject(principal)) return undefined;
  const session = textOf(memberOf(memberOf(cordon, "session"), "id"));
  const said = { type: textOf(principal["type"]), id: textOf(principal["id"]), issuer: textOf(principal["issuer"]) };
  let delegator = rootDelegator(claim.value.root, { session, principal: said });
  const lineage = [memberFor(delegator)];
  for (const text of claim.value.records) {
    const verified = verifyDelegationRecord(text, delegator);
    if (!verified.ok) break;
    delegator = verified.value.delegate;
    lineage.push(memberFor(delegator, verified.value.record));
  }
  return { principal: said, lineage };
}

function tokenOf({ iss, jti, sub, exp }: JsonObject): TokenReport["token"] {
  const at = typeof exp === "number" ? new Date(exp * 1000) : undefined;
  const expiresAt = at === undefined || Number.isNaN(at.getTime()) ? "" : at.toISOString();
  return { issuer: textOf(iss), jti: textOf(jti), subject: textOf(sub), expires_at: expiresAt };
}

function audiencesOf(aud: unknown): string[] {
  return (Array.isArray(aud) ? aud : [aud]).filter((one) => typeof one === "string");
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
