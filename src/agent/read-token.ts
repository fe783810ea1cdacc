// In: an issuer's answer with a token (RFC 6749 section 5.1). Out: a token bound to a key.
import { CordonError } from "./cordon-error.ts";

export interface AgentToken {
  readonly accessToken: string;
  /** Unix milliseconds. */
  readonly expiresAtMs: number;
  readonly scope: readonly string[];
}

/** `sentAtMs`: when it was asked for, so that the expiry is never later than the issuer's. */
export function readToken(answer: Readonly<Record<string, unknown>>, sentAtMs: number): AgentToken {
  const { access_token: accessToken, token_type: type, expires_in: expiresIn, scope } = answer;
  // A token of another type would be sent without a proof: refuse it rather than weaken it (RFC 9449 section 5).
  if (typeof accessToken !== "string" || typeof type !== "string" || type.toLowerCase() !== "dpop") {
    throw new CordonError("issuer_answer_invalid", "The issuer did not answer with a token bound to the key (DPoP).");
  }
  return {
    accessToken,
    expiresAtMs: sentAtMs + (typeof expiresIn === "number" ? expiresIn : 0) * 1000,
    scope: typeof scope === "string" && scope !== "" ? scope.split(" ") : [],
  };
}
