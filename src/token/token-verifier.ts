// In: the text of an access token and the time. Out: its verified claims, or the reason why not (RFC 9068, RFC 8725).
// Trusts the configured issuers' keys. A token is verified once; while it lives and its key stays, a hit costs one hash.
import { hash } from "node:crypto";
import { deny } from "../errors.ts";
import { LRUCache } from "lru-cache";
import type { IssuerConfig } from "../config/schema.ts";
import type { Denial, Reason } from "../errors.ts";
import { err, ok } from "../lib/result.ts";
import type { Ok, Result } from "../lib/result.ts";
import { checkDelegation, hopsOf } from "./check-delegation.ts";
import type { DelegatedToken } from "./check-delegation.ts";
import type { KeySet } from "./key-set.ts";
import { mediaTypeOf, parseCompactJws } from "../lib/parse-compact-jws.ts";
import type { CompactJws, JwsProblem } from "../lib/parse-compact-jws.ts";
import type { PublicKey } from "../lib/public-key.ts";
import { createClaimReader } from "./read-claims.ts";
import type { ClaimReader, TokenClaims } from "./read-claims.ts";
import { createSignatureVerifier } from "../lib/signature-verifier.ts";
import { memberOf, parseStrictObject } from "../lib/strict-json.ts";
import type { JsonObject } from "../lib/strict-json.ts";
import { trustDomainOf } from "../lib/spiffe-id.ts";
import { createVerifiedToken } from "./verified-token.ts";
import type { Confirmation, VerifiedToken } from "./verified-token.ts";

export interface TokenVerifierOptions {
  readonly issuers: readonly IssuerConfig[];
  /** By issuer, exactly as `iss`. */
  readonly keySets: ReadonlyMap<string, KeySet>;
  readonly limits: { readonly token_bytes_max: number; readonly token_cache_entries: number };
}

type TokenResult = Result<VerifiedToken, Denial>;

export interface TokenVerifier {
  /**
   * Synchronous on a cache hit and whenever the issuer's key is known; a promise only while a key set is fetched.
   * `mayVerify` is asked when only the signature is left to check, and never for a token that is known.
   */
  verify(token: string, nowMs: number, mayVerify?: () => boolean): TokenResult | Promise<TokenResult>;
  /** True for the exact text of a token that was verified here: it is well-formed. It may have expired meanwhile. */
  isKnown(token: string): boolean;
}

interface TrustedIssuer {
  readonly config: IssuerConfig;
  readonly keys: KeySet;
  readonly algorithms: ReadonlySet<string>;
  readonly types: ReadonlySet<string | undefined>;
  readonly readClaims: ClaimReader;
  readonly isSpiffe: boolean;
  /** Whether the configuration says where its chain stands: it then vouches for it itself, and brings no records. */
  readonly vouchesForChain: boolean;
}

interface CachedToken {
  readonly result: Ok<VerifiedToken>;
  readonly keys: KeySet;
  readonly key: PublicKey;
  /** `exp` plus leeway: the last moment at which the full check would accept. */
  readonly acceptUntilMs: number;
  keysVersion: number;
}

interface CheckedTimes {
  readonly expiresAtMs: number;
  readonly acceptUntilMs: number;
}

/** Of the tokens that are kept, on average; a common one has 1,600. Larger ones are kept in smaller number. */
const KEPT_CHARS_MEAN = 4096;
const JTI_CHARS_MAX = 256;
const SUBJECT_CHARS_MAX = 1024;
const KID_CHARS_MAX = 256;
/** The year 9999, the last that RFC 3339 can write. */
const NUMERIC_DATE_MAX = 253_402_300_799;
/** Base64url SHA-256. */
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

const TOKEN_TYPES = ["at+jwt"];
/** JWT-SVID section 2.3: `JWT`, `JOSE`, or no `typ`. */
const SVID_TYPES: ReadonlySet<string> = new Set(["jwt", "jose", ""]);

