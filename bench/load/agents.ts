// In: the origins and an issuer's name. Out: agents with keys and access tokens, and the issuer's public keys.
// The tokens are those of the hiring agent of the worked examples, so that the shipped policy allows what it asks.
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import { hiringClaims } from "../../test/fixtures/hiring-claims.ts";

export const ISSUER = "https://issuer.bench";
export const TRUST_DOMAIN = "acme.example";
const TOKEN_LIFETIME_S = 3600;

export interface AgentOptions {
  readonly lifetimeS?: number;
  /** Beside those that the hiring agent has. */
  readonly scope?: readonly string[];
}

export interface BenchAgent {
  /** SPIFFE id. */
  readonly id: string;
  readonly token: string;
  /** Base64url SHA-256 of the token: `ath` of its proofs. */
  readonly tokenHash: string;
  /** The encoded proof header, the same for each proof of this key. */
  readonly proofHeader: string;
  readonly privateKey: KeyObject;
}

export interface BenchIssuer {
  readonly jwks: unknown;
  /** For a worker that issues in this issuer's name. */
  readonly privateKey: KeyObject;
  /** An agent with a DPoP key of its own. */
  agent(audience: string, options?: AgentOptions): BenchAgent;
  /** A token bound to a certificate by its `x5t#S256`. */
  certificateToken(audience: string, x5tS256: string): string;
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

export function signJws(input: string, key: KeyObject): string {
  const signature = sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" });
  return `${input}.${signature.toString("base64url")}`;
}

/** A DPoP proof (RFC 9449 section 4.2) with this `jti`. */
export function signProof(
  agent: BenchAgent,
  claims: { readonly jti: string; readonly htm: string; readonly htu: string; readonly iat: number },
): string {
  return signJws(`${agent.proofHeader}.${encode({ ...claims, ath: agent.tokenHash })}`, agent.privateKey);
}

/** RFC 7638: the required members in this order. */
function thumbprintOf(jwk: { crv?: string; kty?: string; x?: string; y?: string }): string {
  const { crv, kty, x, y } = jwk;
  return createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
}

const idOf = (instance: string): string => `spiffe://${TRUST_DOMAIN}/agent/hiring/rank-j42/${instance}`;

export function createIssuer(): BenchIssuer {
  return openIssuer(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
}

export function openIssuer(privateKey: KeyObject): BenchIssuer {
  const publicJwk = { ...createPublicKey(privateKey).export({ format: "jwk" }), kid: "k1", alg: "ES256", use: "sig" };

  function issue(
    audience: string,
    cnf: Readonly<Record<string, string>>,
    instance: string,
    options: AgentOptions = {},
  ): string {
    const now = Math.floor(Date.now() / 1000);
    const expires = now + (options.lifetimeS ?? TOKEN_LIFETIME_S);
    const id = idOf(instance);
    const scope = ["read:candidates:J42", "write:scores:J42", ...(options.scope ?? [])];
    const claims = {
      iss: ISSUER,
      aud: audience,
      sub: id,
      iat: now,
      exp: expires,
      jti: randomUUID(),
      client_id: "hiring-agent",
      scope: scope.join(" "),
      cnf,
      cordon: hiringClaims({
        agent: { id, trust_domain: TRUST_DOMAIN, orchestration: "hiring", task: "rank-j42", instance },
        issuer: ISSUER,
        scope,
        expiresS: expires,
      }),
    };
    return signJws(`${encode({ alg: "ES256", typ: "at+jwt", kid: "k1" })}.${encode(claims)}`, privateKey);
  }

  return {
    jwks: { keys: [publicJwk] },
    privateKey,
    agent(audience, options) {
      const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const { crv, kty, x, y } = keys.publicKey.export({ format: "jwk" });
      const jwk = { kty, crv, x, y };
      const thumbprint = thumbprintOf(jwk);
      const token = issue(audience, { jkt: thumbprint }, thumbprint, options);
      return {
        id: idOf(thumbprint),
        token,
        tokenHash: createHash("sha256").update(token).digest("base64url"),
        proofHeader: encode({ typ: "dpop+jwt", alg: "ES256", jwk }),
        privateKey: keys.privateKey,
      };
    },
    certificateToken: (audience, x5tS256) => issue(audience, { "x5t#S256": x5tS256 }, x5tS256),
  };
}
