// In: a decision for an exchange. Out: its alert told, its agent contained; and where the exchange goes, or why it ends.
import { type Denial, deny } from "../../errors.ts";
import type { Decision } from "../../policy/decision.ts";
import type { Agent } from "../../token/agent.ts";
import type { ExchangeFacts, Route, Services } from "../thread/services.ts";

export interface Settled {
  readonly decision: Decision;
  /** Null where the policy allows. */
  readonly denial: Denial | null;
}

export interface Applied {
  /** This very exchange goes to the monitor instead of the tool. */
  readonly toMonitor: boolean;
  /** The agent was to be contained, and could not be. */
  readonly denial: Denial | null;
}

export function applyObligations(
  s: Services,
  x: ExchangeFacts,
  agent: Agent,
  route: Route,
  outcome: Settled,
  quarantined: boolean,
): Applied {
  const { alert, containment } = outcome.decision.obligations;
  const id = agent.refs.agent;
  const reasons = outcome.decision.reasons.map((reason) => reason.code).join(" ");
  if (alert !== undefined) {
    const ids = { request_id: x.requestId, decision_id: x.decisionId };
    s.tell({ type: "alert", severity: alert, fields: { ...ids, agent: id, route: route.config.name, reasons } });
  }
  // A denial that `observe` relaxes contains nobody.
  if (containment === undefined || (outcome.denial !== null && route.config.mode === "observe")) {
    return { toMonitor: quarantined, denial: null };
  }
  const contained = s.containment.containHere(id, containment);
  if (contained === "full") {
    const message = "an agent could not be contained: there are as many containment entries as there may be";
    s.tell({ type: "service", level: "error", message, fields: { agent: id, request_id: x.requestId } });
    // The policy asks again at the next exchange of this agent, which is refused again.
    return { toMonitor: false, denial: deny("containment.full") };
  }
  if (contained === "new") {
    const reason = reasons || "obligation of the policy";
    s.notify({ type: "contain", agent: id, mode: containment, by: `policy:${x.decisionId}`, reason });
  }
  return { toMonitor: true, denial: null };
}