const PARSE_REASONS: Readonly<Record<JwsProblem, Reason>> = {
  malformed: "token.malformed",
  too_large: "token.too_large",
  critical_header: "token.critical_header",
};

export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { token_bytes_max: charsMax, token_cache_entries: entriesMax } = options.limits;
  const issuers = new Map(options.issuers.map((config) => [config.issuer, trustedIssuer(config, options.keySets)]));
  const trustDomains = new Map(
    [...issuers.values()].filter(({ isSpiffe }) => isSpiffe).map((issuer) => [issuer.config.trust_domain, issuer]),
  );
  // The key is the hash of the text. That is safe here, though base64url has many texts for the same bytes in general:
  // only a text that passed the strict parse is kept, and that parse accepts one text for each byte string. The hash
  // covers the signature too, and it is needed anyway for `ath`. A second valid signature over the same claims (ECDSA
  // allows one) only makes a second entry; nothing is counted or made unique by this cache.
  const cache = new LRUCache<string, CachedToken>({
    max: entriesMax,
    maxSize: Math.max(entriesMax * KEPT_CHARS_MEAN, charsMax),
  });

  /**
   * The unverified `iss` chooses among configured issuers only; the signature then proves it. A JWT-SVID needs no `iss`
   * (JWT-SVID section 3): its trust domain is said by `sub`, and only an authority of that domain verifies it.
   */
  function issuerOf(payload: JsonObject): TrustedIssuer | undefined {
    if (typeof payload.iss === "string") return issuers.get(payload.iss);
    return payload.iss === undefined ? trustDomains.get(trustDomainOf(payload.sub) ?? "") : undefined;
  }

  // One request asks twice for the same string, and a token with a chain is long.
  let lastText = "";
  let lastHash = "";
  function hashOf(token: string): string {
    if (token !== lastText) {
      lastHash = hash("sha256", token, "base64url");
      lastText = token;
    }
    return lastHash;
  }

  function fromCache(tokenHash: string, nowMs: number): TokenResult | undefined {
    const cached = cache.get(tokenHash);
    if (cached === undefined) return undefined;
    if (nowMs >= cached.acceptUntilMs) {
      cache.delete(tokenHash);
      return err(deny("token.expired"));
    }
    cached.keys.refreshIfDue(nowMs);
    if (cached.keysVersion !== cached.keys.version) {
      if (!cached.keys.has(cached.key)) {
        cache.delete(tokenHash);
        return undefined;
      }
      cached.keysVersion = cached.keys.version;
    }
    return cached.result;
  }

  function verify(token: string, nowMs: number, mayVerify = always): TokenResult | Promise<TokenResult> {
    if (token.length > charsMax) return err(deny("token.too_large"));
    const tokenHash = hashOf(token);
    const cached = fromCache(tokenHash, nowMs);
    if (cached !== undefined) return cached;

    const parsed = parseCompactJws(token, charsMax);
    if (!parsed.ok) return err(deny(PARSE_REASONS[parsed.error]));
    const jws = parsed.value;
    const payload = parseStrictObject(jws.payload);
    if (payload === undefined) return err(deny("token.malformed", "payload"));
    const issuer = issuerOf(payload);
    if (issuer === undefined) return err(deny("token.issuer"));
    const { typ, alg, kid } = jws.header;
    if (!issuer.types.has(mediaTypeOf(typ) ?? "")) return err(deny("token.type"));
    if (typeof alg !== "string" || !issuer.algorithms.has(alg)) return err(deny("token.algorithm"));
    if (kid !== undefined && (typeof kid !== "string" || kid.length > KID_CHARS_MAX))
      return err(deny("token.malformed", "kid"));

    const finish = (found: Result<PublicKey, Denial>): TokenResult => {
      if (!found.ok) return found;
      return checkAndKeep(issuer, found.value, alg, jws, payload, tokenHash, nowMs, mayVerify);
    };
    const found = issuer.keys.find(kid, alg, nowMs);
    return found instanceof Promise ? found.then(finish) : finish(found);
  }

  function checkAndKeep(
    issuer: TrustedIssuer,
    key: PublicKey,
    alg: string,
    jws: CompactJws,
    payload: JsonObject,
    tokenHash: string,
    nowMs: number,
    mayVerify: () => boolean,
  ): TokenResult {
    const verifySignature = createSignatureVerifier(key, alg);
    if (verifySignature === undefined) return err(deny("token.algorithm", "the key is not one of this algorithm"));
    // What is wrong whoever signed it costs no signature: an agent with an expired token is no attacker.
    if (!hasAudience(payload.aud, issuer.config.audience)) return err(deny("token.audience"));
    const times = checkTimes(payload, issuer.config, nowMs);
    if (!times.ok) return times;
    if (!mayVerify()) return err(deny("proof.peer_failures"));
    if (!verifySignature(jws.signingInput, jws.signature)) return err(deny("token.signature"));
    const token = readToken(issuer, payload, times.value.expiresAtMs, tokenHash, jws.signingInput);
    if (!token.ok) return token;
    const result: Ok<VerifiedToken> = { ok: true, value: token.value };
    const keysVersion = issuer.keys.version;
    cache.set(
      tokenHash,
      { result, keys: issuer.keys, key, acceptUntilMs: times.value.acceptUntilMs, keysVersion },
      { size: jws.signingInput.length },
    );
    return result;
  }

  return { verify, isKnown: (token) => token.length <= charsMax && cache.has(hashOf(token)) };
}

