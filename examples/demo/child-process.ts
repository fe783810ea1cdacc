// In: a program of Node and what it says when it is ready. Out: a running child that never outlives the demo.
// Trusts: nothing of its output; it is kept in a file, and its last lines are shown when the start fails.
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync } from "node:fs";

const READY_TIMEOUT_MS = 20_000;
/** More than the gateway's own limit for open exchanges, so that a drain is seen to end by itself. */
const STOP_TIMEOUT_MS = 15_000;
const SHOWN_CHARACTERS_MAX = 2000;

const running = new Set<ChildProcess>();
// The last resort, also after a crash: nothing of the demo may go on by itself.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Ends the child with the demo, whatever happens. */
export function tieToDemo(child: ChildProcess): void {
  running.add(child);
  child.once("exit", () => running.delete(child));
}

export interface ChildOptions {
  readonly name: string;
  /** Arguments of Node. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Takes all output. */
  readonly logFile: string;
  /** Stands in the output as soon as the child serves. */
  readonly ready: RegExp;
}

export interface Child {
  /** Ends it by SIGTERM, or by force after a while. The exit code, or the signal's name. The same answer every time. */
  stop(): Promise<number | string>;
}

/** Rejects with the last lines of the output when the child ends or stays silent instead of getting ready. */
export async function startChild(options: ChildOptions): Promise<Child> {
  const { name, args, env, logFile, ready } = options;
  appendFileSync(logFile, "", { mode: 0o600 });
  const child = spawn(process.execPath, [...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  tieToDemo(child);
  const ended = new Promise<number | string>((resolve) => {
    child.once("exit", (code, signal) => resolve(code ?? signal ?? "ended"));
  });
  await new Promise<void>((resolve, reject) => {
    let text = "";
    let settled = false;
    const settle = (problem?: string): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      if (problem === undefined) return resolve();
      child.kill("SIGKILL");
      const output = text.trim();
      reject(new Error(`${name} ${problem}${output === "" ? "" : `:\n${output}`}`));
    };
    const take = (chunk: Buffer): void => {
      appendFileSync(logFile, chunk);
      if (settled) return;
      text = (text + chunk.toString()).slice(-SHOWN_CHARACTERS_MAX);
      if (ready.test(text)) settle();
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.once("error", (error) => settle(`cannot be started (${error.message})`));
    // `close` comes after the last output, which says why.
    child.once("close", (code, signal) => settle(`ended at its start (${code ?? signal})`));
    const timer = setTimeout(() => settle(`was not ready in ${READY_TIMEOUT_MS / 1000} s`), READY_TIMEOUT_MS);
  });
  return {
    stop() {
      child.kill("SIGTERM");
      const force = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
      return ended.finally(() => clearTimeout(force));
    },
  };
}
