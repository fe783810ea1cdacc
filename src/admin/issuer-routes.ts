// In: an operator who may see or change what the embedded issuer keeps. Out: the issuer's own answer, each change logged.
// Trusts: the key and role that the server checked. The issuer judges every value; no private key comes or goes this way.
import type { FastifyInstance } from "fastify";
import { type AdminContext, operatorOf } from "./admin-context.ts";
import { logged } from "./log-change.ts";
import { sendProblem } from "./problem.ts";
import * as schemas from "./schemas.ts";

export function addKeyRoutes(server: FastifyInstance, context: AdminContext): void {
  const { control } = context;

  server.get(
    "/keys",
    {
      config: { permission: "read" },
      schema: describe("The issuer's signing keys, without their private parts", schemas.KEYS),
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
        ...describe("Publish a new signing key, which signs after the overlap", schemas.KEY),
        body: schemas.EMPTY_BODY,
      },
    },
    async (request, reply) => {
      const attempt = { action: "keys.rotate", target: "signing key", reason: "" };
      const next = await logged(context, operatorOf(request), attempt, () => control.issuer("keys.rotate", {}));
      return next.ok ? next.value : sendProblem(reply, next.error);
    },
  );
}

function describe(summary: string, answer: object) {
  return { summary, response: { 200: answer, default: schemas.PROBLEM } };
}
