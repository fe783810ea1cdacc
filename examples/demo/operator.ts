// In: what an operator types. Out: what `cordon` answers; it is the real command in a process of its own.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../../src/lib/package-root.ts";
import { tieToDemo } from "./child-process.ts";

export const CLI = join(packageRoot(import.meta.url), "src", "cli", "main.ts");
const COMMAND_TIMEOUT_MS = 20_000;

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Operator {
  /** Runs `cordon ARGS` against this gateway, with this operator's key. */
  run(...args: string[]): Promise<CommandResult>;
  /** The same with `--json`. Rejects when the command fails. */
  ask<T>(...args: string[]): Promise<T>;
  /** One read of the operators' API. Rejects when it is refused. */
  get<T>(path: string): Promise<T>;
}

/** The environment without variables of Cordon, which would lead to the gateway of someone else. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CORDON_")));
}

/** -1 where it has no exit code of its own. */
export function runProgram(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(command, [...args], { env, timeout: COMMAND_TIMEOUT_MS }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
    tieToDemo(child);
  });
}

export function createOperator(control: string, key: string): Operator {
  // By the environment: the arguments of a process can be read by others.
  const env = { ...plainEnvironment(), CORDON_CONTROL_URL: control, CORDON_OPERATOR_KEY: key };
  const run = (...args: string[]): Promise<CommandResult> => runProgram(process.execPath, [CLI, ...args], env);
  return {
    run,
    async ask<T>(...args: string[]) {
      const { code, stdout, stderr } = await run(...args, "--json");
      if (code !== 0) throw new Error(`cordon ${args[0]}: exit code ${code}, ${stderr.trim()}`);
      return JSON.parse(stdout) as T;
    },
    async get<T>(path: string) {
      const response = await fetch(new URL(path, control), {
        headers: { authorization: `Bearer ${key}` },
        signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS),
      });
      if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
      return (await response.json()) as T;
    },
  };
}
