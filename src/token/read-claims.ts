// In: the payload of a verified token and its issuer's configuration. Out: the four claims and the identity, or a problem.
// Trusts the issuer for its own trust domain only. Names come from the issuer's mapping; what is not mapped is read
// from the `cordon` claim of the embedded issuer. A mapped claim that is absent is absent: there is no second guess.
import type { IssuerConfig } from "../config/schema.ts";
import { DELEGATION_HOPS_MAX as HOPS_MAX } from "../lib/parse-delegation-record.ts";
import { err, ok } from "../lib/result.ts";
import type { Result } from "../lib/result.ts";
import type { AgentClaims, AgentIdentity, DelegationHop, Intent, Principal, Provenance, Session } from "./agent.ts";
import {
  booleanOf,
  ClaimProblem,
  countOf,
  listOf,
  problem,
  recordOf,
  requiredTextOf,
  scopesOf,
  textOf,
  timeOf,
} from "./claim-value.ts";
import { composeAgentId, parseAgentId } from "../lib/spiffe-id.ts";
import { memberOf } from "../lib/strict-json.ts";
import type { JsonObject } from "../lib/strict-json.ts";

export type TokenClaims = Omit<AgentClaims, "token">;

type ClaimName = keyof IssuerConfig["claims"];

/** What the token itself says, already checked, for the fields that fall back on it. */
export interface TokenContext {
  readonly jti: string;
  readonly expiresAt: string;
  readonly keyThumbprint: string;
}

export type ClaimReader = (payload: JsonObject, token: TokenContext) => Result<TokenClaims, string>;

const DETAILS_MAX = 32;

/** Compiles the issuer's mapping once. */
export function createClaimReader(issuer: IssuerConfig): ClaimReader {
  const sources = new Map<string, (payload: JsonObject) => unknown>();
  for (const [name, source] of Object.entries(issuer.claims)) {
    if (source !== undefined) sources.set(name, "claim" in source ? pathReader(source.claim) : () => source.value);
  }

  return (payload, token) => {
    const cordon = memberOf(payload, "cordon");
    const mapped = (name: ClaimName) => sources.has(name);
    const read = (name: ClaimName): unknown => {
      const source = sources.get(name);
      if (source !== undefined) return source(payload);
      const [group = "", member = ""] = name.split(".");
      return memberOf(memberOf(cordon, group), member);
    };
    try {
      const agent = readAgent(payload, read, mapped, issuer.trust_domain, token.keyThumbprint);
      const principal = readPrincipal(read, issuer.issuer);
      const scopeOfToken = mapped("intent.scope") ? undefined : payload.scope;
      const detailsOfToken = mapped("intent.details") ? undefined : payload.authorization_details;
      const expiresAt = timeOf(
        memberOf(memberOf(cordon, "intent"), "expires_at"),
        "intent.expires_at",
        token.expiresAt,
      );
      const intent = readIntent(read, agent, { scope: scopeOfToken, details: detailsOfToken, expiresAt });
      return ok({ agent, principal, intent, provenance: readProvenance(read), session: readSession(read, token.jti) });
    } catch (error) {
      if (error instanceof ClaimProblem) return err(error.message);
      throw error;
    }
  };
}

type Read = (name: ClaimName) => unknown;

function readAgent(
  payload: JsonObject,
  read: Read,
  mapped: (name: ClaimName) => boolean,
  trustDomain: string,
  keyThumbprint: string,
): AgentIdentity {
  const subject = typeof payload.sub === "string" && payload.sub.startsWith("spiffe://") ? payload.sub : undefined;
  const composed = mapped("agent.orchestration") || mapped("agent.task") || mapped("agent.instance");
  const named = read("agent.id") ?? (composed || mapped("agent.id") ? undefined : subject);
  // Two names for one caller: a token that contradicts itself is refused, not interpreted.
  if (!mapped("agent.id") && subject !== undefined && named !== undefined && named !== subject) {
    problem("agent.id", "differs from sub");
  }
  const agent =
    named === undefined
      ? composeAgentId(
          trustDomain,
          requiredTextOf(read("agent.orchestration"), "agent.orchestration"),
          requiredTextOf(read("agent.task"), "agent.task"),
          textOf(read("agent.instance"), "agent.instance", keyThumbprint),
        )
      : parseAgentId(textOf(named, "agent.id"));
  if (agent === undefined) problem("agent.id", "is not the SPIFFE id of an agent");
  // Trust domains never mix: an issuer names agents of its own domain only.
  if (agent.trust_domain !== trustDomain) problem("agent.trust_domain", "is not the issuer's");
  return agent;
}

