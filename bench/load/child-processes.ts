// In: commands and the core they belong on. Out: running processes that say when they are ready, and what they cost.
// Every child ends with the bench: at its end, on an error and on Ctrl-C alike.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

export interface StartOptions {
  /** Cores for taskset, for example "1" or "0,1"; undefined: not pinned. */
  readonly cores: string | undefined;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface Child {
  readonly pid: number;
  /** How it ended, with what it said last; undefined while it runs. */
  ended(): string | undefined;
  /** SIGTERM, and SIGKILL for what does not end in time. */
  stop(): Promise<void>;
}

export interface Usage {
  /** User and system time of all threads, in microseconds; the kernel counts in hundredths of a second. */
  readonly cpuUs: number;
  readonly rssMiB: number;
}

export interface ChildProcesses {
  /** Resolves when the child has written `ready` on standard output or standard error, or when the probe resolves. */
  start(
    command: string,
    args: readonly string[],
    options: StartOptions & {
      readonly ready: RegExp | (() => Promise<void>);
      /** Standard output and standard error, as they come. */
      readonly onOutput?: (text: string) => void;
    },
  ): Promise<Child>;
  /** Resolves with standard output; rejects when the command fails or takes longer than `timeoutMs`. */
  run(
    command: string,
    args: readonly string[],
    options: StartOptions & { readonly timeoutMs: number; readonly input?: string },
  ): Promise<string>;
  close(): Promise<void>;
}

const READY_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 5000;
/** USER_HZ: 100 on every Linux that Node runs on. */
const TICK_US = 10_000;
/** What is kept of a child's output to explain a failure. */
const OUTPUT_CHARACTERS_MAX = 4000;

export function canPin(): boolean {
  return process.platform === "linux" && spawnSync("taskset", ["-p", String(process.pid)]).status === 0;
}

/** Fields 14 and 15 of /proc/PID/stat; the name in field 2 may hold spaces. */
export function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  const rss = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return { cpuUs: ticks * TICK_US, rssMiB: Number(rss?.[1] ?? Number.NaN) / 1024 };
}

export function createChildProcesses(): ChildProcesses {
  const running = new Set<ChildProcess>();
  const onExit = (): void => {
    for (const child of running) child.kill("SIGKILL");
  };
  process.on("exit", onExit);

  let closed = false;

  function launch(command: string, args: readonly string[], options: StartOptions): ChildProcess {
    // After Ctrl-C the part that was measured goes on until it notices: it must not start anything new.
    if (closed) throw new Error("the bench is ending");
    const pinned = options.cores !== undefined;
    const child = spawn(
      pinned ? "taskset" : command,
      pinned ? ["-c", options.cores, command, ...args] : [...args],
      // A group of its own: Ctrl-C reaches the bench alone, and the bench ends its children in order.
      { stdio: "pipe", detached: true, env: { ...process.env, ...options.env }, cwd: options.cwd },
    );
    running.add(child);
    child.once("exit", () => running.delete(child));
    child.stdin?.on("error", () => undefined); // a child that ended early is told by its exit code
    return child;
  }

  async function stop(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }

  return {
    start: (command, args, options) =>
      new Promise((resolve, reject) => {
        const child = launch(command, args, options);
        let output = "";
        const fail = (why: string): void => reject(new Error(`${command} ${why}: ${output}`));
        const timer = setTimeout(() => fail("is not ready in time"), READY_TIMEOUT_MS);
        const { ready } = options;
        const isReady = (): void => {
          clearTimeout(timer);
          const ended = (): string | undefined => {
            const by = child.exitCode ?? child.signalCode;
            return by === null ? undefined : `${by}: ${output.trim()}`;
          };
          resolve({ pid: child.pid ?? 0, ended, stop: () => stop(child) });
        };
        const read = (chunk: Buffer): void => {
          output = (output + chunk.toString()).slice(-OUTPUT_CHARACTERS_MAX);
          options.onOutput?.(chunk.toString());
          if (ready instanceof RegExp && ready.test(output)) isReady();
        };
        if (!(ready instanceof RegExp)) ready().then(isReady, (error: unknown) => fail(String(error)));
        child.stdout?.on("data", read);
        child.stderr?.on("data", read);
        child.once("error", (error) => fail(error.message));
        child.once("exit", (code, signal) => {
          clearTimeout(timer);
          fail(`ended with ${code ?? signal}`);
        });
      }),
    run: (command, args, options) =>
      new Promise((resolve, reject) => {
        const child = launch(command, args, options);
        let stdout = "";
        let stderr = "";
        child.stdout?.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
        child.stderr?.on("data", (chunk: Buffer) => {
          stderr = (stderr + chunk.toString()).slice(-OUTPUT_CHARACTERS_MAX);
        });
        const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs);
        child.once("error", reject);
        child.once("close", (code, signal) => {
          clearTimeout(timer);
          if (code === 0) resolve(stdout);
          else reject(new Error(`${command} ended with ${code ?? signal}: ${stderr || stdout}`));
        });
        child.stdin?.end(options.input ?? "");
      }),
    async close() {
      closed = true;
      await Promise.all([...running].map(stop));
      process.off("exit", onExit);
    },
  };
}
