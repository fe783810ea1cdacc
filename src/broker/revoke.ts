// In: a token, an agent, a task or a chain, and who ends it. Out: it has ended, here and at every data thread.
// Database first, then the feed, then the answer: a crash in between leaves it revoked, and the next start feeds it again.
import type { RevokedEvent, RevokedLevel } from "../containment/revocation.ts";
import { err, ok, type Result } from "../lib/result.ts";
import type { CallProblem, Revoked, RevokeRequest } from "./broker-message.ts";
import type { GrantContext } from "./grants/grant-context.ts";
import { LAUNCH_TOKEN_LIFETIME_S } from "./state/launches.ts";
import type { Revocation } from "./state/revocations.ts";

/** The largest leeway of a gateway (60 s) and a clock that is a little off: after this no gateway takes the token. */
const LEEWAY_MS = 120_000;

/** `broker.token_ttl_s` is at most one hour. */
const TOKEN_TTL_MS_MAX = 3_600_000;

interface Ended {
  readonly agents: number;
  readonly tokensUntilMs: number;
}

/** Asked for again, it answers again; what has ended stays ended. */
export async function revoke(context: GrantContext, request: RevokeRequest): Promise<Result<Revoked, CallProblem>> {
  const { state, nowMs } = context;
  const { level, id, reason, by } = request;
  const written = await state.commit.run(() => {
    const atMs = nowMs();
    const ended = endNow(context, request, atMs);
    if (!ended.ok) return ended;
    // A launch token that is out already can be redeemed for so long: what it would give is refused until then.
    const lastMs = Math.max(ended.value.tokensUntilMs, atMs + LAUNCH_TOKEN_LIFETIME_S * 1000);
    const revocation: Revocation = { level, id, reason, by, atMs, untilMs: lastMs + LEEWAY_MS };
    state.revocations.add(revocation);
    return ok({ revocation, agents: ended.value.agents });
  });
  if (!written.ok) return written;
  const { revocation, agents } = written.value;
  context.tell({ level: "info", event: "revoked", detail: `${level} ${id}` });
  const enforced = await context.feed.send([eventOf(revocation)]);
  return ok({ level, id, agents, until: new Date(revocation.untilMs).toISOString(), enforced });
}

/** Ends the launched agents of applications that there no longer are, and so everyone they delegated to. */
export async function revokeOrphans(
  context: GrantContext,
  reason: string,
  by: string,
): Promise<{ readonly agents: number; readonly enforced: boolean }> {
  const { state, nowMs } = context;
  const written = await state.commit.run(() => {
    const atMs = nowMs();
    let agents = 0;
    const revocations = state.affected.withoutApplication().map((id): Revocation => {
      const ended = endFamily(context, id, reason, atMs);
      agents += ended.agents;
      return { level: "agent", id, reason, by, atMs, untilMs: ended.tokensUntilMs + LEEWAY_MS };
    });
    for (const revocation of revocations) state.revocations.add(revocation);
    return { agents, revocations };
  });
  return { agents: written.agents, enforced: await context.feed.send(written.revocations.map(eventOf)) };
}

/** What a data thread must know before the first request, also after a restart. */
export function liveRevocations({ state, nowMs }: GrantContext): readonly RevokedEvent[] {
  return state.revocations.live(nowMs()).map(eventOf);
}

function eventOf({ level, id, untilMs, reason }: Revocation): RevokedEvent {
  return { kind: "revoked", level, id, untilMs, reason };
}

function endNow(context: GrantContext, request: RevokeRequest, nowMs: number): Result<Ended, CallProblem> {
  const { state, issuer } = context;
  const { level, id, reason } = request;
  switch (level) {
    case "token": {
      const token = state.agents.findToken(ownPart(id, issuer.issuer) ?? "");
      if (ownPart(id, issuer.issuer) === undefined) return unknown(level);
      // Of a client of the configuration file, whose tokens are not kept: it lives no longer than any.
      return ok({ agents: 0, tokensUntilMs: token?.expiresMs ?? nowMs + TOKEN_TTL_MS_MAX });
    }
    case "agent":
      return state.agents.find(id) === undefined ? unknown(level) : ok(endFamily(context, id, reason, nowMs));
    case "task": {
      // One that nobody was launched in yet can be revoked too: a launch token for it may be out.
      if (!id.startsWith(`spiffe://${issuer.trustDomain}/`)) return unknown(level);
      const { count, tokensUntilMs } = state.affected.ofTask(id);
      state.affected.endTask(id, reason, nowMs);
      return ok({ agents: count, tokensUntilMs });
    }
    case "chain": {
      const session = ownPart(id, issuer.issuer) ?? "";
      const { count, tokensUntilMs } = state.affected.ofChain(session);
      if (tokensUntilMs === 0) return unknown(level);
      state.affected.endChain(session, reason, nowMs);
      return ok({ agents: count, tokensUntilMs });
    }
  }
}

/** A delegator's end is that of everyone it delegated to, at any depth. */
function endFamily({ state }: GrantContext, id: string, reason: string, nowMs: number): Ended {
  const family = state.agents.family(id);
  for (const member of family) state.agents.end(member.id, reason, nowMs);
  const tokens = [state.agents.find(id), ...family].map((member) => member?.tokenExpiresMs ?? 0);
  return { agents: family.length, tokensUntilMs: Math.max(...tokens) };
}

/** `<issuer> <jti or session>` of this issuer. */
function ownPart(id: string, issuer: string): string | undefined {
  return id.startsWith(`${issuer} `) ? id.slice(issuer.length + 1) : undefined;
}

function unknown(level: RevokedLevel): Result<never, CallProblem> {
  const detail = `The issuer knows no such ${level}. To refuse one of another issuer, block it instead.`;
  return err({ status: 404, code: "unknown_credential", detail });
}
