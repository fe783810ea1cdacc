// In: the credentials of one request, as plain facts, and the time. Out: the Agent, or a denial with its challenge.
// Trusts its three verifiers. Order: one scheme, then the token, then the proof of the key that the token names.
import { deny, REASONS } from "../errors.ts";
import type { Denial } from "../errors.ts";
import { err, ok } from "../lib/result.ts";
import type { Result } from "../lib/result.ts";
import type { Agent } from "./agent.ts";
import { checkCertificateBinding } from "./certificate-binding.ts";
import type { CertificateFacts } from "./certificate-binding.ts";
import type { FailedProofs } from "./failed-proofs.ts";
import type { NonceService } from "./nonce-service.ts";
import type { ProofVerifier } from "./proof-verifier.ts";
import type { TokenVerifier } from "./token-verifier.ts";
import { checkSvidBinding } from "./svid-binding.ts";
import type { VerifiedToken } from "./verified-token.ts";

export interface CredentialFacts {
  /** Every `Authorization` value as it came, not joined. */
  readonly authorization: readonly string[];
  /** Every `DPoP` value as it came, not joined. */
  readonly dpop: readonly string[];
  /** The client certificate of this connection, if any. */
  readonly certificate: CertificateFacts | undefined;
  /** Address of the other end of this connection. */
  readonly sourceIp: string;
  readonly method: string;
  /** Canonical target URI without query and fragment, from a configured origin. */
  readonly htu: string;
}

export interface AuthDenial extends Denial {
  /** Value of `WWW-Authenticate` (RFC 9449 section 7.1), on a 401. */
  readonly wwwAuthenticate: string | undefined;
  /** Value of `DPoP-Nonce`, where a new proof needs one; the answer is then `Cache-Control: no-store`. */
  readonly dpopNonce?: string;
  /** The key of this proof has proven a caller here before; all that is asked is another nonce. */
  readonly known?: boolean;
}

export type AuthResult = Result<Agent, AuthDenial>;

export interface AuthenticatorOptions {
  readonly tokens: TokenVerifier;
  readonly proofs: ProofVerifier;
  readonly failures: FailedProofs;
  /** `proof.algorithms` of the configuration, for the challenge. */
  readonly algorithms: readonly string[];
  readonly nonces?: NonceService | undefined;
}

export type Authenticate = (facts: CredentialFacts, nowMs: number) => AuthResult | Promise<AuthResult>;

/** RFC 9110 section 11.4: a scheme and a token68. */
const AUTHORIZATION = /^([A-Za-z][A-Za-z0-9-]*) +([A-Za-z0-9._~+/-]+=*) *$/;

/** Empty, or a character that needs a closer look. */
const NOT_PLAIN = /^$|[^A-Za-z0-9._~+/-]/;

/** Synchronous when the token is known. */
export function createAuthenticator(options: AuthenticatorOptions): Authenticate {
  const { tokens, proofs, failures, nonces } = options;
  const algs = `algs="${options.algorithms.join(" ")}"`;

  function refuse(denial: Denial, nowMs: number, proof?: string): Result<never, AuthDenial> {
    const { status, code } = REASONS[denial.reason];
    if (status !== 401) return err({ ...denial, wwwAuthenticate: undefined });
    const wwwAuthenticate = code === "credentials_missing" ? `DPoP ${algs}` : `DPoP error="${code}", ${algs}`;
    if (code !== "use_dpop_nonce" || nonces === undefined) return err({ ...denial, wwwAuthenticate });
    const known = proof !== undefined && proofs.isKnownKey(proof);
    return err({ ...denial, wwwAuthenticate, dpopNonce: nonces.issue(nowMs), known });
  }

  /** A peer that has failed too often gets no signature verified, but for callers that were proven here before. */
  function isRefusedUnverified(facts: CredentialFacts, proof: string | undefined, nowMs: number): boolean {
    if (!failures.isOver(facts.sourceIp, nowMs)) return false;
    return proof === undefined ? facts.certificate?.authorized !== true : !proofs.isKnownKey(proof);
  }

  return (facts, nowMs) => {
    const presented = readCredentials(facts, tokens.isKnown);
    if (!presented.ok) return refuse(presented.error, nowMs);
    const { token, proof } = presented.value;
    let spent = false;
    const mayVerify = (): boolean => {
      spent = !isRefusedUnverified(facts, proof, nowMs);
      return spent;
    };
    const finish = (verified: Result<VerifiedToken, Denial>): AuthResult => {
      if (!verified.ok) {
        if (spent) failures.count(facts.sourceIp, nowMs);
        return refuse(verified.error, nowMs);
      }
      const agent = proveKey(proofs, verified.value, presented.value, facts, nowMs);
      if (agent.ok) return agent;
      if (agent.error.reason === "proof.signature") failures.count(facts.sourceIp, nowMs);
      return refuse(agent.error, nowMs, proof);
    };
    const verified = tokens.verify(token, nowMs, mayVerify);
    return verified instanceof Promise ? verified.then(finish) : finish(verified);
  };
}

