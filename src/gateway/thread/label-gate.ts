// In: agents, and what the policy calls their answers. Out: each agent as the policy is to see it, and when a label is in force.
// A label is in force once it is on disk and every thread reads it before it judges: only then may the answer be given, or
// the agent would win a race with its next call.
import { type LabelEntry, labelRefsOf, LABELLED_SESSIONS_MAX } from "../../containment/label-state.ts";
import { type Denial, deny } from "../../errors.ts";
import type { Agent } from "../../token/agent.ts";
import { withLabels } from "../../token/labelled-agent.ts";
import type { ContainmentGate } from "./containment-gate.ts";
import type { FromThread, LabelOutcome } from "../thread-messages.ts";

export interface LabelGate {
  /** The agent with its session's labels; null where a change of containment has not arrived. */
  see(agent: Agent): Agent | null;
  /** Null where all of them are in force already; else a promise of null, or of why the answer is withheld. */
  give(agent: Agent, labels: readonly string[], by: string): Promise<Denial | null> | null;
  answered(serial: number, outcome: LabelOutcome): void;
}

/**
 * Labels outlast the authority under which they were given: tokens of other issuers end before the work does. A session that
 * goes on keeps them, since each agent that is seen under one moves its end on.
 */
const HOLD_MS = 3_600_000;
/** A write for each token of a session would be too many. */
const EXTEND_MS = HOLD_MS / 2;
/** As an intent waits for the disk. */
const WAIT_MS_MAX = 5000;

export function createLabelGate(options: {
  readonly containment: ContainmentGate;
  readonly notify: (message: FromThread) => void;
}): LabelGate {
  const { containment, notify } = options;
  const waiting = new Map<number, (denial: Denial | null) => void>();
  /** Until when the supervisor was asked to keep them; by the agent's id. */
  const extended = new Map<string, number>();
  let serial = 0;

  function extend(agent: Agent, { labels, untilMs }: Pick<LabelEntry, "labels" | "untilMs">): void {
    const wanted = keepUntilMs(agent);
    if (untilMs >= wanted - EXTEND_MS || (extended.get(agent.refs.agent) ?? 0) >= wanted - EXTEND_MS) return;
    if (extended.size >= LABELLED_SESSIONS_MAX) extended.clear();
    extended.set(agent.refs.agent, wanted);
    notify({ type: "label", serial: 0, wish: wish(agent, labels, wanted, "extended") });
  }

  return {
    see(agent) {
      const inForce = containment.labelsOf(agent);
      if (inForce === null) return null;
      if (inForce.labels.length > 0) extend(agent, inForce);
      return withLabels(agent, inForce.labels);
    },

    give(agent, labels, by) {
      const inForce = containment.labelsOf(agent)?.labels ?? [];
      if (containment.isEverywhere && labels.every((label) => inForce.includes(label))) return null;
      serial += 1;
      const own = serial;
      const { promise, resolve } = Promise.withResolvers<Denial | null>();
      const timer = setTimeout(() => settle(deny("response.not_labelled", "the supervisor is silent")), WAIT_MS_MAX);
      const settle = (denial: Denial | null): void => {
        clearTimeout(timer);
        waiting.delete(own);
        resolve(denial);
      };
      waiting.set(own, settle);
      notify({ type: "label", serial: own, wish: wish(agent, labels, keepUntilMs(agent), by) });
      return promise;
    },

    answered(given, outcome) {
      const settle = waiting.get(given);
      if (outcome === "done") settle?.(null);
      else settle?.(deny(outcome === "full" ? "response.labels_full" : "response.not_labelled"));
    },
  };
}

function wish(agent: Agent, labels: readonly string[], untilMs: number, by: string) {
  return { ...labelRefsOf(agent), agent: agent.refs.agent, labels, untilMs, by };
}

/** The end of the whole authority, where the issuer says it, or of the token. */
function keepUntilMs({ claims, expiresAtMs }: Agent): number {
  return Math.max(Date.parse(claims.intent.expires_at) || 0, expiresAtMs) + HOLD_MS;
}
