// In: an operator who may see the tools of MCP servers, or accept what changed of them. Out: the gateway's answer, each
// change logged. Trusts: the key and role that the server checked. Definitions are servers' own texts: they go as text.
import type { FastifyInstance } from "fastify";
import { checkReason } from "../containment/validate-change.ts";
import { type AdminContext, operatorOf } from "./admin-context.ts";
import { logged } from "./log-change.ts";
import { sendProblem } from "./problem.ts";
import { describeRoute } from "./describe-route.ts";
import * as schemas from "./schemas.ts";

export function addToolRoutes(server: FastifyInstance, context: AdminContext): void {
  const { control } = context;
  const read = { permission: "read" } as const;

  server.get(
    "/tools",
    { config: read, schema: describeRoute("What is pinned of the tools of each MCP server", schemas.TOOL_SERVERS) },
    async () => ({ servers: control.toolServers() }),
  );

  server.get<{ Params: { route: string } }>(
    "/tools/:route/waiting",
    {
      config: read,
      schema: {
        ...describeRoute("Tools that are not as they were pinned, old and new", schemas.TOOLS_WAITING),
        params: schemas.ROUTE_PARAMS,
      },
    },
    async (request, reply) => {
      const tools = control.waitingTools(request.params.route);
      return tools.ok ? { tools: tools.value } : sendProblem(reply, tools.error);
    },
  );

  server.post<{ Params: { route: string }; Body: { reason: string; tool?: string; digest?: string } }>(
    "/tools/:route/accept",
    {
      config: { permission: "policy" },
      schema: {
        ...describeRoute("Accept a tool as it was seen last, or all of a route", schemas.TOOLS_ACCEPTED),
        params: schemas.ROUTE_PARAMS,
        body: schemas.ACCEPT_BODY,
      },
    },
    async (request, reply) => {
      const { reason, tool, digest } = request.body;
      const { route } = request.params;
      const checked = checkReason(reason);
      if (!checked.ok) return sendProblem(reply, { status: 400, code: "invalid_request", detail: checked.error });
      const operator = operatorOf(request);
      const attempt = { action: "tools.accept", target: tool === undefined ? route : `${route} ${tool}`, reason };
      const accepted = await logged(context, operator, attempt, () =>
        control.acceptTools(route, tool, digest, operator.name),
      );
      return accepted.ok ? { accepted: accepted.value } : sendProblem(reply, accepted.error);
    },
  );
}
