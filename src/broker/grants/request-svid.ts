// In: an agent's request whose proof was checked, and whether it asks for a certificate. Out: how the answer gets one.
// The certificate is for the key that made the proof, names the agent, and ends with the token. Nothing of it is kept: a
// renewal that asks again gets a new one. The token stays bound to the key by its thumbprint alone; with that of the
// certificate beside it, an answer that was lost could not be given a second time as it was.
import type { KoaContextWithOIDC } from "oidc-provider";
import { parseJwsHeader } from "../../lib/parse-compact-jws.ts";
import { checkPublicJwk, importPublicKey, type PublicKey } from "../../lib/public-key.ts";
import { ok, type Result } from "../../lib/result.ts";
import type { GrantContext } from "./grant-context.ts";
import type { SignedToken } from "./issue-token.ts";
import { type Parameters, textOf } from "./read-parameters.ts";
import { type Refusal, refuse } from "./refusal.ts";

/** Members that the answer gets beside the token. Asked before anything is spent: what cannot be had is refused first. */
export type SvidMembers = (signed: SignedToken) => { readonly x509_svid?: string };

export function requestedSvid(
  ctx: KoaContextWithOIDC,
  parameters: Parameters,
  jkt: string,
  { authority }: GrantContext,
): Result<SvidMembers, Refusal> {
  const requested = textOf(parameters, "requested_svid");
  if (requested === undefined) return ok(() => ({}));
  if (requested !== "x509") return refuse("request_malformed", "requested_svid");
  if (authority === undefined) return refuse("svid_unavailable");
  const key = keyOfProof(ctx.get("dpop"), jkt);
  // What is odd beside the key itself, such as a `use`, does not matter to a proof.
  if (key === undefined) return refuse("request_malformed", "jwk of the proof");
  return ok(({ agent, token }) => ({ x509_svid: authority.issue(agent.id, key.key, token.expiresMs) }));
}

/** The proof was verified by this key; its thumbprint is compared, so that no other text can slip in between. */
function keyOfProof(proof: string, jkt: string): PublicKey | undefined {
  const header = parseJwsHeader(proof.split(".", 1)[0] ?? "");
  const checked = header.ok ? checkPublicJwk(header.value["jwk"]) : header;
  const imported = checked.ok ? importPublicKey(checked.value) : checked;
  return imported.ok && imported.value.thumbprint === jkt ? imported.value : undefined;
}
