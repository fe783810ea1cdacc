// In: `POST /release` with an agent's token and a proof of its key. Out: 204, once the agent and its delegates are ended.
// Asked again it is 204 again. A token that has expired still names its agent: who has its key may end it.
import type { KoaContextWithOIDC, Provider } from "oidc-provider";
import * as errors from "oidc-provider/lib/helpers/errors.js";
import validateDpop, { checkDpopReplay } from "oidc-provider/lib/helpers/validate_dpop.js";
import type { GrantContext } from "./grants/grant-context.ts";
import { type OwnToken, readOwnToken } from "./own-token.ts";
import { revoke } from "./revoke.ts";

export const RELEASE_PATH = "/release";
/** RFC 9110 section 11.1: the scheme has no case. RFC 9449 section 7.1: a bound token is never a Bearer. */
const AUTHORIZATION = /^dpop +([\w.-]+)$/i;

type OIDCError = Error & { readonly status: number; readonly error_description?: string; readonly code?: string };

/** A middleware of the provider, so that proofs share its nonces and its memory of used ones. */
export function serveRelease(provider: Provider, context: GrantContext): void {
  provider.use(async (ctx, next) => {
    if (ctx.path !== RELEASE_PATH) return next();
    ctx.set("cache-control", "no-store");
    try {
      await release(ctx as KoaContextWithOIDC, provider, context);
      ctx.status = 204;
    } catch (error) {
      answerError(ctx as KoaContextWithOIDC, error, context);
    }
  });
}

async function release(ctx: KoaContextWithOIDC, provider: Provider, context: GrantContext): Promise<void> {
  const token = AUTHORIZATION.exec(ctx.get("authorization"))?.[1];
  if (token === undefined) throw new errors.InvalidToken("a DPoP token is required");
  // All that the check of a proof asks of its context: whose nonces count, and which URL is meant.
  const expected = { provider, route: "release", urlFor: () => context.issuer.issuer + RELEASE_PATH };
  Object.defineProperty(ctx, "oidc", { value: expected, configurable: true });
  const proof = await validateDpop(provider, ctx, token);
  if (proof === undefined) throw new errors.InvalidDpopProof("a DPoP proof of the agent's key is required");
  const own = readOwnToken(token, context.keyRing, context.issuer.issuer);
  if (own === undefined) throw new errors.InvalidToken("not a token of this issuer");
  await checkDpopReplay(provider, ctx, proof, own.client_id, errors.InvalidDpopProof);
  await releaseAgent(own, proof.thumbprint, context);
}

async function releaseAgent({ sub }: OwnToken, thumbprint: string, context: GrantContext): Promise<void> {
  // One key is one instance, so the id of an agent names its key, also when its row is gone.
  if (!sub.endsWith(`/${thumbprint}`)) throw new errors.InvalidToken("the proof is by another key than the token's");
  const agent = context.state.agents.find(sub);
  if (agent !== undefined && !agent.ended)
    await revoke(context, { level: "agent", id: sub, reason: "released", by: sub });
}

function answerError(ctx: KoaContextWithOIDC, error: unknown, context: GrantContext): void {
  const { name, message, status, error_description: description, code } = error as OIDCError;
  if (!(error instanceof Error) || typeof status !== "number") {
    // Its message may tell of files: it is for the log.
    context.tell({ level: "error", event: "issuer_error", detail: `release: ${name}: ${message}` });
    ctx.status = 500;
    ctx.body = { error: "server_error", error_description: "the issuer failed", code: "server_error" };
    return;
  }
  // RFC 9449 section 7.1: also a missing nonce is 401 where a token is presented.
  ctx.status = 401;
  ctx.set("www-authenticate", `DPoP error="${message}", algs="ES256 EdDSA Ed25519"`);
  ctx.body = { error: message, error_description: description, code: code ?? message };
}
