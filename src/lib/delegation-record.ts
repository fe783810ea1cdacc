// In: delegation records, and what the root agent was given. Out: who may do what at each hop, or the first problem.
// Pure and offline. It trusts the root alone: each record must be signed by the key that the hop before it names, for the
// same task, session and principal, and give no more than its signer has. The clock is the caller's matter.
import { narrowConstraints, narrowDetails, narrowScopes } from "./narrowing.ts";
import { CHAIN_CHARS_MAX, DELEGATION_HOPS_MAX, parseDelegationRecord } from "./parse-delegation-record.ts";
import type {
  DelegationPrincipal,
  DelegationRecord,
  DelegationRoot,
  ParseCode,
  ParsedRecord,
} from "./parse-delegation-record.ts";
import { importPublicKey } from "./public-key.ts";
import { err, ok } from "./result.ts";
import type { Result } from "./result.ts";
import { createSignatureVerifier } from "./signature-verifier.ts";
import type { JsonObject } from "./strict-json.ts";

/** Who may delegate, and what: the root agent, or the delegate of a verified record. */
export interface Delegator {
  /** SPIFFE id. */
  readonly id: string;
  /** RFC 7638 thumbprint of its key. */
  readonly jkt: string;
  readonly session: string;
  readonly principal: DelegationPrincipal;
  readonly scope: readonly string[];
  readonly details: readonly JsonObject[];
  readonly constraints: JsonObject;
  /** Unix milliseconds: the end of its authority. */
  readonly expiresAtMs: number;
  /** Unix seconds at which its authority began; 0 for the root agent, whose token says so. */
  readonly issuedAt: number;
  /** 0 for the root agent. */
  readonly depth: number;
  /** Hash of the record that made it a delegator; "" for the root agent. */
  readonly recordHash: string;
}

export interface VerifiedRecord {
  readonly record: DelegationRecord;
  /** The delegate as the delegator of the next record. */
  readonly delegate: Delegator;
}

export type DelegationCode =
  | ParseCode
  /** The signature is not that of the key in the header. */
  | "record_signature"
  /** Signed by another key than the delegator's. */
  | "record_signer"
  /** Made for another delegator, chain, task or principal, or after another record. */
  | "record_spliced"
  /** Not the next hop. */
  | "record_order"
  | "depth_exceeded"
  /** The delegate's id is not that of its key in this task. */
  | "delegate_mismatch"
  | "expiry_beyond_parent"
  | "issued_before_parent"
  | "scope_wider"
  | "constraint_wider"
  | "details_wider";

export interface DelegationProblem {
  readonly code: DelegationCode;
  /** Which record, from 1; 0 where it is the chain as a whole. */
  readonly hop: number;
  /** For a log or an operator; it says nothing of the signature. */
  readonly detail: string;
}

/** The root agent as a delegator. Session and principal are those of the token that carries the chain. */
export function rootDelegator(
  root: DelegationRoot,
  chain: { readonly session: string; readonly principal: DelegationPrincipal },
): Delegator {
  const { id, jkt, scope, details, constraints } = root;
  const { type, id: principalId, issuer } = chain.principal;
  return {
    id,
    jkt,
    session: chain.session,
    principal: { type, id: principalId, issuer },
    scope,
    details,
    constraints,
    expiresAtMs: Date.parse(root.expires_at),
    issuedAt: 0,
    depth: 0,
    recordHash: "",
  };
}

/** One record against its delegator. What is wrong without a signature is said before one is checked. */
export function verifyDelegationRecord(text: string, parent: Delegator): Result<VerifiedRecord, DelegationProblem> {
  const hop = parent.depth + 1;
  const parsed = parseDelegationRecord(text);
  if (!parsed.ok) return err({ ...parsed.error, hop });
  const { payload } = parsed.value;
  const problem =
    checkPlace(parsed.value, parent) ??
    checkDelegate(payload) ??
    checkTimes(payload, parent) ??
    checkGrant(payload, parent);
  if (problem !== undefined) return err({ ...problem, hop });
  if (!isSigned(parsed.value))
    return err({ code: "record_signature", hop, detail: "the signature is not that of the key" });
  const { sub, delegate_jkt: jkt, scope, details, constraints, iat, exp, depth } = payload;
  const { session, principal } = parent;
  const granted = { id: sub, jkt, session, principal, scope, details, constraints };
  const delegate = { ...granted, expiresAtMs: exp * 1000, issuedAt: iat, depth, recordHash: parsed.value.hash };
  return ok({ record: payload, delegate });
}