const always = (): boolean => true;

function trustedIssuer(config: IssuerConfig, keySets: ReadonlyMap<string, KeySet>): TrustedIssuer {
  const keys = keySets.get(config.issuer);
  if (keys === undefined) throw new Error(`no key set for the issuer ${config.issuer}`);
  const isSpiffe = config.kind === "spiffe";
  const types = isSpiffe ? SVID_TYPES : new Set((config.token_types ?? TOKEN_TYPES).map(mediaTypeOf));
  return {
    config,
    keys,
    algorithms: new Set(config.algorithms),
    types,
    readClaims: createClaimReader(config),
    isSpiffe,
    vouchesForChain: config.claims["session.chain"] !== undefined,
  };
}

function hasAudience(aud: unknown, accepted: readonly string[]): boolean {
  if (typeof aud === "string") return accepted.includes(aud);
  return Array.isArray(aud) && aud.every((one) => typeof one === "string") && aud.some((one) => accepted.includes(one));
}

/**
 * RFC 9068 section 2.2: `exp` and `iat` are required; JWT-SVID section 3 leaves `iat` open, and its lifetime then counts
 * from now. Leeway is for clocks, in both directions.
 */
function checkTimes(payload: JsonObject, config: IssuerConfig, nowMs: number): Result<CheckedTimes, Denial> {
  const { exp, nbf } = payload;
  const iat = payload.iat === undefined && config.kind === "spiffe" ? nowMs / 1000 - config.leeway_s : payload.iat;
  if (!isNumericDate(exp)) return err(deny("token.claims", "exp"));
  if (!isNumericDate(iat)) return err(deny("token.claims", "iat"));
  if (nbf !== undefined && !isNumericDate(nbf)) return err(deny("token.claims", "nbf"));
  const leewayMs = config.leeway_s * 1000;
  const acceptUntilMs = exp * 1000 + leewayMs;
  if (nowMs >= acceptUntilMs) return err(deny("token.expired"));
  if (iat * 1000 > nowMs + leewayMs) return err(deny("token.not_yet_valid", "iat"));
  if (nbf !== undefined && nbf * 1000 > nowMs + leewayMs) return err(deny("token.not_yet_valid", "nbf"));
  if (exp - iat > config.max_lifetime_s || exp <= iat) return err(deny("token.lifetime"));
  return ok({ expiresAtMs: exp * 1000, acceptUntilMs });
}

