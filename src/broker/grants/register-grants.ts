// In: the provider and what the grants need. Out: a provider that launches and spawns agents beside what it could before.
// oidc-provider authenticates the client and checks the proof; what is granted is decided here, without its own models.
import type { KoaContextWithOIDC, Provider, TokenEndpointGrantContext } from "oidc-provider";
import { InvalidGrant } from "oidc-provider/lib/helpers/errors.js";
import validateDpop, { checkDpopReplay, type Proof } from "oidc-provider/lib/helpers/validate_dpop.js";
import type { Result } from "../../lib/result.ts";
import { CommitError } from "../state/group-commit.ts";
import { ACCESS_TOKEN_TYPE, agentsClientOf } from "./agent-token.ts";
import { spawnDelegate, verifyRecord } from "./delegated-spawn.ts";
import type { GrantContext } from "./grant-context.ts";
import { type SignedToken, tokenAnswer } from "./issue-token.ts";
import { launch, LAUNCH_GRANT, LAUNCH_PARAMETERS, LAUNCH_TOKEN_TYPE } from "./launch-grant.ts";
import { type Parameters, textOf } from "./read-parameters.ts";
import { GrantRefusal, type Refusal, Unavailable } from "./refusal.ts";
import { readToken, renew } from "./renew.ts";
import { requestedSvid } from "./request-svid.ts";
import { type ExchangeRequest, findLaunch, spawn } from "./spawn.ts";

/** RFC 8693 section 2.1. */
export const TOKEN_EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange";
const DELEGATION_RECORD_TYPE = "urn:cordon:params:oauth:token-type:delegation-record";

const EXCHANGE_PARAMETERS = [
  "subject_token",
  "subject_token_type",
  "scope",
  "authorization_details",
  "constraints",
  "resource",
  "manifest",
  "requested_svid",
  "requested_token_type",
  "audience",
  "actor_token",
] as const;

interface Exchange {
  /** Refuses what neither this issuer nor an agent of it made; it changes nothing. */
  readonly check: (request: ExchangeRequest, context: GrantContext) => Result<unknown, Refusal>;
  readonly run: (request: ExchangeRequest, context: GrantContext) => Promise<Result<SignedToken, Refusal>>;
  /** How it stands in the log. */
  readonly event: "token_issued" | "token_renewed";
}

/** What is exchanged for an agent's token, by `subject_token_type`. Nothing else is: no token of a person makes an agent. */
const EXCHANGES: ReadonlyMap<string | undefined, Exchange> = new Map([
  [LAUNCH_TOKEN_TYPE, { check: findLaunch, run: spawn, event: "token_issued" }],
  [ACCESS_TOKEN_TYPE, { check: readToken, run: renew, event: "token_renewed" }],
  [DELEGATION_RECORD_TYPE, { check: verifyRecord, run: spawnDelegate, event: "token_issued" }],
]);

export function registerGrants(provider: Provider, context: GrantContext): void {
  provider.registerGrantType(
    LAUNCH_GRANT,
    async (ctx) => {
      const application = context.state.applications.find(ctx.oidc.client.clientId);
      if (application === undefined) throw new GrantRefusal({ code: "client_not_allowed" });
      ctx.body = valueOf(await written(launch(parametersOf(ctx), application, context), context));
    },
    LAUNCH_PARAMETERS,
  );

  provider.registerGrantType(
    TOKEN_EXCHANGE_GRANT,
    async (ctx) => {
      const { client } = ctx.oidc;
      const parameters = parametersOf(ctx);
      const application = applicationOf(client.clientId);
      const exchange = EXCHANGES.get(textOf(parameters, "subject_token_type"));
      const subjectToken = textOf(parameters, "subject_token");
      // First, so that a first request without a nonce is told one whatever else it says.
      const proof = await proveKey(provider, ctx);
      if (application === undefined) throw new GrantRefusal({ code: "client_not_allowed" });
      if (exchange === undefined) throw new GrantRefusal({ code: "subject_token_type_unknown" });
      refuseUnsupported(parameters);
      if (subjectToken === undefined) throw new GrantRefusal({ code: "request_malformed", detail: "subject_token" });
      const jkt = proof.thumbprint;
      const svid = valueOf(requestedSvid(ctx, parameters, jkt, context));
      const request = { parameters, application, subjectToken, jkt };
      // Anyone may claim to be this client: a proof is remembered only where there is something to use it for, so that
      // nobody without a credential can fill the memory of used proofs, which then refuses everyone.
      valueOf(exchange.check(request, context));
      await checkDpopReplay(provider, ctx, proof, client.clientId, InvalidGrant);
      const signed = valueOf(await written(exchange.run(request, context), context));
      ctx.body = { ...tokenAnswer(signed, context.nowMs()), ...svid(signed) };
      tellIssued(signed, exchange.event, context);
    },
    EXCHANGE_PARAMETERS,
  );
}

/** RFC 8693 section 2.1, as far as this issuer has no such thing: what is left out of the token must not look granted. */
function refuseUnsupported(parameters: Parameters): void {
  const type = textOf(parameters, "requested_token_type") ?? ACCESS_TOKEN_TYPE;
  if (type !== ACCESS_TOKEN_TYPE) throw new GrantRefusal({ code: "request_malformed", detail: "requested_token_type" });
  if (textOf(parameters, "actor_token") !== undefined)
    throw new GrantRefusal({ code: "request_malformed", detail: "actor_token" });
  if (textOf(parameters, "audience") !== undefined) throw new GrantRefusal({ code: "target_unknown" });
}

/** oidc-provider fills in a `resource` wherever there are authorization_details; what was asked for stands in the form. */
function parametersOf(ctx: TokenEndpointGrantContext): Parameters {
  return { ...ctx.oidc.params, resource: ctx.oidc.body?.["resource"] };
}

/** The proof of a key over this request. It is not used up yet. */
async function proveKey(provider: Provider, ctx: KoaContextWithOIDC): Promise<Proof> {
  const proof = await validateDpop(provider, ctx);
  if (proof === undefined) throw new GrantRefusal({ code: "proof_required" });
  return proof;
}

function applicationOf(clientId: string): string | undefined {
  const suffix = agentsClientOf("");
  return clientId.endsWith(suffix) ? clientId.slice(0, -suffix.length) : undefined;
}

/** A disk that is full for a moment is no bug: whoever asked may try again, and the log has the reason. */
async function written<T>(result: Promise<T>, context: GrantContext): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (!(error instanceof CommitError)) throw error;
    const cause = error.cause instanceof Error ? error.cause.message : "";
    context.tell({ level: "error", event: "issuer_error", detail: `${error.message}: ${cause}` });
    throw new Unavailable();
  }
}

function valueOf<T>(result: Result<T, Refusal>): T {
  if (!result.ok) throw new GrantRefusal(result.error);
  return result.value;
}

function tellIssued({ agent, token }: SignedToken, event: Exchange["event"], context: GrantContext): void {
  context.tell({
    level: "info",
    event,
    client_id: agentsClientOf(agent.application),
    key_thumbprint: agent.authority.jkt,
    jti: token.jti,
    scope: agent.grant.scope.join(" "),
    agent: agent.id,
  });
}
