// In: the report on a token. Out: what an operator reads: the verdict, then the lineage as a tree.
// Names and reasons come from the token: what could steer a terminal is shown as its code.
import { printable } from "./text-table.ts";
import type { LineageMember, TokenReport } from "./verify-token.ts";

/** What failed, in words; a reason that is not here speaks for itself. */
const FAILURES: Readonly<Record<string, string>> = {
  "token.malformed": "this is not a compact JWS with a strict JSON payload",
  "token.too_large": "it is larger than a gateway takes",
  "token.type": "its typ is not at+jwt",
  "token.algorithm": "its algorithm is not one of its key",
  "token.critical_header": "its header asks for an extension",
  "token.issuer": "it is of another issuer",
  "token.audience": "it is for another audience, or for none",
  "token.key_unknown": "the key set has no key of its kid and algorithm",
  "token.keys_unavailable": "the key set has no usable key",
  "token.signature": "its issuer did not sign it with a key of this set",
  "token.expired": "it has expired",
  "token.not_yet_valid": "it is not valid yet",
  "token.unbound": "it is not bound to a key",
  "token.claims": "its claims are not well-formed",
  "token.delegation": "its delegation does not hold",
};

export function lineageText(report: TokenReport): string {
  const { token, at, reason, detail } = report;
  const name = `token ${token.jti} of ${token.issuer}, until ${token.expires_at}`;
  const verdict =
    reason === null
      ? `valid at ${at}: ${name}`
      : `NOT valid at ${at}: ${FAILURES[reason] ?? reason} (${reason}${detail === "" ? "" : `: ${detail}`})`;
  const lines = reason === null ? [verdict] : [verdict, ...(token.jti === "" ? [] : [name])];
  if (report.principal !== null) {
    const { type, id, issuer } = report.principal;
    lines.push(`${type} ${id} (${issuer})`, ...report.lineage.flatMap(memberLines));
    if (reason !== null) lines.push(`${indent(report.lineage.length)}└─ here it breaks: ${detail}`);
  }
  if (reason === null)
    lines.push("Not seen offline: that a caller holds the key, and whether it was revoked or renewed.");
  return `${lines.map(printable).join("\n")}\n`;
}

function memberLines(member: LineageMember, position: number): string[] {
  const inner = `${indent(position)}   `;
  const fields: [string, string][] = [
    ["purpose", member.purpose],
    ["delegated", member.delegated_at ?? ""],
    ["scope", member.scope.join(" ") || "none"],
    ["details", member.details.length === 0 ? "" : JSON.stringify(member.details)],
    ["constraints", JSON.stringify(member.constraints)],
    ["until", member.expires_at],
    ["key", member.key_thumbprint],
  ];
  return [
    `${indent(position)}└─ ${member.id}`,
    ...fields.filter(([, value]) => value !== "").map(([name, value]) => `${inner}${name.padEnd(12)} ${value}`),
  ];
}

function indent(depth: number): string {
  return "   ".repeat(depth);
}