function readPrincipal(read: Read, issuer: string): Principal {
  return {
    type: requiredTextOf(read("principal.type"), "principal.type"),
    id: requiredTextOf(read("principal.id"), "principal.id"),
    issuer: textOf(read("principal.issuer"), "principal.issuer", issuer),
    attributes: recordOf(read("principal.attributes"), "principal.attributes"),
  };
}

function readIntent(
  read: Read,
  agent: AgentIdentity,
  ofToken: { scope: unknown; details: unknown; expiresAt: string },
): Intent {
  return {
    task: textOf(read("intent.task"), "intent.task", agent.task),
    purpose: textOf(read("intent.purpose"), "intent.purpose", ""),
    scope: scopesOf(read("intent.scope") ?? ofToken.scope, "intent.scope"),
    details: listOf(read("intent.details") ?? ofToken.details, "intent.details", DETAILS_MAX),
    constraints: recordOf(read("intent.constraints"), "intent.constraints"),
    expires_at: ofToken.expiresAt,
  };
}

function readProvenance(read: Read): Provenance {
  return {
    model: textOf(read("provenance.model"), "provenance.model", ""),
    model_version: textOf(read("provenance.model_version"), "provenance.model_version", ""),
    deployment: textOf(read("provenance.deployment"), "provenance.deployment", ""),
    environment: textOf(read("provenance.environment"), "provenance.environment", ""),
    config_digest: textOf(read("provenance.config_digest"), "provenance.config_digest", ""),
    image_digest: textOf(read("provenance.image_digest"), "provenance.image_digest", ""),
    prompt_digest: textOf(read("provenance.prompt_digest"), "provenance.prompt_digest", ""),
    publisher: textOf(read("provenance.publisher"), "provenance.publisher", ""),
    verified: booleanOf(read("provenance.verified"), "provenance.verified", false),
  };
}

function readSession(read: Read, jti: string): Session {
  const chain = listOf(read("session.chain"), "session.chain", HOPS_MAX).map(readHop);
  const initiator = read("session.initiator");
  const depth = countOf(read("session.depth"), "session.depth", chain.length, HOPS_MAX);
  if (depth < chain.length) problem("session.depth", "is less than the chain is long");
  return {
    id: textOf(read("session.id"), "session.id", jti),
    root_request: textOf(read("session.root_request"), "session.root_request", ""),
    // Unknown unless the issuer says so: a policy that asks for a human start must not find one by default.
    initiator: {
      type: textOf(memberOf(recordOf(initiator, "session.initiator"), "type"), "session.initiator.type", "unknown"),
      id: textOf(memberOf(initiator, "id"), "session.initiator.id", ""),
    },
    depth,
    chain,
  };
}

function readHop(hop: unknown): DelegationHop {
  return {
    delegator: requiredTextOf(memberOf(hop, "delegator"), "session.chain.delegator"),
    delegate: requiredTextOf(memberOf(hop, "delegate"), "session.chain.delegate"),
    scope: scopesOf(memberOf(hop, "scope"), "session.chain.scope"),
    at: timeOf(memberOf(hop, "at"), "session.chain.at"),
  };
}

/** A dotted path, or a JSON pointer (RFC 6901) where a name holds a dot. */
function pathReader(path: string): (payload: JsonObject) => unknown {
  const names = path.startsWith("/")
    ? path
        .slice(1)
        .split("/")
        .map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"))
    : path.split(".");
  return (payload) => names.reduce<unknown>((value, name) => memberOf(value, name), payload);
}
