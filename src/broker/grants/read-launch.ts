// In: the form of a launch request and the application that made it. Out: what the launch token will stand for.
// Trusts: that the application proved its key. Everything it asks for is held against its ceiling.
import { APPLICATION_NAME, type Application } from "../../lib/application-schema.ts";
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import { isObject, memberOf } from "../../lib/strict-json.ts";
import type { Principal } from "../../token/agent.ts";
import type { Launch } from "./authority.ts";
import { checkCeiling, checkLimits, mayActFor, mayLaunchIn } from "./check-ceiling.ts";
import type { GrantContext } from "./grant-context.ts";
import { audienceOf } from "./read-audience.ts";
import {
  isShortText,
  type Parameters,
  readAskedGrant,
  readNumber,
  readObject,
  readText,
  textOf,
} from "./read-parameters.ts";
import { readSession } from "./read-session.ts";
import { type Refusal, refuse } from "./refusal.ts";
import { readManifest } from "./verify-manifest.ts";

const SUBJECT_TOKEN_TYPES: ReadonlySet<string | undefined> = new Set(
  ["jwt", "id_token", "access_token"].map((type) => `urn:ietf:params:oauth:token-type:${type}`),
);
const PRINCIPAL_MEMBERS = new Set(["type", "id", "attributes"]);
const PRINCIPAL_TYPE = /^[a-z][a-z0-9_-]{0,62}$/;
/** Beside it a token holds little: this leaves room for a chain of delegation records. */
const AUTHORITY_CHARS_MAX = 6144;

type Context = Pick<GrantContext, "issuer" | "publicOrigins" | "detailsTypes" | "publishers" | "subjects" | "nowMs">;

export async function readLaunch(
  parameters: Parameters,
  application: Application,
  context: Context,
): Promise<Result<Launch, Refusal>> {
  const orchestration = textOf(parameters, "orchestration") ?? "";
  const task = textOf(parameters, "task") ?? "";
  if (!APPLICATION_NAME.test(orchestration)) return refuse("request_malformed", "orchestration");
  if (!APPLICATION_NAME.test(task)) return refuse("request_malformed", "task");
  if (!mayLaunchIn(application, orchestration)) return refuse("orchestration_not_allowed");
  const purpose = readText(parameters, "purpose");
  if (!purpose.ok) return purpose;

  const asked = readAskedGrant(parameters, context.detailsTypes);
  if (!asked.ok) return asked;
  const grant = checkCeiling(application, asked.value);
  if (!grant.ok) return grant;
  const limits = readLimits(parameters, application);
  if (!limits.ok) return limits;
  const audience = audienceOf(textOf(parameters, "resource"), context.publicOrigins);
  if (!audience.ok) return audience;

  const principal = await readPrincipal(parameters, context);
  if (!principal.ok) return principal;
  if (!mayActFor(application, principal.value)) return refuse("principal_not_allowed");
  const session = readSession(parameters, principal.value);
  if (!session.ok) return session;
  const provenance = readManifest(textOf(parameters, "manifest"), context.publishers, context.nowMs() / 1000);
  if (!provenance.ok) return provenance;

  const launch: Launch = {
    orchestration,
    task,
    purpose: purpose.value,
    principal: principal.value,
    provenance: provenance.value,
    session: session.value,
    grant: grant.value,
    ...limits.value,
    ...(audience.value === undefined ? {} : { audience: audience.value }),
  };
  return JSON.stringify(launch).length > AUTHORITY_CHARS_MAX ? refuse("request_too_large") : ok(launch);
}

function readLimits(parameters: Parameters, application: Application) {
  const ttl = readNumber(parameters, "ttl_s");
  if (!ttl.ok) return ttl;
  const lifetime = readNumber(parameters, "lifetime_s");
  if (!lifetime.ok) return lifetime;
  const renewals = readNumber(parameters, "renewals_max");
  if (!renewals.ok) return renewals;
  const depth = readNumber(parameters, "depth_max");
  if (!depth.ok) return depth;
  return checkLimits(application, {
    ttl_s: ttl.value,
    lifetime_s: lifetime.value,
    renewals_max: renewals.value,
    depth_max: depth.value,
  });
}

/** Proved by a token of an identity provider, or declared; not both, so that neither can stand for the other. */
async function readPrincipal(parameters: Parameters, context: Context): Promise<Result<Principal, Refusal>> {
  const declared = readObject(parameters, "principal");
  if (!declared.ok) return declared;
  const token = textOf(parameters, "subject_token");
  if (token === undefined) {
    return declared.value === undefined ? refuse("principal_required") : readDeclared(declared.value, context);
  }
  if (declared.value !== undefined) return refuse("request_malformed", "principal beside subject_token");
  if (!SUBJECT_TOKEN_TYPES.has(textOf(parameters, "subject_token_type"))) return refuse("subject_token_type_unknown");
  return context.subjects(token, context.nowMs());
}

function readDeclared(declared: object, { issuer }: Context): Result<Principal, Refusal> {
  const type = memberOf(declared, "type");
  const id = memberOf(declared, "id");
  const attributes = memberOf(declared, "attributes") ?? {};
  const known = Object.keys(declared).every((member) => PRINCIPAL_MEMBERS.has(member));
  if (!known || !isShortText(type) || !PRINCIPAL_TYPE.test(type) || !isShortText(id) || !isObject(attributes)) {
    return refuse("request_malformed", "principal");
  }
  return ok({ type, id, issuer: issuer.issuer, attributes });
}
