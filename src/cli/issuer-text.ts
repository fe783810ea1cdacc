// In: the operators' API's answers about the issuer. Out: the same for people.
import type { ApplicationFacts, Revoked } from "../broker/broker-message.ts";
import type { KeyFacts } from "../broker/keys/key-ring.ts";
import { printable, textTable } from "./text-table.ts";

const NEXT_CHANGE: Readonly<Record<KeyFacts["state"], string>> = {
  next: "signs from",
  active: "rotates from",
  retired: "published until",
};

export function keysText({ keys }: { readonly keys: readonly KeyFacts[] }): string {
  const rows = keys.map((key) => [key.kid, key.state, key.since, `${NEXT_CHANGE[key.state]} ${key.next_change}`]);
  return textTable(["KEY", "STATE", "SINCE", "NEXT"], rows);
}

export function nextKeyText(key: KeyFacts): string {
  return printable(`Key ${key.kid} is published, and signs from ${key.next_change} on. Tokens in use stay valid.`);
}

export function applicationsText({ applications }: { readonly applications: readonly ApplicationFacts[] }): string {
  if (applications.length === 0) return "There is no application: nobody may launch agents.";
  const rows = applications.map((one) => [one.name, one.source, one.keys, one.created_at, one.updated_at]);
  return textTable(["NAME", "FROM", "KEYS", "SINCE", "CHANGED"], rows);
}

export function applicationText(shown: ApplicationFacts & { readonly definition: Record<string, unknown> }): string {
  const { jwks, ...ceiling } = shown.definition;
  const { keys } = jwks as { keys: { crv?: string; kid?: string }[] };
  const rows: [string, string][] = [
    ["from", shown.source === "config" ? "the configuration file" : "an operator"],
    ["changed", shown.updated_at],
    ...keys.map(({ crv, kid }): [string, string] => ["key", `${crv ?? ""} ${kid ?? ""}`]),
    ...Object.entries(ceiling).map(([name, value]): [string, string] => [name, valueText(value)]),
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, value]) => `${label.padEnd(width)}  ${printable(value)}`.trimEnd()).join("\n");
}

export function revokedText({ level, id, agents }: Revoked): string {
  const count = agents === 1 ? "1 agent has" : `${agents} agents have`;
  const ended = level === "token" ? "" : ` ${count} ended.`;
  return printable(`The ${level} ${id} is revoked.${ended} Every data thread refuses it from now on.`);
}

export function removedText({ name, agents }: { readonly name: string; readonly agents: number }): string {
  return printable(`${name} is removed, and its agents have ended (launched ones and their delegates: ${agents}).`);
}

function valueText(value: unknown): string {
  const plain = Array.isArray(value) && value.every((one) => typeof one === "string");
  return plain ? value.join(" ") : typeof value === "string" ? value : JSON.stringify(value);
}