function readToken(
  issuer: TrustedIssuer,
  payload: JsonObject,
  expiresAtMs: number,
  tokenHash: string,
  signingInput: Buffer,
): Result<VerifiedToken, Denial> {
  const { sub } = payload;
  const { config, isSpiffe } = issuer;
  // A JWT-SVID without `jti` is named by what was signed: ECDSA has a second valid signature, which is no second token.
  const jti = payload.jti === undefined && isSpiffe ? hash("sha256", signingInput, "base64url") : payload.jti;
  if (!isText(jti, JTI_CHARS_MAX)) return err(deny("token.claims", "jti"));
  if (!isText(sub, SUBJECT_CHARS_MAX)) return err(deny("token.claims", "sub"));
  if (isSpiffe && trustDomainOf(sub) !== config.trust_domain)
    return err(deny("token.claims", "sub is not of the issuer's trust domain"));
  const svid = { id: sub, authorities: () => issuer.keys.authorities };
  const confirmation = isSpiffe && payload.cnf === undefined ? ok({ svid }) : confirmationOf(payload.cnf);
  if (!confirmation.ok) return confirmation;
  const { jkt, x5tS256 }: Confirmation = confirmation.value;
  // A workload of SPIFFE goes on by the name of its id while its certificates change.
  const keyThumbprint = jkt ?? x5tS256 ?? hash("sha256", sub, "base64url");
  const expiresAt = new Date(expiresAtMs).toISOString();
  const claims = issuer.readClaims(payload, { jti, expiresAt, keyThumbprint });
  if (!claims.ok) return err(deny("token.claims", claims.error));
  const delegated = { claims: claims.value, jkt, expiresAtMs };
  const proven: Result<TokenClaims, string> = issuer.vouchesForChain ? claims : withProvenChain(payload, delegated);
  if (!proven.ok) return err(deny("token.delegation", proven.error));
  const facts = { claims: proven.value, issuer: config.issuer, jti, confirmation: confirmation.value };
  return ok(createVerifiedToken({ ...facts, expiresAtMs, tokenHash }));
}

/** The claims, with the chain as its records tell it. */
function withProvenChain(payload: JsonObject, token: DelegatedToken): Result<TokenClaims, string> {
  const { claims } = token;
  const lineage = checkDelegation(payload, token);
  if (!lineage.ok) {
    const { code, hop, detail } = lineage.error;
    return err(`${code}${hop === 0 ? "" : ` at hop ${hop}`}: ${detail}`);
  }
  if (lineage.value === undefined) return ok(claims);
  return ok({ ...claims, session: { ...claims.session, chain: hopsOf(lineage.value.records) } });
}

/** RFC 9449 section 6.1, RFC 8705 section 3.1. A confirmation of another kind could not be checked, so it is refused. */
function confirmationOf(cnf: unknown): Result<Confirmation, Denial> {
  const jkt = memberOf(cnf, "jkt");
  const x5tS256 = memberOf(cnf, "x5t#S256");
  if (jkt === undefined && x5tS256 === undefined) return err(deny("token.unbound"));
  if (jkt !== undefined && !isThumbprint(jkt)) return err(deny("token.claims", "cnf.jkt"));
  if (x5tS256 !== undefined && !isThumbprint(x5tS256)) return err(deny("token.claims", "cnf.x5t#S256"));
  return ok({ ...(jkt === undefined ? {} : { jkt }), ...(x5tS256 === undefined ? {} : { x5tS256 }) });
}

function isThumbprint(value: unknown): value is string {
  return typeof value === "string" && THUMBPRINT.test(value);
}

function isText(value: unknown, charsMax: number): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= charsMax;
}

function isNumericDate(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= NUMERIC_DATE_MAX;
}
