#!/usr/bin/env node
// In: the arguments of the command line. Out: text and an exit code: 0 ok, 1 failed, 2 usage or configuration.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { packageRoot } from "../lib/package-root.ts";
import { register as registerAgent } from "./agent-command.ts";
import { register as registerAudit } from "./audit-commands.ts";
import { register as registerCall } from "./call-command.ts";
import { register as registerConfig } from "./config-commands.ts";
import { register as registerControl } from "./control-commands.ts";
import { register as registerIssuer } from "./issuer-commands.ts";
import { register as registerLaunch } from "./launch-command.ts";
import { register as registerPolicy } from "./policy-commands.ts";
import { register as registerQuickstart } from "./quickstart-command.ts";
import { register as registerStart } from "./start-command.ts";
import { register as registerLabels } from "./labels-commands.ts";
import { register as registerTools } from "./tools-commands.ts";
import { register as registerVerify } from "./verify-command.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const EXAMPLES = `
Examples:
  cordon quickstart                                   a gateway, an issuer and a tool on loopback, ready to call
  cordon call URL                                     one call, made as an agent makes it
  cordon agent --launch-token-fd 3 -- COMMAND         run any program as an agent; a sidecar adds the proofs
  cordon config check cordon.yaml                     every problem at once, and how to mend it
  cordon start --config cordon.yaml                   run the gateway; Ctrl-C drains
  cordon policy test                                  try the policies
  cordon status                                       what the running gateway does
  cordon verify token FILE --jwks FILE                who delegated what to whom, checked offline
  cordon block agent ID --reason "leaked key"         refuse one agent from now on

Exit codes: 0 ok, 1 failed or refused, 2 wrong usage or configuration.
`;

function createProgram(): Command {
  const manifest = JSON.parse(readFileSync(join(packageRoot(import.meta.url), "package.json"), "utf8")) as {
    readonly version: string;
  };
  const program = new Command("cordon")
    .description("A policy-enforcing gateway between AI agents and their tools.")
    .version(manifest.version, "-v, --version")
    .showHelpAfterError("Run `cordon --help` to see what there is.")
    .addHelpText("after", EXAMPLES)
    .exitOverride();
  for (const register of [
    registerQuickstart,
    registerStart,
    registerCall,
    registerLaunch,
    registerAgent,
    registerConfig,
    registerPolicy,
    registerControl,
    registerIssuer,
    registerLabels,
    registerTools,
    registerAudit,
    registerVerify,
  ]) {
    register(program);
  }
  inheritExit(program);
  return program;
}

/** Commander copies this setting only to commands that are added by their parent after it is set, and not by `addCommand`. */
function inheritExit(command: Command): void {
  for (const child of command.commands) {
    child.exitOverride();
    inheritExit(child);
  }
}

try {
  await createProgram().parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander uses 1 for wrong usage; `--help` and `--version` end with 0. Without a command, help is shown: usage too.
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = EXIT_FAILED;
  }
}
