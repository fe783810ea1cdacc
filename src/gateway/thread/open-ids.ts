// In: the ids of requests in sessions of MCP, and what is seen of their answers. Out: whether an id may be used now.
// Trusts: an honest server, to answer an id once. A server finds the stream of an answer by the request's id: of two open
// requests with one id, the answer to the first may come where the decision on the second holds.
import type { RpcId } from "../../action/mcp/parse-message.ts";
import { type Denial, deny } from "../../errors.ts";
import type { AnswerWatch } from "../../upstream/answer-watch.ts";
import { HELD_MS, type IdClaim, type IdClaims, SLOTS_OF_THREAD } from "../id-claims.ts";

/** What one agent may hold of a thread's part of the table: a 64th, as of the replay table. */
const IDS_OF_AGENT_SHARE = 64;
/** An exchange may be open for longer than the limit: its claim is made new long before. */
const KEPT_AGAIN_MS = HELD_MS / 4;

export interface OpenId extends AnswerWatch {
  readonly agent: string;
  readonly claim: IdClaim;
  keptAtMs: number;
  isSent: boolean;
  isAnswered: boolean;
}

export interface RequestId {
  readonly agent: string;
  readonly route: string;
  /** The server's own id of the session. */
  readonly session: string;
  readonly id: RpcId;
}

export interface OpenIds {
  /** Before the message is sent. */
  take(request: RequestId): OpenId | Denial;
  /** The exchange is over. An id that the server may still answer stays taken, since the server goes on. */
  end(open: OpenId): void;
  /** Called now and then, for exchanges that are open for long. */
  keep(): void;
}

export function createOpenIds(
  claims: IdClaims,
  nowMs: () => number,
  ofAgentMax = SLOTS_OF_THREAD / IDS_OF_AGENT_SHARE,
): OpenIds {
  const counts = new Map<string, number>();
  const open = new Set<OpenId>();
  /** What is left to the time limit, oldest first. */
  const left = new Set<OpenId>();

  function uncount(agent: string): void {
    const count = (counts.get(agent) ?? 0) - 1;
    if (count > 0) counts.set(agent, count);
    else counts.delete(agent);
  }

  function forgetLeft(now: number): void {
    for (const one of left) {
      if (one.keptAtMs + HELD_MS > now) return;
      left.delete(one);
      uncount(one.agent);
    }
  }

  function keepOne(one: OpenId, now: number): void {
    one.keptAtMs = now;
    claims.keep(one.claim);
  }

  function free({ claim, agent }: OpenId): void {
    claims.free(claim);
    uncount(agent);
  }

  return {
    take({ agent, route, session, id }) {
      const now = nowMs();
      forgetLeft(now);
      const count = counts.get(agent) ?? 0;
      if (count >= ofAgentMax) return deny("mcp.id_quota", `${count} ids without an answer`);
      // The type of an id does not count: the public Python SDK finds streams by its text, and takes 7 and "7" for one.
      const text = String(id);
      const claim = claims.take(JSON.stringify([agent, route, session, text]));
      if (claim === "taken") return deny("mcp.id_in_use");
      if (claim === "full") return deny("gateway.overloaded", "too many ids of sessions are without an answer");
      counts.set(agent, count + 1);
      const taken: OpenId = {
        agent,
        claim,
        id: text,
        keptAtMs: now,
        isSent: false,
        isAnswered: false,
        sent: () => {
          taken.isSent = true;
        },
        answered: () => {
          if (taken.isAnswered) return;
          taken.isAnswered = true;
          free(taken);
        },
      };
      open.add(taken);
      return taken;
    },
    end(one) {
      if (!open.delete(one) || one.isAnswered) return;
      if (one.isSent) {
        keepOne(one, nowMs());
        left.add(one);
      } else {
        free(one);
      }
    },
    keep() {
      const now = nowMs();
      forgetLeft(now);
      for (const one of open) if (!one.isAnswered && one.keptAtMs + KEPT_AGAIN_MS <= now) keepOne(one, now);
    },
  };
}
