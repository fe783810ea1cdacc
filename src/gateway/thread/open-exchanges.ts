// In: every exchange and tunnel that is in flight on this thread. Out: those that must end now.
// A stream is judged for as long as it lives: containment, expiry, policy change and budgets reach it here.
import { type Denial, deny } from "../../errors.ts";
import type { ContainmentVerdict } from "../../containment/containment-state.ts";
import type { Agent } from "../../token/agent.ts";
import type { WhileOpen } from "../exchange/while-open.ts";

/** Streams whose policy one sweep asks again because their budgets changed, so that it takes some tens of milliseconds. */
const ASKED_IN_SWEEP_MAX = 200;

export interface OpenExchange {
  readonly agent: Agent;
  /** An event stream, a tunnel, or a response without an announced end: cut at once. Others get the grace. */
  streaming: boolean;
  /** Where the exchange goes: a quarantine must not leave a stream to the tool open. */
  readonly toMonitor: boolean;
  /** Its body is passed on as it comes: the agent still writes when it reads what another exchange is answered. */
  readonly uploads: boolean;
  /** The labels of its session by which it was allowed. */
  labels: readonly string[] | undefined;
  /** The policy revision (bundle and data) that allowed it. */
  revision: string;
  readonly whileOpen: WhileOpen;
  readonly cut: (denial: Denial) => void;
  /** Set by the sweep: when the grace of a contained single response ends, in monotonic milliseconds. */
  cutAtMs: number | undefined;
}

export interface OpenExchanges {
  readonly size: number;
  readonly streams: number;
  add(exchange: OpenExchange): void;
  remove(exchange: OpenExchange): void;
  /** Looks at each one. Called for every containment change, revocation and policy switch, and once a second. */
  sweep(now: SweepNow): void;
  /** Called once a second: what others have used since may end a stream. */
  sweepBudgets(): void;
  cutAll(denial: Denial): void;
}

export interface SweepNow {
  readonly timeMs: number;
  readonly monotonicMs: number;
  readonly revision: string;
  readonly verdictFor: (agent: Agent) => ContainmentVerdict;
  /** Undefined where they are not known. */
  readonly labelsOf: (agent: Agent) => readonly string[] | undefined;
  /** Why what is open under this agent's token has to end, or null. */
  readonly endOf: (agent: Agent) => Denial | null;
  /** Unix milliseconds: streams belong to the instance, and a renewal carries them on. */
  readonly streamsEndMs: (agent: Agent) => number;
}

/** `blockGraceMs`: how long a single response or an upload may still take after its agent was contained. */
export function createOpenExchanges(blockGraceMs: number): OpenExchanges {
  const open = new Set<OpenExchange>();
  let budgetsReadable = true;

  function check(exchange: OpenExchange, now: SweepNow): Denial | null {
    const ended = now.endOf(exchange.agent) ?? containmentOf(exchange, now);
    if (ended !== null) {
      if (exchange.streaming) return ended;
      exchange.cutAtMs ??= now.monotonicMs + blockGraceMs;
      return now.monotonicMs >= exchange.cutAtMs ? deny(ended.reason, "grace is over") : null;
    }
    exchange.cutAtMs = undefined;
    if (exchange.streaming && now.timeMs >= now.streamsEndMs(exchange.agent)) return deny("stream.cut_expired");
    if (!exchange.streaming && !exchange.uploads) return null;
    const labels = now.labelsOf(exchange.agent);
    // Mostly the same list, that of a session without any.
    const isLabelled = labels !== exchange.labels && labels?.join(" ") !== exchange.labels?.join(" ");
    if (isLabelled || (exchange.streaming && exchange.revision !== now.revision)) {
      exchange.labels = labels;
      if (exchange.streaming) exchange.revision = now.revision;
      const denial = exchange.whileOpen.judgeAgain();
      if (denial !== null) return deny("stream.cut_policy", denial.reason);
    }
    return null;
  }

  function containmentOf(exchange: OpenExchange, now: SweepNow): Denial | null {
    const verdict = now.verdictFor(exchange.agent);
    const contained = verdict.mode === "blocked" || (verdict.mode === "quarantined" && !exchange.toMonitor);
    return contained ? deny("stream.cut_containment", verdict.entry?.reason) : null;
  }

  return {
    get size() {
      return open.size;
    },
    get streams() {
      let count = 0;
      for (const exchange of open) if (exchange.streaming) count++;
      return count;
    },
    add: (exchange) => void open.add(exchange),
    remove: (exchange) => void open.delete(exchange),
    sweep(now) {
      for (const exchange of open) {
        const denial = check(exchange, now);
        if (denial !== null) exchange.cut(denial);
      }
    },
    sweepBudgets() {
      const asked: OpenExchange[] = [];
      let readable = true;
      for (const exchange of open) {
        const { streaming, whileOpen } = exchange;
        if (!streaming || whileOpen.lookAtBudgets === undefined) continue;
        // Whoever waited for the lock in vain once would wait again, for each stream.
        const look = readable ? whileOpen.lookAtBudgets() : "unreadable";
        if (look === "unreadable") {
          readable = false;
          // The lock of a thread that ended is free again by the next sweep.
          if (!budgetsReadable) exchange.cut(deny("stream.cut_budget", "budget.unavailable"));
        } else if (look === "changed" && asked.length < ASKED_IN_SWEEP_MAX) {
          asked.push(exchange);
          const denial = whileOpen.judgeAgain();
          if (denial !== null) exchange.cut(deny("stream.cut_policy", denial.reason));
        } else if (typeof look === "object") {
          exchange.cut(deny("stream.cut_budget", look.detail));
        }
      }
      budgetsReadable = readable;
      // To the end of the line: the next sweep begins with those that had no turn.
      for (const exchange of asked) if (open.delete(exchange)) open.add(exchange);
    },
    cutAll(denial) {
      for (const exchange of open) exchange.cut(denial);
    },
  };
}
