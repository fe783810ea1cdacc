// In: the `resource` of a request (RFC 8707). Out: the audience of the token, one of the gateway's own origins.
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import { type Refusal, refuse } from "./refusal.ts";

/** Undefined where nothing is asked for. With or without the slash of an empty path it is the same resource. */
export function audienceOf(
  resource: string | undefined,
  publicOrigins: readonly string[],
): Result<string | undefined, Refusal> {
  if (resource === undefined) return ok(undefined);
  const audience = publicOrigins.find((origin) => resource === origin || resource === `${origin}/`);
  return audience === undefined ? refuse("target_unknown") : ok(audience);
}
