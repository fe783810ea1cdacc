// In: the arguments of `cordon audit ..`. Out: text on stdout and the exit code (0 whole, 1 not whole, 2 unreadable).
// Trusts: nothing in the file.
import { createReadStream } from "node:fs";
import type { Command } from "commander";
import { type AuditCheck, checkAuditText } from "../audit/verify-audit-file.ts";
import { safeJsonText } from "../lib/safe-json-text.ts";

/** Ids shown of intents without an outcome; `--json` has them all. */
const SHOWN_MAX = 20;

export function register(program: Command): void {
  const audit = program.command("audit").description("Look at the audit log.");
  audit
    .command("check")
    .argument("<file>", "audit file (JSONL)")
    .option("--json", "print the result as JSON")
    .description("Check that no record is missing or torn, and list requests without an outcome.")
    .action(async (file: string, options: { json?: boolean }) => {
      try {
        const result = await checkAuditText(createReadStream(file, { encoding: "utf8" }));
        process.stdout.write(options.json === true ? `${safeJsonText(JSON.stringify(result))}\n` : describe(result));
        process.exitCode = result.ok ? 0 : 1;
      } catch (error) {
        process.stderr.write(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}\n`);
        process.exitCode = 2;
      }
    });
}

function describe(result: AuditCheck): string {
  const lines = [
    result.ok
      ? `whole: ${result.records} records, ${result.firstSeq} to ${result.lastSeq}`
      : `NOT whole: ${result.problems.length} problems in ${result.records} records`,
    ...result.problems.map(({ line, problem }) => `  line ${line}: ${problem}`),
  ];
  const open = result.intentsWithoutOutcome;
  if (open.length > 0) {
    lines.push(`${open.length} requests have an intent but no outcome (in flight, or ended by a crash):`);
    for (const id of open.slice(0, SHOWN_MAX)) lines.push(`  ${safeJsonText(JSON.stringify(id)).slice(1, -1)}`);
    if (open.length > SHOWN_MAX) lines.push(`  and ${open.length - SHOWN_MAX} more`);
  }
  return `${lines.join("\n")}\n`;
}
