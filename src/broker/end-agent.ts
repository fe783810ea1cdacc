// In: an agent whose work is done, or that must not go on. Out: it and everyone it delegated to are ended, everywhere.
// On disk first, then told to the gateway, then to the caller: no crash in between makes one of them live again.
import type { RevokedEvent } from "../containment/revocation.ts";
import type { GrantContext } from "./grants/grant-context.ts";

/** The longest leeway of a gateway towards a token's end. */
const LEEWAY_MS = 60_000;

/** How many agents were ended; none where it has ended before or was never there. Resolves once the gateway enforces it. */
export async function endAgent(
  { state, feed, nowMs }: Pick<GrantContext, "state" | "feed" | "nowMs">,
  end: { readonly id: string; readonly reason: string; readonly by: string },
): Promise<number> {
  const { id, reason, by } = end;
  const { ended, event } = await state.commit.run(() => {
    const family = state.agents.family(id);
    if (family.length === 0) return { ended: 0, event: undefined };
    const untilMs = Math.max(...family.map(({ tokenExpiresMs }) => tokenExpiresMs)) + LEEWAY_MS;
    for (const agent of family) state.agents.end(agent.id, reason, nowMs());
    state.revocations.add({ level: "agent", id, reason, by, atMs: nowMs(), untilMs });
    const told: RevokedEvent = { kind: "revoked", level: "agent", id, untilMs, reason };
    return { ended: family.length, event: told };
  });
  // The gateway knows the delegates by the chain in their tokens: one event ends them all.
  if (event !== undefined) await feed.send([event]);
  return ended;
}
