// In: the payload of a token whose signature was verified, and its claims. Out: its lineage, or why there is none.
// Trusts the issuer for the root agent's grant only: what a delegate has follows from records that its delegators signed,
// and a token that says more than its last record, or tells another chain, is refused.
import { rootDelegator, verifyDelegationChain } from "../lib/delegation-record.ts";
import type { Delegator, DelegationProblem, VerifiedRecord } from "../lib/delegation-record.ts";
import { narrowConstraints, narrowDetails, narrowScopes } from "../lib/narrowing.ts";
import { parseDelegationClaim } from "../lib/parse-delegation-record.ts";
import { err, ok } from "../lib/result.ts";
import type { Result } from "../lib/result.ts";
import { memberOf } from "../lib/strict-json.ts";
import type { JsonObject } from "../lib/strict-json.ts";
import type { DelegationHop } from "./agent.ts";
import type { TokenClaims } from "./read-claims.ts";

export interface Lineage {
  readonly root: Delegator;
  readonly records: readonly VerifiedRecord[];
}

export interface DelegatedToken {
  readonly claims: TokenClaims;
  /** `cnf.jkt`; undefined for a token that is bound to a certificate alone. */
  readonly jkt: string | undefined;
  /** `exp` in Unix milliseconds. */
  readonly expiresAtMs: number;
}

/** A problem of the token rather than of one of its records. */
const TOKEN_DISAGREES = "token_disagrees";

export interface LineageProblem extends Omit<DelegationProblem, "code"> {
  readonly code: DelegationProblem["code"] | typeof TOKEN_DISAGREES;
}

/** Undefined for an agent that nobody delegated to: the token has no records and tells no chain. */
export function checkDelegation(
  payload: JsonObject,
  token: DelegatedToken,
): Result<Lineage | undefined, LineageProblem> {
  const { session, principal } = token.claims;
  const claim = memberOf(memberOf(payload, "cordon"), "delegation");
  if (claim === undefined) {
    if (session.depth === 0 && session.chain.length === 0) return ok(undefined);
    return disagrees("it tells a chain and has no records of it");
  }
  const parsed = parseDelegationClaim(claim);
  if (!parsed.ok) return err({ ...parsed.error, hop: 0 });
  const root = rootDelegator(parsed.value.root, { session: session.id, principal });
  const verified = verifyDelegationChain(parsed.value.records, root);
  if (!verified.ok) return verified;
  const records = verified.value;
  const last = records.at(-1) ?? records[0];
  const difference = differenceFrom(last, token) ?? differenceOfChain(records, token);
  return difference === undefined ? ok({ root, records }) : disagrees(difference);
}

/** `session.chain`, as the records tell it. */
export function hopsOf(records: readonly VerifiedRecord[]): readonly DelegationHop[] {
  return records.map(({ record }) => ({
    delegator: record.iss,
    delegate: record.sub,
    scope: record.scope,
    at: new Date(record.iat * 1000).toISOString().replace(".000Z", "Z"),
  }));
}

/** The token is for the delegate of the last record and gives no more than that. */
function differenceFrom({ record, delegate }: VerifiedRecord, token: DelegatedToken): string | undefined {
  const { agent, intent } = token.claims;
  if (agent.id !== delegate.id) return "sub";
  if (token.jkt !== delegate.jkt) return "cnf.jkt";
  if (intent.purpose !== record.purpose) return "intent.purpose";
  if (!narrowScopes(delegate.scope, intent.scope).ok) return "intent.scope";
  if (!narrowConstraints(delegate.constraints, intent.constraints).ok) return "intent.constraints";
  if (!narrowDetails(delegate.details, intent.details).ok) return "intent.details";
  if (token.expiresAtMs > delegate.expiresAtMs) return "exp";
  return Date.parse(intent.expires_at) <= delegate.expiresAtMs ? undefined : "intent.expires_at";
}

function differenceOfChain(records: readonly VerifiedRecord[], token: DelegatedToken): string | undefined {
  const { depth, chain } = token.claims.session;
  if (depth !== records.length || chain.length !== records.length) return "session.depth";
  const same = hopsOf(records).every((hop, index) => isSameHop(hop, chain[index]));
  return same ? undefined : "session.chain";
}

function isSameHop(hop: DelegationHop, told: DelegationHop | undefined): boolean {
  if (told?.delegator !== hop.delegator || told.delegate !== hop.delegate) return false;
  return told.scope.join(" ") === hop.scope.join(" ") && Date.parse(told.at) === Date.parse(hop.at);
}

function disagrees(detail: string): Result<never, LineageProblem> {
  return err({ code: TOKEN_DISAGREES, hop: 0, detail });
}
