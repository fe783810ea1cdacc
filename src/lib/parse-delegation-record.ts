// In: text that claims to be a delegation record, and the `delegation` claim of a token. Out: checked members, or a problem.
// Trusts nothing: sizes, members, types, the key and the names are checked here. Signature and parent are not.
import { hash } from "node:crypto";
import { err, ok } from "./result.ts";
import type { Result } from "./result.ts";
import { isScope } from "./narrowing.ts";
import { parseJwsHeader, parseJwsPayload, decodeBase64url, splitCompactJws } from "./parse-compact-jws.ts";
import { checkPublicJwk } from "./public-key.ts";
import type { CheckedJwk } from "./public-key.ts";
import { parseAgentId } from "./spiffe-id.ts";
import { isObject } from "./strict-json.ts";
import type { JsonObject } from "./strict-json.ts";

export const DELEGATION_HOPS_MAX = 5;
/** A record of a usual task has 1,400; long names, many scopes and details take the rest. */
export const RECORD_CHARS_MAX = 4096;
/** All records of a chain: what is longer has no room in a token of 16,384, where base64url adds a third to it. */
export const CHAIN_CHARS_MAX = 8192;
export const RECORD_TYPE = "cordon-delegation+jwt";

const SCOPES_MAX = 128;
const DETAILS_MAX = 32;
const TEXT_CHARS_MAX = 512;
/** Base64url SHA-256: thumbprints and hashes. */
const SHA256 = /^[A-Za-z0-9_-]{43}$/;
/** Control characters and line separators could break or forge a line of a log. */
const CONTROL = /[\p{Cc}\u2028\u2029]/u;
/** The year 9999, the last that RFC 3339 can write. */
const NUMERIC_DATE_MAX = 253_402_300_799;
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/** The payload of a record, exactly these members. */
export interface DelegationRecord {
  readonly v: 1;
  /** SPIFFE id of the delegator. */
  readonly iss: string;
  /** SPIFFE id of the delegate: the task and the thumbprint of its key. */
  readonly sub: string;
  readonly delegate_jkt: string;
  /** `spiffe://<trust-domain>/agent/<orchestration>/<task>`. */
  readonly task: string;
  /** `session.id`, which names the chain. */
  readonly session: string;
  readonly principal: DelegationPrincipal;
  readonly purpose: string;
  readonly scope: readonly string[];
  readonly details: readonly JsonObject[];
  readonly constraints: JsonObject;
  /** Unix seconds. */
  readonly iat: number;
  /** Unix seconds: the end of the delegate's authority. */
  readonly exp: number;
  /** 1 for a delegate of the root agent, at most 5. */
  readonly depth: number;
  /** Base64url SHA-256 of the previous record's compact text; "" at depth 1. */
  readonly prev: string;
}

export interface DelegationPrincipal {
  readonly type: string;
  readonly id: string;
  readonly issuer: string;
}

/** What the root agent was given by the issuer, as it stands in the `delegation` claim of a delegate's token. */
export interface DelegationRoot {
  readonly id: string;
  readonly jkt: string;
  readonly scope: readonly string[];
  readonly details: readonly JsonObject[];
  readonly constraints: JsonObject;
  /** RFC 3339. */
  readonly expires_at: string;
}

export interface DelegationClaim {
  readonly root: DelegationRoot;
  /** Compact JWS, from the root agent's to that for the token's own agent. */
  readonly records: readonly string[];
}

export interface ParsedRecord {
  readonly payload: DelegationRecord;
  readonly alg: "ES256" | "EdDSA";
  readonly key: CheckedJwk;
  readonly signature: Buffer;
  readonly signingInput: string;
  /** Base64url SHA-256 of the compact text: the `prev` of the next record. */
  readonly hash: string;
}

export type ParseCode =
  | "record_malformed"
  | "record_too_large"
  | "record_critical_header"
  | "record_type"
  | "record_algorithm"
  | "record_key";

export interface ParseProblem {
  readonly code: ParseCode;
  /** For a log or an operator; it quotes nothing of the record. */
  readonly detail: string;
}

const HEADER_MEMBERS = ["typ", "alg", "jwk"];
const EC_MEMBERS = ["kty", "crv", "x", "y"];
const OKP_MEMBERS = ["kty", "crv", "x"];
const PRINCIPAL_MEMBERS = ["type", "id", "issuer"];
const ROOT_MEMBERS = ["id", "jkt", "scope", "details", "constraints", "expires_at"];
const PAYLOAD_MEMBERS =
  "v iss sub delegate_jkt task session principal purpose scope details constraints iat exp depth prev".split(" ");

/** One text for each record: canonical base64url, strict JSON, exactly the known members. */
export function parseDelegationRecord(text: string): Result<ParsedRecord, ParseProblem> {
  const split = splitCompactJws(text, RECORD_CHARS_MAX);
  if (!split.ok) {
    if (split.error === "too_large") return refuse("record_too_large", `more than ${RECORD_CHARS_MAX} characters`);
    return malformed("not a compact JWS");
  }
  const parts = split.value;
  const header = parseJwsHeader(parts.header);
  if (!header.ok) {
    if (header.error === "critical_header") return refuse("record_critical_header", "an extension of the header");
    return malformed("header");
  }
  const { typ, alg, jwk } = header.value;
  if (typ !== RECORD_TYPE) return refuse("record_type", `typ is not ${RECORD_TYPE}`);
  if (alg !== "ES256" && alg !== "EdDSA") return refuse("record_algorithm", "alg is not ES256 or EdDSA");
  const key = parseKey(jwk, alg);
  if (!key.ok) return key;
  if (!hasExactly(header.value, HEADER_MEMBERS)) return malformed("header: members other than typ, alg, jwk");
  const payload = parseJwsPayload(parts.payload);
  const signature = decodeBase64url(parts.signature);
  if (payload === undefined || signature === undefined) return malformed("payload or signature");
  const wrong = wrongMemberOf(payload);
  if (wrong !== undefined) return malformed(wrong);
  return ok({
    payload: payload as unknown as DelegationRecord,
    alg,
    key: key.value,
    signature,
    signingInput: parts.signingInput,
    hash: hashOfRecord(text),
  });
}

