// In: the arguments of `cordon verify ..`. Out: text on stdout and the exit code (0 valid, 1 not valid, 2 unreadable or usage).
// Trusts: the key set that it is given; nothing in the token.
import { createReadStream, readFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { type Command, InvalidArgumentError } from "commander";
import { parseStrictObject } from "../lib/strict-json.ts";
import { safeJsonText } from "../lib/safe-json-text.ts";
import { lineageText } from "./lineage-text.ts";
import { TOKEN_BYTES_MAX, verifyToken } from "./verify-token.ts";

/** RFC 3339; Date.parse alone takes much that is none. */
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

interface Options {
  readonly jwks: string;
  readonly at?: number;
  readonly issuer?: string;
  readonly audience?: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  const verify = program.command("verify").description("Verify without asking anyone.");
  verify
    .command("token")
    .argument("<file>", "file of the access token; - for stdin")
    .requiredOption("--jwks <file>", "the issuer's key set (JWKS)")
    .option("--at <time>", "judge it at this time instead of now (RFC 3339)", parseTime)
    .option("--issuer <url>", "refuse a token of another issuer")
    .option("--audience <url>", "refuse a token for another audience")
    .option("--json", "print the result as JSON")
    .description("Verify a token and who delegated what to whom, offline.")
    .action(async (file: string, options: Options) => {
      try {
        const { at: atMs = Date.now(), issuer, audience } = options;
        const jwks = parseStrictObject(readFileSync(options.jwks));
        if (!Array.isArray(jwks?.["keys"])) throw new Error(`${options.jwks} is not a key set (JWKS)`);
        const report = await verifyToken(await readToken(file), { jwks, atMs, issuer, audience });
        process.stdout.write(
          options.json === true ? `${safeJsonText(JSON.stringify(report, null, 2))}\n` : lineageText(report),
        );
        process.exitCode = report.valid ? 0 : 1;
      } catch (error) {
        process.stderr.write(`cannot verify: ${error instanceof Error ? error.message : String(error)}\n`);
        process.exitCode = 2;
      }
    });
}

function parseTime(text: string): number {
  const ms = Date.parse(text);
  if (!RFC_3339.test(text) || Number.isNaN(ms)) throw new InvalidArgumentError("write it as 2026-11-23T15:00:00Z");
  return ms;
}

/** Without the line end of an editor. No more is read than shows that it is too large. */
async function readToken(file: string): Promise<string> {
  const source: Readable = file === "-" ? process.stdin : createReadStream(file);
  let text = "";
  for await (const chunk of source) {
    text += String(chunk);
    if (text.length > TOKEN_BYTES_MAX * 2) break;
  }
  return text.trim();
}
