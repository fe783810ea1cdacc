// In: a client's id and registered key. Out: the form fields with which it authenticates, for one request.
// private_key_jwt (RFC 7523 section 2.2): an assertion is used once, so each request gets its own.
import { randomUUID } from "node:crypto";
import type { AgentKey } from "./create-key.ts";
import { signJwt } from "./sign-jwt.ts";

const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/** Made for one request; long enough for a clock that is a little off. */
const ASSERTION_LIFETIME_S = 60;

export interface Client {
  /** The issuer's URL: whom the assertion is for. */
  readonly issuer: string;
  readonly clientId: string;
  readonly key: AgentKey;
}

export function assertClient({ issuer, clientId, key }: Client): Record<string, string> {
  const iat = Math.floor(Date.now() / 1000);
  const assertion = signJwt(
    { typ: "JWT", kid: key.thumbprint },
    { iss: clientId, sub: clientId, aud: issuer, jti: randomUUID(), iat, exp: iat + ASSERTION_LIFETIME_S },
    key,
  );
  return { client_id: clientId, client_assertion_type: ASSERTION_TYPE, client_assertion: assertion };
}
