// In: answers of the operators' API. Out: the same for people.
import type { Applied, PolicyInfo, SeenAgent, Status } from "../admin/control-plane.ts";
import { printable, textTable } from "./text-table.ts";

/** A containment entry as the API writes it. */
interface Entry {
  readonly level: string;
  readonly id: string;
  readonly mode: string;
  readonly drain_until?: string;
  readonly reason: string;
  readonly by: string;
  readonly at: string;
}

interface Operator {
  readonly name: string;
  readonly role: string;
  readonly created_at: string;
  readonly created_by: string;
}

export function statusText(status: Status): string {
  const { threads, containment, replay, audit, policy, issuer } = status;
  const readiness = status.ready ? "ready" : `not ready: ${status.reasons.join("; ")}`;
  const contained = `${containment.blocked} blocked, ${containment.quarantined} quarantined, ${containment.draining} draining`;
  const rows: [string, string][] = [
    [
      "gateway",
      `Cordon ${status.version}, ${status.draining ? "draining" : readiness}, up ${duration(status.uptime_s)}`,
    ],
    ...status.listeners.map(({ name, url }): [string, string] => ["listener", `${name} ${url}`]),
    ...threads.map((one): [string, string] => [
      "thread",
      `${one.id} ${one.state}, ${one.exchanges} exchanges, ${one.open_streams} open streams, epoch ${one.epoch}`,
    ]),
    ["policy", policy === null ? "none" : `${policy.bundle}${policy.data === "" ? "" : `, data ${policy.data}`}`],
    ["containment", `${contained} (epoch ${containment.epoch})`],
    ["replay table", `${replay.used} of ${replay.slots} slots used`],
    ["audit log", audit.healthy ? "healthy" : `not healthy: ${audit.detail}`],
    ...(issuer === null
      ? []
      : [["issuer", issuer.running ? "running" : "away, and started again"] as [string, string]]),
    ["clock drift", `${Math.round(status.clock_drift_ms)} ms`],
  ];
  return rows.map(([label, value]) => `${label.padEnd(13)} ${printable(value)}`).join("\n");
}

export function agentsText({ agents }: { readonly agents: readonly SeenAgent[] }): string {
  if (agents.length === 0) return "No agent was seen since the start.";
  const rows = agents.map((one) => [one.id, one.mode, one.principal, one.exchanges, one.last_seen, one.key_thumbprint]);
  return textTable(["AGENT", "MODE", "PRINCIPAL", "EXCHANGES", "LAST SEEN", "KEY"], rows);
}

export function containmentText({
  epoch,
  entries,
}: {
  readonly epoch: number;
  readonly entries: readonly Entry[];
}): string {
  if (entries.length === 0) return `Nothing is contained (epoch ${epoch}).`;
  const rows = entries.map((one) => [one.level, one.id, one.mode, one.drain_until ?? "-", one.by, one.at, one.reason]);
  return textTable(["LEVEL", "ID", "MODE", "UNTIL", "BY", "SINCE", "REASON"], rows);
}

export function appliedText(applied: Omit<Applied, "entry"> & { readonly entry: Entry | null }): string {
  const { entry, threads, epoch } = applied;
  const what =
    entry === null
      ? "Released."
      : `${entry.level} ${entry.id} is ${entry.mode}${entry.drain_until === undefined ? "" : ` until ${entry.drain_until}`}.`;
  const replaced = threads.filter((one) => one.outcome === "replaced").length;
  const note = replaced === 0 ? "" : `, ${replaced} replaced because silent`;
  return printable(
    `${what} In force on ${threads.length} thread(s)${note} after ${applied.took_ms.toFixed(1)} ms (epoch ${epoch}).`,
  );
}

export function policyText(policy: PolicyInfo): string {
  const data = policy.data === "" ? "" : `, data ${policy.data}`;
  return printable(`In force: policy ${policy.bundle}${data}, from ${policy.source}, loaded ${policy.loaded_at}.`);
}

export function operatorsText({ operators }: { readonly operators: readonly Operator[] }): string {
  const rows = operators.map((one) => [one.name, one.role, one.created_at, one.created_by]);
  return textTable(["NAME", "ROLE", "SINCE", "BY"], rows);
}

export function newOperatorText(operator: Operator & { readonly key: string }): string {
  return [`${operator.name} may now act as ${operator.role}. The key is shown this once:`, operator.key].join("\n");
}

function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
