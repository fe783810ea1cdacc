// In: an operator's calls about applications and revocations. Out: the change made and on disk, or a sentence that says why not.
// Trusts: who may ask was settled by the operators' API. Every value is judged here; a private key is refused unread.
import { type Application, APPLICATION_NAME, applicationSchema } from "../lib/application-schema.ts";
import { err, ok, type Result } from "../lib/result.ts";
import type { CallHandlers } from "./answer-call.ts";
import type { ApplicationFacts, CallProblem } from "./broker-message.ts";
import type { GrantContext } from "./grants/grant-context.ts";
import { revoke, revokeOrphans } from "./revoke.ts";
import { checkApplicationKeys, type StoredApplication } from "./state/applications.ts";

/** Each is looked up in memory; a gateway serves one organisation. */
const APPLICATIONS_MAX = 1000;

/** `clientIds`: names that the configuration file has given to clients. */
export function applicationHandlers(context: GrantContext, clientIds: ReadonlySet<string>) {
  const { applications } = context.state;

  function stored(name: string): Result<StoredApplication, CallProblem> {
    const found = applications.list().find(({ application }) => application.name === name);
    return found === undefined
      ? problem(404, "unknown_application", `There is no application ${shown(name)}.`)
      : ok(found);
  }

  /** One that stands in the configuration file would be written over at the next start. */
  function changeable(name: string): Result<StoredApplication, CallProblem> {
    const found = stored(name);
    if (!found.ok || found.value.source === "operator") return found;
    const detail = `The application ${name} stands in the configuration file; change it there and start again.`;
    return problem(409, "application_configured", detail);
  }

  function put(application: Application): Result<ApplicationFacts, CallProblem> {
    applications.put(application, "operator");
    const now = stored(application.name);
    return now.ok ? ok(factsOf(now.value)) : now;
  }

  function read(definition: unknown): Result<Application, CallProblem> {
    const parsed = applicationSchema.safeParse(definition);
    if (!parsed.success) {
      const detail = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ");
      return problem(400, "invalid_application", detail);
    }
    const keys = checkApplicationKeys(parsed.data.jwks);
    if (!keys.ok) return problem(400, "invalid_application", keys.error);
    const strange = parsed.data.authorization_details.find(({ type }) => !context.detailsTypes.has(type));
    if (strange === undefined) return ok(parsed.data);
    const detail = `authorization_details: ${strange.type} is not one of broker.authorization_details_types.`;
    return problem(400, "invalid_application", detail);
  }

  return {
    "applications.list": () => ok(applications.list().map(factsOf)),
    "applications.show"({ name }) {
      const found = stored(name);
      return found.ok ? ok({ ...factsOf(found.value), definition: found.value.application }) : found;
    },
    "applications.add"({ definition }) {
      const wanted = read(definition);
      if (!wanted.ok) return wanted;
      const { name } = wanted.value;
      if (applications.find(name) !== undefined || clientIds.has(name)) {
        return problem(409, "application_exists", `There is a client named ${name} already.`);
      }
      if (applications.list().length >= APPLICATIONS_MAX) {
        return problem(409, "too_many_applications", `There are ${APPLICATIONS_MAX} applications; remove one first.`);
      }
      return put(wanted.value);
    },
    "applications.replace"({ name, definition }) {
      const found = changeable(name);
      if (!found.ok) return found;
      const next = read(definition);
      if (!next.ok) return next;
      if (next.value.name === name) return put(next.value);
      return problem(400, "invalid_application", `name: write ${name}; an application cannot be renamed`);
    },
    "applications.rotate"({ name, jwks }) {
      const found = changeable(name);
      if (!found.ok) return found;
      const next = read({ ...found.value.application, jwks });
      return next.ok ? put(next.value) : next;
    },
    async "applications.remove"({ name, reason, by }) {
      const found = changeable(name);
      if (!found.ok) return found;
      // First, so that nothing more is issued; a crash before the agents are ended is made good at the next start.
      applications.remove(name);
      return ok({ name, ...(await revokeOrphans(context, reason, by)) });
    },
    "revocations.revoke": (request) => revoke(context, request),
  } satisfies Partial<CallHandlers>;
}

function factsOf({ application, source, createdMs, updatedMs }: StoredApplication): ApplicationFacts {
  return {
    name: application.name,
    source,
    keys: application.jwks.keys.length,
    created_at: new Date(createdMs).toISOString(),
    updated_at: new Date(updatedMs).toISOString(),
  };
}

function shown(name: string): string {
  return APPLICATION_NAME.test(name) ? name : "of this name";
}

function problem(status: number, code: string, detail: string): Result<never, CallProblem> {
  return err({ status, code, detail });
}
