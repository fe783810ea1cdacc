// In: the operators' API's answers about the issuer. Out: the same for people.
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
