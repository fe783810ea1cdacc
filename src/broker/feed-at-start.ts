// In: the state as the last run left it. Out: the gateway knows everything that was ended or replaced and could still be used.
import { SUPERSEDED_GRACE_MS } from "./grants/renew.ts";
import { tokenRef } from "./grants/check-live.ts";
import type { GrantContext } from "./grants/grant-context.ts";
import { liveRevocations } from "./revoke.ts";

/** False where the gateway did not say that it enforces them. */
export function feedAtStart(context: GrantContext): Promise<boolean> {
  const { state, feed, issuer, nowMs } = context;
  const superseded = state.agents.superseded(nowMs()).map(
    ({ jti, agent, supersededMs, expiresMs, agentExpiresMs }) =>
      ({
        kind: "superseded",
        token: tokenRef(issuer, jti),
        agent,
        fromMs: supersededMs + SUPERSEDED_GRACE_MS,
        untilMs: expiresMs,
        agentExpiresMs,
      }) as const,
  );
  return feed.send([...liveRevocations(context), ...superseded]);
}