/** All records from the root agent on; at least one. */
export function verifyDelegationChain(
  records: readonly string[],
  root: Delegator,
): Result<readonly [VerifiedRecord, ...VerifiedRecord[]], DelegationProblem> {
  if (records.length > DELEGATION_HOPS_MAX) {
    return err({ code: "depth_exceeded", hop: 0, detail: `more than ${DELEGATION_HOPS_MAX} records` });
  }
  if (records.reduce((chars, record) => chars + record.length, 0) > CHAIN_CHARS_MAX) {
    return err({ code: "record_too_large", hop: 0, detail: `more than ${CHAIN_CHARS_MAX} characters in all` });
  }
  const verified: VerifiedRecord[] = [];
  let parent = root;
  for (const text of records) {
    const record = verifyDelegationRecord(text, parent);
    if (!record.ok) return record;
    verified.push(record.value);
    parent = record.value.delegate;
  }
  const [first, ...rest] = verified;
  return first === undefined ? err({ code: "record_malformed", hop: 0, detail: "no record" }) : ok([first, ...rest]);
}

type Problem = Omit<DelegationProblem, "hop">;

/** That this is the next record of this chain and of no other. */
function checkPlace({ payload, key }: ParsedRecord, parent: Delegator): Problem | undefined {
  if (payload.depth > DELEGATION_HOPS_MAX) {
    return { code: "depth_exceeded", detail: `deeper than ${DELEGATION_HOPS_MAX}` };
  }
  if (payload.depth !== parent.depth + 1) return { code: "record_order", detail: "depth" };
  if (key.thumbprint !== parent.jkt)
    return { code: "record_signer", detail: "signed by another key than the delegator's" };
  if (payload.iss !== parent.id) return { code: "record_spliced", detail: "iss" };
  if (payload.prev !== parent.recordHash) return { code: "record_spliced", detail: "prev" };
  if (payload.session !== parent.session) return { code: "record_spliced", detail: "session" };
  if (payload.task !== parent.id.slice(0, parent.id.lastIndexOf("/")))
    return { code: "record_spliced", detail: "task" };
  const { type, id, issuer } = payload.principal;
  const { principal } = parent;
  if (type !== principal.type || id !== principal.id || issuer !== principal.issuer) {
    return { code: "record_spliced", detail: "principal" };
  }
  return undefined;
}

/** One key is one instance: the delegate's id follows from its key, so a delegator knows it before it exists. */
function checkDelegate({ iss, sub, task, delegate_jkt: jkt }: DelegationRecord): Problem | undefined {
  if (sub !== `${task}/${jkt}`)
    return { code: "delegate_mismatch", detail: "sub is not the task and the key's thumbprint" };
  return sub === iss ? { code: "delegate_mismatch", detail: "an agent cannot delegate to itself" } : undefined;
}

function checkTimes({ iat, exp }: DelegationRecord, parent: Delegator): Problem | undefined {
  // Written so that a time that is no number refuses.
  if (!(exp * 1000 <= parent.expiresAtMs)) return { code: "expiry_beyond_parent", detail: "exp" };
  return iat >= parent.issuedAt ? undefined : { code: "issued_before_parent", detail: "iat" };
}

function checkGrant(record: DelegationRecord, parent: Delegator): Problem | undefined {
  const scope = narrowScopes(parent.scope, record.scope);
  if (!scope.ok) return { code: "scope_wider", detail: scope.error };
  const constraints = narrowConstraints(parent.constraints, record.constraints);
  if (!constraints.ok) return { code: "constraint_wider", detail: constraints.error };
  const details = narrowDetails(parent.details, record.details);
  return details.ok ? undefined : { code: "details_wider", detail: `entry ${details.error.index}` };
}

/** ES256 or EdDSA by the key in the header, which is the delegator's. A point off its curve is no key. */
function isSigned({ key, alg, signature, signingInput }: ParsedRecord): boolean {
  const imported = importPublicKey(key);
  if (!imported.ok) return false;
  const verify = createSignatureVerifier(imported.value, alg);
  return verify !== undefined && verify(Buffer.from(signingInput, "latin1"), signature);
}