interface Credentials {
  readonly token: string;
  /** The one proof; undefined for the Bearer scheme, as RFC 8705 presents a certificate-bound token. */
  readonly proof: string | undefined;
}

function readCredentials(facts: CredentialFacts, isKnownToken: (text: string) => boolean): Result<Credentials, Denial> {
  const { authorization, dpop } = facts;
  if (authorization.length > 1) return err(deny("credentials.two_schemes"));
  const [value] = authorization;
  if (value === undefined) return err(deny("credentials.missing"));
  const space = value.indexOf(" ");
  let scheme = value.slice(0, Math.max(0, space)).toLowerCase();
  let token = value.slice(space + 1);
  // Nearly every value has one space and a token that is known: of it no character needs to be looked at again, and a
  // token with a chain has more than ten thousand.
  if (space < 1 || (!isKnownToken(token) && NOT_PLAIN.test(token))) {
    const match = AUTHORIZATION.exec(value);
    // A comma joins what were two headers, or two challenges' worth of credentials.
    if (match === null) return err(deny(value.includes(",") ? "credentials.two_schemes" : "credentials.malformed"));
    scheme = (match[1] ?? "").toLowerCase();
    token = match[2] ?? "";
  }
  if (scheme === "bearer") return ok({ token, proof: undefined });
  if (scheme !== "dpop") return err(deny("credentials.malformed", "scheme"));
  const [proof] = dpop;
  if (proof === undefined) return err(deny("proof.missing"));
  return dpop.length > 1 ? err(deny("proof.duplicate")) : ok({ token, proof });
}

/** What `cnf` names must be proven; where it names both, both. The proof comes last, for it uses up its replay slot. */
function proveKey(
  proofs: ProofVerifier,
  token: VerifiedToken,
  presented: Credentials,
  facts: CredentialFacts,
  nowMs: number,
): Result<Agent, Denial> {
  const { jkt, x5tS256, svid } = token.confirmation;
  const { proof } = presented;
  // RFC 9449 section 7.2: a bound token that comes as Bearer is refused.
  if (jkt !== undefined && proof === undefined) return err(deny("credentials.bound_token_as_bearer"));
  if (jkt === undefined && proof !== undefined)
    return err(deny("token.unbound", "bound to a certificate, not to a DPoP key"));
  if (proof === undefined && facts.dpop.length > 0)
    return err(deny("credentials.two_schemes", "Bearer with a DPoP proof"));
  if (x5tS256 !== undefined) {
    const bound = checkCertificateBinding(facts.certificate, x5tS256, nowMs);
    if (!bound.ok) return bound;
  }
  if (svid !== undefined) {
    const bound = checkSvidBinding(facts.certificate, svid, nowMs);
    return bound.ok ? ok(token.agentFor("mtls", bound.value)) : bound;
  }
  if (jkt === undefined || proof === undefined) return ok(token.agentFor("mtls"));
  const expected = { method: facts.method, htu: facts.htu, ath: token.tokenHash, jkt };
  const proven = proofs.verify(proof, expected, nowMs);
  return proven.ok ? ok(token.agentFor("dpop")) : proven;
}
