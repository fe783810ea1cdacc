// In: an operator who may see the labels of sessions, or remove them. Out: the gateway's answer, each change logged.
// Trusts: the key and role that the server checked. Names of principals and sessions are their issuers' own texts.
import type { FastifyInstance } from "fastify";
import { checkReason } from "../containment/validate-change.ts";
import { type AdminContext, operatorOf } from "./admin-context.ts";
import { describeRoute } from "./describe-route.ts";
import { logged } from "./log-change.ts";
import { sendProblem } from "./problem.ts";
import * as schemas from "./schemas.ts";

export function addLabelRoutes(server: FastifyInstance, context: AdminContext): void {
  const { control } = context;

  server.get(
    "/labels",
    {
      config: { permission: "read" },
      schema: describeRoute("What the policy has called the answers of each session", schemas.LABELS),
    },
    async () => ({
      sessions: control.labels().map(({ chain, task, labels, untilMs, by, atMs }) => ({
        chain,
        task,
        labels,
        by,
        at: new Date(atMs).toISOString(),
        until: new Date(untilMs).toISOString(),
      })),
    }),
  );

  server.post<{ Body: { id: string; reason: string } }>(
    "/labels/remove",
    {
      config: { permission: "contain" },
      schema: {
        ...describeRoute("Take the labels of a chain or of a task back", schemas.LABELS_REMOVED),
        body: schemas.REMOVE_LABELS_BODY,
      },
    },
    async (request, reply) => {
      const { id, reason } = request.body;
      const checked = checkReason(reason);
      if (!checked.ok) return sendProblem(reply, { status: 400, code: "invalid_request", detail: checked.error });
      if (!control.labels().some(({ chain, task }) => chain === id || task === id)) {
        const detail = "No session of this name has labels; nothing to remove.";
        return sendProblem(reply, { status: 404, code: "not_labelled", detail });
      }
      const attempt = { action: "labels.remove", target: id, reason };
      const removed = await logged(context, operatorOf(request), attempt, () => control.removeLabels(id));
      if (removed.ok) return { sessions: removed.value };
      const detail = `Not all of them are removed, since the change could not be written: ${removed.error}`;
      return sendProblem(reply, { status: 503, code: "not_applied", detail });
    },
  );
}
