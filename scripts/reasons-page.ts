// In: the registry of reasons. Out: the text of docs/reasons.md.
import { REASONS } from "../src/errors.ts";

export function reasonsPage(): string {
  const rows = Object.entries(REASONS).map(
    ([reason, { status, code, title }]) =>
      `| \`${reason}\` | ${status} | \`${code}\` | ${title.replaceAll("|", "\\|")} |`,
  );
  return [
    "# Reasons",
    "",
    "Every exit of the gateway has one reason. The reason stands in the logs; the caller sees only the status, the code",
    "and the title. This page is made from `src/errors.ts` by `node scripts/write-reasons.ts`; a test checks that it is current.",
    "",
    "| reason | status | code | title |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}
