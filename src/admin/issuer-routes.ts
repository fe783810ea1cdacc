// In: an operator who may see or change what the embedded issuer keeps. Out: the issuer's own answer, each change logged.
// Trusts: the key and role that the server checked. The issuer judges every value; no private key comes or goes this way.
import type { FastifyInstance } from "fastify";
import type { RevokedLevel } from "../containment/revocation.ts";
import { checkReason, checkTarget } from "../containment/validate-change.ts";
import { type AdminContext, operatorOf } from "./admin-context.ts";
import { logged } from "./log-change.ts";
import { invalidRequest, type Problem, sendProblem, sendResult } from "./problem.ts";
import { describeRoute } from "./describe-route.ts";
import * as schemas from "./schemas.ts";

/** As long as a name may be. */
const NAME_CHARS_MAX = 63;

export function addKeyRoutes(server: FastifyInstance, context: AdminContext): void {
  const { control } = context;

  server.get(
    "/keys",
    {
      config: { permission: "read" },
      schema: describeRoute("The issuer's signing keys, without their private parts", schemas.KEYS),
    },
    async (_request, reply) => {
      const keys = await control.issuer("keys.list", {});
      return keys.ok ? { keys: keys.value } : sendProblem(reply, keys.error);
    },
  );

  server.post(
    "/keys/rotate",
    {
      config: { permission: "issuer" },
      schema: {
        ...describeRoute("Publish a new signing key, which signs after the overlap", schemas.KEY),
        body: schemas.EMPTY_BODY,
      },
    },
    async (request, reply) => {
      const attempt = { action: "keys.rotate", target: "signing key", reason: "" };
      const next = await logged(context, operatorOf(request), attempt, () => control.issuer("keys.rotate", {}));
      return sendResult(reply, next);
    },
  );
}

export function addApplicationRoutes(server: FastifyInstance, context: AdminContext): void {
  const { control } = context;
  const read = { permission: "read" } as const;
  const config = { permission: "issuer" } as const;
  const { APPLICATION, APPLICATIONS, APPLICATION_SHOWN, APPLICATION_PARAMS: params } = schemas;

  server.get(
    "/applications",
    { config: read, schema: describeRoute("Who may launch agents", APPLICATIONS) },
    async (_request, reply) => {
      const applications = await control.issuer("applications.list", {});
      return applications.ok ? { applications: applications.value } : sendProblem(reply, applications.error);
    },
  );

  server.get<{ Params: { name: string } }>(
    "/applications/:name",
    {
      config: read,
      schema: { ...describeRoute("One application with its public keys and its ceiling", APPLICATION_SHOWN), params },
    },
    async (request, reply) => {
      const shown = await control.issuer("applications.show", request.params);
      return sendResult(reply, shown);
    },
  );

  server.post<{ Body: { name?: unknown } }>(
    "/applications",
    { config, schema: { ...describeRoute("Add an application", APPLICATION), body: schemas.ANY_BODY } },
    async (request, reply) => {
      const attempt = { action: "applications.add", target: nameOf(request.body), reason: "" };
      const added = await logged(context, operatorOf(request), attempt, () =>
        control.issuer("applications.add", { definition: request.body }),
      );
      return sendResult(reply, added);
    },
  );

  server.put<{ Params: { name: string }; Body: object }>(
    "/applications/:name",
    {
      config,
      schema: { ...describeRoute("Replace an application's definition", APPLICATION), params, body: schemas.ANY_BODY },
    },
    async (request, reply) => {
      const { name } = request.params;
      const attempt = { action: "applications.replace", target: name, reason: "" };
      const replaced = await logged(context, operatorOf(request), attempt, () =>
        control.issuer("applications.replace", { name, definition: request.body }),
      );
      return sendResult(reply, replaced);
    },
  );

  server.put<{ Params: { name: string }; Body: object }>(
    "/applications/:name/keys",
    {
      config,
      schema: { ...describeRoute("Replace an application's public keys", APPLICATION), params, body: schemas.ANY_BODY },
    },
    async (request, reply) => {
      const { name } = request.params;
      const attempt = { action: "applications.rotate", target: name, reason: "" };
      const rotated = await logged(context, operatorOf(request), attempt, () =>
        control.issuer("applications.rotate", { name, jwks: request.body }),
      );
      return sendResult(reply, rotated);
    },
  );

  server.delete<{ Params: { name: string }; Body: { reason: string } }>(
    "/applications/:name",
    {
      config,
      schema: {
        ...describeRoute("Remove an application and end its agents", schemas.APPLICATION_REMOVED),
        params,
        body: schemas.REASON_BODY,
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const { reason } = request.body;
      const checked = checkReason(reason);
      if (!checked.ok) return sendProblem(reply, invalidRequest([checked.error]));
      const operator = operatorOf(request);
      const removed = await logged(context, operator, { action: "applications.remove", target: name, reason }, () =>
        control.issuer("applications.remove", { name, reason, by: operator.name }),
      );
      if (!removed.ok) return sendProblem(reply, removed.error);
      return removed.value.enforced ? removed.value : sendProblem(reply, NOT_ENFORCED);
    },
  );
}

export function addRevocationRoutes(server: FastifyInstance, context: AdminContext): void {
  const { control } = context;

  server.post<{ Params: { level: RevokedLevel }; Body: { id: string; reason: string } }>(
    "/revocations/:level",
    {
      config: { permission: "contain" },
      schema: {
        ...describeRoute("End a token, an agent with its delegates, a task or a chain, for good", schemas.REVOKED),
        params: schemas.LEVEL_PARAMS,
        body: schemas.RELEASE_BODY,
      },
    },
    async (request, reply) => {
      const { id, reason } = request.body;
      const { level } = request.params;
      const problems = [checkTarget(level, id), checkReason(reason)].flatMap((check) =>
        check.ok ? [] : [check.error],
      );
      if (problems.length > 0) return sendProblem(reply, invalidRequest(problems));
      const operator = operatorOf(request);
      const attempt = { action: "revocations.revoke", target: `${level} ${id}`, reason };
      const revoked = await logged(context, operator, attempt, () =>
        control.issuer("revocations.revoke", { level, id, reason, by: operator.name }),
      );
      if (!revoked.ok) return sendProblem(reply, revoked.error);
      return revoked.value.enforced ? revoked.value : sendProblem(reply, NOT_ENFORCED);
    },
  );
}

const NOT_ENFORCED: Problem = Object.freeze({
  status: 503,
  code: "not_enforced",
  detail: "It is written and stays, but not every data thread said that it refuses it; ask again to be sure.",
});

/** For the log, where the body was not judged yet. */
function nameOf({ name }: { readonly name?: unknown }): string {
  return typeof name === "string" ? name.slice(0, NAME_CHARS_MAX) : "";
}
