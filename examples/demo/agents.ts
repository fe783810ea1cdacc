// In: a registered client and the issuer. Out: an agent with a key-bound token, made with public libraries or with Cordon's own.
import { webcrypto } from "node:crypto";
import { calculateThumbprint } from "dpop";
import * as openid from "openid-client";
import { createDpopFetch } from "../../src/agent/create-dpop-fetch.ts";
import { type AgentKey, createKey } from "../../src/agent/create-key.ts";
import { fetchToken } from "../../src/agent/fetch-token.ts";
import type { Ledger } from "./ledger.ts";

export interface AgentSetup {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientKey: AgentKey;
  readonly gateway: string;
  readonly ledger: Ledger;
}

/** An agent that uses nothing of Cordon: `openid-client` gets the token and makes the proofs. */
export interface PublicAgent {
  readonly token: string;
  readonly tokenType: string;
  /** RFC 7638 thumbprint of its key. */
  readonly thumbprint: string;
  readonly keys: openid.CryptoKeyPair;
  get(url: string): Promise<Response>;
}

export async function createPublicAgent(setup: AgentSetup): Promise<PublicAgent> {
  const { issuer, clientId, clientKey, gateway, ledger } = setup;
  const jwk = clientKey.privateKey.export({ format: "jwk" });
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const key = await webcrypto.subtle.importKey("jwk", jwk, algorithm, false, ["sign"]);
  const config = await openid.discovery(
    new URL(issuer),
    clientId,
    undefined,
    openid.PrivateKeyJwt({ key, kid: clientKey.thumbprint }),
    // Plain HTTP, since all of it is on loopback.
    { algorithm: "oauth2", execute: [openid.allowInsecureRequests], [openid.customFetch]: ledger.fetch },
  );
  const keys = await openid.randomDPoPKeyPair("ES256");
  const DPoP = openid.getDPoPHandle(config, keys);
  const answer = await openid.clientCredentialsGrant(config, { resource: gateway }, { DPoP });
  const token = answer.access_token;
  return {
    token,
    tokenType: answer.token_type,
    thumbprint: await calculateThumbprint(keys.publicKey),
    keys,
    async get(url) {
      try {
        return await openid.fetchProtectedResource(config, token, new URL(url), "GET", undefined, undefined, { DPoP });
      } catch (error) {
        // A refusal that says where tokens come from (RFC 9728) is thrown by the client; it is an answer all the same.
        if (error instanceof openid.WWWAuthenticateChallengeError) return error.response;
        throw error;
      }
    },
  };
}

/** An agent on Cordon's own small library. */
export interface OwnAgent {
  /** SPIFFE id: what an operator contains. */
  readonly id: string;
  readonly fetch: typeof fetch;
}

export async function createOwnAgent(setup: AgentSetup): Promise<OwnAgent> {
  const { issuer, clientId, clientKey, gateway, ledger } = setup;
  const key = createKey();
  const { accessToken } = await fetchToken({
    issuer,
    clientId,
    clientKey,
    key,
    resource: gateway,
    fetch: ledger.fetch,
  });
  ledger.keepSecret(String(key.privateKey.export({ format: "jwk" }).d));
  return {
    id: String(claimsOf(accessToken)["sub"]),
    fetch: createDpopFetch({ getToken: () => accessToken, key, origins: [gateway], fetch: ledger.fetch }),
  };
}

/** The claims of a token as they stand there; the gateway, not the demo, verifies them. */
export function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;
}

/** `200`, or for a refusal the status and its code, as `403 access_denied`. Reads the answer to its end. */
export async function verdictOf(response: Response): Promise<string> {
  const text = await response.text();
  if (response.ok) return String(response.status);
  const body = JSON.parse(text) as { code?: unknown; error?: { data?: { code?: unknown } } };
  // Where the gateway speaks MCP, its answer is a JSON-RPC error.
  const code = body.code ?? body.error?.data?.code;
  return `${response.status} ${typeof code === "string" ? code : "without a code"}`;
}
