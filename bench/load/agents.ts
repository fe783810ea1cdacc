// In: the origins and an issuer's name. Out: agents with keys and access tokens, and the issuer's public keys.
// The tokens are those of the hiring agent of the worked examples, so that the shipped policy allows what it asks.
import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";

export const ISSUER = "https://issuer.bench";
export const TRUST_DOMAIN = "acme.example";
const TOKEN_LIFETIME_S = 3600;

export interface BenchAgent {
  readonly token: string;
  /** Base64url SHA-256 of the token: `ath` of its proofs. */
  readonly tokenHash: string;
  /** The encoded proof header, the same for each proof of this key. */
  readonly proofHeader: string;
  readonly privatePem: string;
}

export interface BenchIssuer {
  readonly jwks: unknown;
  /** An agent with a DPoP key of its own. */
  agent(audience: string): BenchAgent;
  /** A token bound to a certificate by its `x5t#S256`. */
  certificateToken(audience: string, x5tS256: string): string;
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

export function signJws(input: string, key: KeyObject): string {
  const signature = sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" });
  return `${input}.${signature.toString("base64url")}`;
}

/** RFC 7638: the required members in this order. */
function thumbprintOf(jwk: { crv?: string; kty?: string; x?: string; y?: string }): string {
  const { crv, kty, x, y } = jwk;
  return createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
}

export function createIssuer(): BenchIssuer {
  const issuer = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicJwk = { ...issuer.publicKey.export({ format: "jwk" }), kid: "k1", alg: "ES256", use: "sig" };

  function issue(audience: string, cnf: Readonly<Record<string, string>>, instance: string): string {
    const now = Math.floor(Date.now() / 1000);
    const id = `spiffe://${TRUST_DOMAIN}/agent/hiring/rank-j42/${instance}`;
    const scope = ["read:candidates:J42", "write:scores:J42"];
    const claims = {
      iss: ISSUER,
      aud: audience,
      sub: id,
      iat: now,
      exp: now + TOKEN_LIFETIME_S,
      jti: randomUUID(),
      client_id: "hiring-agent",
      scope: scope.join(" "),
      cnf,
      cordon: {
        agent: { id, trust_domain: TRUST_DOMAIN, orchestration: "hiring", task: "rank-j42", instance },
        principal: { type: "user", id: "recruiter_alice", issuer: ISSUER, attributes: {} },
        intent: {
          task: "rank-j42",
          purpose: "rank-candidates",
          scope,
          details: [],
          constraints: { job_id: "J42" },
          expires_at: new Date((now + TOKEN_LIFETIME_S) * 1000).toISOString(),
        },
        provenance: {
          model: "claude-sonnet-5",
          model_version: "2026-09-01",
          deployment: "eu-1",
          environment: "production",
          config_digest: "sha256:00",
          verified: false,
        },
        session: {
          id: "s1",
          root_request: "r1",
          initiator: { type: "user", id: "recruiter_alice" },
          depth: 0,
          chain: [],
        },
      },
    };
    return signJws(`${encode({ alg: "ES256", typ: "at+jwt", kid: "k1" })}.${encode(claims)}`, issuer.privateKey);
  }

  return {
    jwks: { keys: [publicJwk] },
    agent(audience) {
      const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const { crv, kty, x, y } = keys.publicKey.export({ format: "jwk" });
      const jwk = { kty, crv, x, y };
      const thumbprint = thumbprintOf(jwk);
      const token = issue(audience, { jkt: thumbprint }, thumbprint);
      return {
        token,
        tokenHash: createHash("sha256").update(token).digest("base64url"),
        proofHeader: encode({ typ: "dpop+jwt", alg: "ES256", jwk }),
        privatePem: keys.privateKey.export({ format: "pem", type: "pkcs8" }),
      };
    },
    certificateToken: (audience, x5tS256) => issue(audience, { "x5t#S256": x5tS256 }, x5tS256),
  };
}
