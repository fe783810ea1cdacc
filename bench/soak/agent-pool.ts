// In: an issuer and how many agents come each second. Out: agents with living tokens, and some whose token has expired.
// New agents and tokens appear all the time, and old ones are never seen again: every cache of the gateway turns over.
import type { BenchAgent, BenchIssuer } from "../load/agents.ts";
import { LEEWAY_S, TOKEN_LIFETIME_S } from "./soak-config.ts";

/** An agent stops before its token expires: what the gateway refuses is asked for on purpose only. */
const RETIRE_MS = (TOKEN_LIFETIME_S - 10) * 1000;
/** Past the leeway, with a second for rounding. */
const EXPIRED_MS = (TOKEN_LIFETIME_S + LEEWAY_S + 1) * 1000;
/** Retired agents that are kept until their tokens have expired. */
const RETIRED_MAX = 64;
const STEP_MS = 100;

interface Member {
  readonly agent: BenchAgent;
  readonly bornMs: number;
}

export interface AgentPool {
  /** Any agent whose token lives. */
  pick(): BenchAgent;
  /** One of its own, which nobody else picks. */
  makeOne(): BenchAgent;
  /** One whose token must be refused; undefined as long as none is so old. */
  expired(): BenchAgent | undefined;
  /** Agents made so far. */
  made(): number;
}

export function createAgentPool(issuer: BenchIssuer, audience: string, agentsPerS: number): AgentPool {
  const options = { lifetimeS: TOKEN_LIFETIME_S, scope: ["call:mcp:everything"] };
  const retired: Member[] = [];
  let living: Member[] = [];
  let made = 0;
  let owed = agentsPerS;

  function makeOne(): BenchAgent {
    made += 1;
    return issuer.agent(audience, options);
  }

  function renew(): void {
    const nowMs = Date.now();
    for (; owed >= 1; owed -= 1) living.push({ agent: makeOne(), bornMs: nowMs });
    const old = living.findIndex(({ bornMs }) => nowMs - bornMs < RETIRE_MS);
    if (old > 0) {
      retired.push(...living.slice(0, old));
      living = living.slice(old);
      retired.splice(0, Math.max(0, retired.length - RETIRED_MAX * agentsPerS));
    }
  }

  renew();
  setInterval(() => {
    owed += (agentsPerS * STEP_MS) / 1000;
    renew();
  }, STEP_MS);

  return {
    pick: () => (living[Math.floor(Math.random() * living.length)] as Member).agent,
    makeOne,
    expired() {
      const [oldest] = retired;
      return oldest !== undefined && Date.now() - oldest.bornMs > EXPIRED_MS ? oldest.agent : undefined;
    },
    made: () => made,
  };
}
