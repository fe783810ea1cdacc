// In: a live agent and one of its tokens. Out: the signed `at+jwt` (RFC 9068), as text, or a refusal where it is too long.
// Trusts: the key ring, which holds the private keys.
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import type { KeyRing } from "../keys/key-ring.ts";
import type { IssuedToken } from "../state/agents.ts";
import { ACCESS_TOKEN_TYPE, agentTokenClaims, TOKEN_CHARS_MAX, type TokenIssuer } from "./agent-token.ts";
import { type Refusal, refuse } from "./refusal.ts";

export interface SignedToken {
  readonly text: string;
  readonly agent: Parameters<typeof agentTokenClaims>[1];
  readonly token: IssuedToken;
}

export function signToken(
  keyRing: Pick<KeyRing, "kid" | "sign">,
  issuer: TokenIssuer,
  agent: SignedToken["agent"],
  token: IssuedToken,
): Result<SignedToken, Refusal> {
  const header = { alg: "ES256", typ: "at+jwt", kid: keyRing.kid };
  const input = `${encode(header)}.${encode(agentTokenClaims(issuer, agent, token))}`;
  const text = `${input}.${keyRing.sign(Buffer.from(input, "latin1")).toString("base64url")}`;
  return text.length > TOKEN_CHARS_MAX ? refuse("request_too_large", "token") : ok({ text, agent, token });
}

/** RFC 8693 section 2.2.1, with the agent's id beside it. */
export function tokenAnswer({ text, agent, token }: SignedToken, nowMs: number) {
  const { details, scope } = agent.grant;
  return {
    access_token: text,
    issued_token_type: ACCESS_TOKEN_TYPE,
    token_type: "DPoP",
    expires_in: Math.floor(token.expiresMs / 1000) - Math.floor(nowMs / 1000),
    scope: scope.join(" "),
    ...(details.length === 0 ? {} : { authorization_details: details }),
    agent_id: agent.id,
  };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value), "utf8").toString("base64url");
}
