// In: options of an operator's command, and one call of the operators' API. Out: the answer as text or JSON, and an exit code.
// Exit codes: 0 done; 1 the gateway refused it or is not ready; 2 the command line, the key or the address is wrong.
import type { Command } from "commander";
import { type ControlClient, createControlClient } from "./control-client.ts";
import { printable } from "./text-table.ts";

export interface ControlOptions {
  readonly url?: string;
  readonly keyFile?: string;
  readonly json?: boolean;
}

type Method = Parameters<ControlClient["call"]>[0];

export interface Call {
  readonly method: Method;
  readonly path: string;
  readonly body?: unknown;
  /** JSON text that is sent as it is. */
  readonly text?: string;
}

/** The options of every command that talks to a running gateway. */
export function control(command: Command): Command {
  return command
    .option("--url <address>", "the operators' address (default: http://127.0.0.1:9080, or CORDON_CONTROL_URL)")
    .option("--key-file <file>", "the operator's key (default: data/operator.key, or CORDON_OPERATOR_KEY_FILE)")
    .option("--json", "print the answer as JSON");
}

/** Several files add to one group of commands. */
export function groupOf(parent: Command, name: string, description: string): Command {
  return parent.commands.find((command) => command.name() === name) ?? parent.command(name).description(description);
}

export async function run(options: ControlOptions, call: Call, toText: (answer: never) => string): Promise<void> {
  const client = createControlClient(options, process.env);
  if (!client.ok) return fail(2, client.error);
  const text = call.text ?? (call.body === undefined ? undefined : JSON.stringify(call.body));
  const answer = await client.value.call(call.method, call.path, text);
  if (!answer.ok) return fail(1, answer.error);
  // The API's answers are closed shapes, made by the schemas of the same version.
  const shown = options.json === true ? JSON.stringify(answer.value, null, 2) : toText(answer.value as never);
  process.stdout.write(`${shown}\n`);
}

export function fail(exitCode: 1 | 2, message: string): void {
  process.stderr.write(`${message.split("\n").map(printable).join("\n")}\n`);
  process.exitCode = exitCode;
}
