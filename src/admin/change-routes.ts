// In: an operator who may change containment, policy or operators. Out: the change made and logged, or refused and logged.
// Trusts: the key and role that the server checked; every value of the body is checked here again.
import type { FastifyInstance, FastifyReply } from "fastify";
import type { Level } from "../containment/state.ts";
import { checkReason, checkTarget, validateChange } from "../containment/validate-change.ts";
import { type AdminContext, operatorOf } from "./admin-context.ts";
import type { Applied } from "./control-plane.ts";
import { logged } from "./log-change.ts";
import type { Operator, Role } from "./operators.ts";
import { invalidRequest, sendProblem } from "./problem.ts";
import { entryJson } from "./read-routes.ts";
import { describeRoute } from "./describe-route.ts";
import * as schemas from "./schemas.ts";

/** The data of a large organisation; more belongs into a bundle. */
const POLICY_DATA_BYTES_MAX = 8 * 1024 * 1024;

export function addContainmentRoutes(server: FastifyInstance, context: AdminContext): void {
  const { control } = context;
  const config = { permission: "contain" } as const;

  server.put<{ Params: { level: Level }; Body: { id: string; mode: string; reason: string; drain_s?: number } }>(
    "/containment/:level",
    {
      config,
      schema: describeRoute("Block, drain or quarantine", schemas.APPLIED, schemas.CONTAIN_BODY, schemas.LEVEL_PARAMS),
    },
    async (request, reply) => {
      const { id, mode, reason, drain_s: drainS } = request.body;
      const checked = validateChange({ level: request.params.level, id, mode, reason, drainS });
      if (!checked.ok) return sendProblem(reply, invalidRequest(checked.error));
      const operator = operatorOf(request);
      const attempt = { action: `containment.${mode}`, target: `${checked.value.level} ${id}`, reason };
      const result = await logged(context, operator, attempt, () => control.contain(checked.value, operator.name));
      return result.ok ? appliedJson(result.value) : notApplied(reply, result.error);
    },
  );

  server.post<{ Params: { level: Level }; Body: { id: string; reason: string } }>(
    "/containment/:level/release",
    { config, schema: describeRoute("Release", schemas.APPLIED, schemas.RELEASE_BODY, schemas.LEVEL_PARAMS) },
    async (request, reply) => {
      const { id, reason } = request.body;
      const { level } = request.params;
      const problems = [checkTarget(level, id), checkReason(reason)].flatMap((check) =>
        check.ok ? [] : [check.error],
      );
      if (problems.length > 0) return sendProblem(reply, invalidRequest(problems));
      if (!control.containments().some((entry) => entry.level === level && entry.id === id)) {
        return sendProblem(reply, {
          status: 404,
          code: "not_contained",
          detail: `The ${level} is not contained; nothing to release.`,
        });
      }
      const operator = operatorOf(request);
      const attempt = { action: "containment.release", target: `${level} ${id}`, reason };
      const result = await logged(context, operator, attempt, () => control.release(level, id, reason, operator.name));
      return result.ok ? appliedJson(result.value) : notApplied(reply, result.error);
    },
  );
}

export function addPolicyRoutes(server: FastifyInstance, context: AdminContext): void {
  const { control } = context;
  const config = { permission: "policy" } as const;

  server.post(
    "/policy/reload",
    { config, schema: describeRoute("Read the policy again", schemas.POLICY, schemas.EMPTY_BODY) },
    async (request, reply) => {
      const operator = operatorOf(request);
      const attempt = { action: "policy.reload", target: "policy", reason: "" };
      const result = await logged(context, operator, attempt, () => control.reloadPolicy(operator.name));
      return result.ok ? result.value : policyRefused(reply, result.error);
    },
  );

  server.put(
    "/policy/data",
    {
      config,
      bodyLimit: POLICY_DATA_BYTES_MAX,
      schema: describeRoute("Replace the policy's data", schemas.POLICY, schemas.POLICY_DATA_BODY),
    },
    async (request, reply) => {
      const operator = operatorOf(request);
      const attempt = { action: "policy.data", target: "policy data", reason: "" };
      // The text as it was sent: parsing and writing it again would change numbers.
      const result = await logged(context, operator, attempt, () =>
        control.putPolicyData(request.rawJson, operator.name),
      );
      return result.ok ? result.value : policyRefused(reply, result.error);
    },
  );

  server.delete(
    "/policy/data",
    {
      config,
      schema: describeRoute("Take the data that was put back; the policy's own is in force again", schemas.POLICY),
    },
    async (request, reply) => {
      const operator = operatorOf(request);
      const attempt = { action: "policy.data.reset", target: "policy data", reason: "" };
      const result = await logged(context, operator, attempt, () => control.resetPolicyData(operator.name));
      return result.ok ? result.value : policyRefused(reply, result.error);
    },
  );
}

export function addOperatorRoutes(server: FastifyInstance, context: AdminContext): void {
  const { operators } = context;
  const config = { permission: "operators" } as const;

  server.get("/operators", { config, schema: describeRoute("Who may use this API", schemas.OPERATORS) }, async () => ({
    operators: operators.list().map(operatorJson),
  }));

  server.post<{ Body: { name: string; role: Role } }>(
    "/operators",
    { config, schema: describeRoute("Add an operator", schemas.NEW_OPERATOR, schemas.OPERATOR_BODY) },
    async (request, reply) => {
      const { name, role } = request.body;
      const by = operatorOf(request);
      const attempt = { action: "operators.add", target: `${name} (${role})`, reason: "" };
      const result = await logged(context, by, attempt, () => operators.add(name, role, by.name, context.nowMs()));
      if (!result.ok) return sendProblem(reply, { status: 409, code: "operator_refused", detail: result.error });
      return { ...operatorJson(result.value.operator), key: result.value.key };
    },
  );

  server.delete<{ Params: { name: string } }>(
    "/operators/:name",
    {
      config,
      schema: describeRoute(
        "Remove an operator; the key is void at once",
        schemas.OPERATOR,
        undefined,
        schemas.NAME_PARAMS,
      ),
    },
    async (request, reply) => {
      const { name } = request.params;
      const known = operators.list().some((one) => one.name === name);
      const attempt = { action: "operators.remove", target: name, reason: "" };
      const result = await logged(context, operatorOf(request), attempt, () => operators.remove(name));
      if (result.ok) return operatorJson(result.value);
      return sendProblem(reply, { status: known ? 409 : 404, code: "operator_refused", detail: result.error });
    },
  );
}

function operatorJson({ name, role, createdMs, createdBy }: Operator) {
  return { name, role, created_at: new Date(createdMs).toISOString(), created_by: createdBy };
}

function appliedJson(applied: Applied) {
  return { ...applied, entry: applied.entry === null ? null : entryJson(applied.entry) };
}

function notApplied(reply: FastifyReply, detail: string) {
  return sendProblem(reply, { status: 503, code: "not_applied", detail });
}

function policyRefused(reply: FastifyReply, detail: string) {
  return sendProblem(reply, {
    status: 422,
    code: "policy_refused",
    detail: `${detail} The policy in force did not change.`,
  });
}
