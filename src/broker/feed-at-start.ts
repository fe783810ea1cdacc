// In: the state as the last run left it. Out: the gateway knows everything that was ended or replaced and could still be used.
import { SUPERSEDED_GRACE_MS } from "./grants/renew.ts";
import { tokenRef } from "./grants/check-live.ts";
import type { GrantContext } from "./grants/grant-context.ts";

/** False where the gateway did not say that it enforces them. */
export function feedAtStart({
  state,
  feed,
  issuer,
  nowMs,
}: Pick<GrantContext, "state" | "feed" | "issuer" | "nowMs">): Promise<boolean> {
  const revoked = state.revocations
    .live(nowMs())
    .map(({ level, id, untilMs, reason }) => ({ kind: "revoked", level, id, untilMs, reason }) as const);
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
  return feed.send([...revoked, ...superseded]);
}
