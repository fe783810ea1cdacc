// In: an operator who may read. Out: what runs, what is in force, who was seen.
import type { FastifyInstance } from "fastify";
import type { ContainmentEntry } from "../containment/state.ts";
import type { AdminContext } from "./admin-context.ts";
import type { ContainmentHistoryLine } from "./control-plane.ts";
import { sendProblem } from "./problem.ts";
import { describeRoute } from "./describe-route.ts";
import * as schemas from "./schemas.ts";

const HISTORY_LIMIT_DEFAULT = 100;
const config = { permission: "read" } as const;

export function addReadRoutes(server: FastifyInstance, { control }: AdminContext): void {
  server.get("/status", { config, schema: describeRoute("What runs, and how it is", schemas.STATUS) }, async () =>
    control.status(),
  );

  server.get(
    "/config",
    { config, schema: describeRoute("The configuration in force, secrets masked", schemas.CONFIG) },
    async () => control.config(),
  );

  server.get(
    "/policy",
    { config, schema: describeRoute("The policy in force", schemas.POLICY) },
    async (_request, reply) =>
      control.policy() ?? sendProblem(reply, { status: 404, code: "no_policy", detail: "No policy is loaded." }),
  );

  server.get("/agents", { config, schema: describeRoute("Agents seen since the start", schemas.AGENTS) }, async () => ({
    agents: await control.agents(),
  }));

  server.get(
    "/containment",
    { config, schema: describeRoute("What is contained", schemas.CONTAINMENTS) },
    async () => ({
      epoch: (await control.status()).containment.epoch,
      entries: control.containments().map(entryJson),
    }),
  );

  server.get<{ Querystring: { limit?: string; before_epoch?: string } }>(
    "/containment/history",
    {
      config,
      schema: {
        ...describeRoute("Who changed containment, when and why; newest first", schemas.HISTORY),
        querystring: schemas.HISTORY_QUERY,
      },
    },
    async ({ query }) => {
      const before = query.before_epoch === undefined ? undefined : Number(query.before_epoch);
      const lines = control.containmentHistory(Number(query.limit ?? HISTORY_LIMIT_DEFAULT), before);
      return { changes: lines.map((line) => ({ epoch: line.epoch, ...entryJson(line) })) };
    },
  );
}

export function entryJson(entry: ContainmentEntry | ContainmentHistoryLine) {
  const { level, id, mode, drainUntilMs, reason, by, atMs } = entry;
  const drain = drainUntilMs === undefined ? {} : { drain_until: new Date(drainUntilMs).toISOString() };
  return { level, id, mode, ...drain, reason, by, at: new Date(atMs).toISOString() };
}