/** What the next record of the chain has as `prev`. */
export function hashOfRecord(text: string): string {
  return hash("sha256", text, "base64url");
}

/** The `delegation` claim of a token. The records stay text here. */
export function parseDelegationClaim(value: unknown): Result<DelegationClaim, ParseProblem> {
  if (!isObject(value) || !hasExactly(value, ["root", "records"])) return malformed("delegation: not root and records");
  const { root, records } = value;
  if (!Array.isArray(records) || !records.every((record) => typeof record === "string")) {
    return malformed("delegation.records");
  }
  if (!isObject(root) || !hasExactly(root, ROOT_MEMBERS)) return malformed("delegation.root");
  const { id, jkt, expires_at: expiresAt } = root;
  if (typeof id !== "string" || !isThumbprint(jkt) || parseAgentId(id)?.instance !== jkt) {
    return malformed("delegation.root: id is not that of its key");
  }
  if (!isTime(expiresAt)) return malformed("delegation.root.expires_at");
  const wrong = wrongGrantOf(root);
  if (wrong !== undefined) return malformed(`delegation.root.${wrong}`);
  return ok({ root: root as unknown as DelegationRoot, records });
}

/** A public key of the algorithm with the members that make it and no other: no `d`, no `kid`, no `use`. */
function parseKey(jwk: unknown, alg: "ES256" | "EdDSA"): Result<CheckedJwk, ParseProblem> {
  const checked = checkPublicJwk(jwk);
  if (!checked.ok) return refuse("record_key", checked.error.detail);
  const { kind } = checked.value;
  if (kind !== (alg === "ES256" ? "P-256" : "Ed25519")) return refuse("record_key", `the key is not one of ${alg}`);
  if (!isObject(jwk) || !hasExactly(jwk, kind === "P-256" ? EC_MEMBERS : OKP_MEMBERS)) {
    return refuse("record_key", "the key has other members than those that make it");
  }
  return checked;
}

/** The name of the first member that is not what a record has there. */
function wrongMemberOf(payload: JsonObject): string | undefined {
  if (!hasExactly(payload, PAYLOAD_MEMBERS)) return "members other than those of version 1";
  const { v, iss, sub, delegate_jkt: delegateJkt, task, session, principal, purpose, iat, exp, depth, prev } = payload;
  if (v !== 1) return "v";
  if (typeof iss !== "string" || parseAgentId(iss) === undefined) return "iss";
  if (typeof sub !== "string" || parseAgentId(sub) === undefined) return "sub";
  if (!isThumbprint(delegateJkt)) return "delegate_jkt";
  if (typeof task !== "string" || parseAgentId(`${task}/i`) === undefined) return "task";
  if (!isText(session)) return "session";
  if (!isObject(principal) || !hasExactly(principal, PRINCIPAL_MEMBERS)) return "principal";
  if (!PRINCIPAL_MEMBERS.every((name) => isText(principal[name]))) return "principal";
  if (purpose !== "" && !isText(purpose)) return "purpose";
  if (!isNumericDate(iat)) return "iat";
  if (!isNumericDate(exp) || exp <= iat) return "exp";
  if (typeof depth !== "number" || !Number.isSafeInteger(depth) || depth < 1) return "depth";
  if (prev !== "" && !isThumbprint(prev)) return "prev";
  return wrongGrantOf(payload);
}

function wrongGrantOf(grant: JsonObject): string | undefined {
  const { scope, details, constraints } = grant;
  if (!Array.isArray(scope) || scope.length > SCOPES_MAX) return "scope";
  if (!scope.every((one) => typeof one === "string" && isScope(one))) return "scope";
  if (!Array.isArray(details) || details.length > DETAILS_MAX || !details.every(isObject)) return "details";
  return isObject(constraints) ? undefined : "constraints";
}

function hasExactly(value: JsonObject, names: readonly string[]): boolean {
  return Object.keys(value).length === names.length && names.every((name) => Object.hasOwn(value, name));
}

function isText(value: unknown): value is string {
  if (typeof value !== "string" || value.length === 0 || value.length > TEXT_CHARS_MAX) return false;
  return !CONTROL.test(value) && value.isWellFormed();
}

function isThumbprint(value: unknown): value is string {
  return typeof value === "string" && SHA256.test(value);
}

function isNumericDate(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= NUMERIC_DATE_MAX;
}

function isTime(value: unknown): value is string {
  return typeof value === "string" && RFC_3339.test(value) && !Number.isNaN(Date.parse(value));
}

function refuse(code: ParseCode, detail: string): Result<never, ParseProblem> {
  return err({ code, detail });
}

function malformed(detail: string): Result<never, ParseProblem> {
  return refuse("record_malformed", detail);
}
