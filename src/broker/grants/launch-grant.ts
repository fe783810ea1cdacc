// In: a launch request of an orchestrator that proved its key. Out: a launch token, random, for 30 s and one use.
// Only the token's hash is kept. It is answered once the row is on disk.
import type { Application } from "../../lib/application-schema.ts";
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import { createLaunchToken, hashOfLaunchToken, LAUNCH_TOKEN_LIFETIME_S } from "../state/launches.ts";
import { agentsClientOf } from "./agent-token.ts";
import type { Launch } from "./authority.ts";
import type { GrantContext } from "./grant-context.ts";
import { readLaunch } from "./read-launch.ts";
import type { Parameters } from "./read-parameters.ts";
import { type Refusal, refuse } from "./refusal.ts";

export const LAUNCH_GRANT = "urn:cordon:params:oauth:grant-type:launch";
export const LAUNCH_TOKEN_TYPE = "urn:cordon:params:oauth:token-type:launch-token";

export const LAUNCH_PARAMETERS = [
  "orchestration",
  "task",
  "purpose",
  "scope",
  "authorization_details",
  "constraints",
  "principal",
  "subject_token",
  "subject_token_type",
  "session",
  "manifest",
  "ttl_s",
  "lifetime_s",
  "renewals_max",
  "depth_max",
  "resource",
] as const;

/** RFC 8693 section 2.2.1: the issued token is no access token, so its type is `N_A`. */
export async function launch(
  parameters: Parameters,
  application: Application,
  context: GrantContext,
): Promise<Result<Record<string, unknown>, Refusal>> {
  const read = await readLaunch(parameters, application, context);
  if (!read.ok) return read;
  const { state, nowMs } = context;
  const taskId = taskOf(read.value, context);
  const token = createLaunchToken(application.name);
  const stored = await state.commit.run(() => {
    if (state.revocations.has("task", taskId)) return false;
    state.launches.add(hashOfLaunchToken(token), application.name, read.value, nowMs());
    return true;
  });
  if (!stored) return refuse("task_revoked");
  context.tell({ level: "info", event: "launched", client_id: application.name, detail: taskId });
  return ok({
    access_token: token,
    issued_token_type: LAUNCH_TOKEN_TYPE,
    token_type: "N_A",
    expires_in: LAUNCH_TOKEN_LIFETIME_S,
    client_id: agentsClientOf(application.name),
  });
}

/** SPIFFE id of a task: that of its agents without their instance. */
export function taskOf({ orchestration, task }: Pick<Launch, "orchestration" | "task">, { issuer }: GrantContext) {
  return `spiffe://${issuer.trustDomain}/agent/${orchestration}/${task}`;
}
