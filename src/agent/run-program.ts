// In: a command and its environment. Out: the unmodified program as a child, with our signals passed on and its exit code.
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";

/** As shells and `env` say it. */
const EXIT_NOT_EXECUTABLE = 126;
const EXIT_NOT_FOUND = 127;
const EXIT_SIGNAL_BASE = 128;
/** What a program gets to end by itself. */
const KILL_AFTER_MS = 10_000;

/** Node would open a debugger for SIGUSR1, in which the key could be read: with a listener it does not. */
const PASSED_ON: readonly NodeJS.Signals[] = ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"];
/** A terminal sends these to the whole foreground group, so the program has them already. */
const FROM_TERMINAL: readonly NodeJS.Signals[] = ["SIGINT", "SIGQUIT"];

export interface Program {
  /** Its exit code; 128 and the signal's number where a signal ended it; 126 or 127 where it could not be started. */
  readonly exited: Promise<number>;
  /** Asks it to end, then ends it. */
  stop(): void;
}

export function runProgram(command: readonly [string, ...string[]], environment: NodeJS.ProcessEnv): Program {
  const [file, ...rest] = command;
  const child = spawn(file, rest, { stdio: "inherit", env: environment });
  const release = passSignals(child);
  const exited = Promise.withResolvers<number>();
  child.once("error", (error: NodeJS.ErrnoException) => {
    // Later errors are of signals that came too late.
    if (child.pid === undefined) exited.resolve(error.code === "ENOENT" ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
  });
  child.once("exit", (code, signal) => {
    exited.resolve(code ?? EXIT_SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal]));
  });
  return {
    exited: exited.promise.finally(release),
    stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
      void exited.promise.finally(() => clearTimeout(timer));
    },
  };
}

/** The listeners also keep this process alive until the agent is released. */
function passSignals(child: ChildProcess): () => void {
  const onTerminal = [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  const hold = (): void => undefined;
  for (const signal of PASSED_ON) process.on(signal, pass);
  for (const signal of FROM_TERMINAL) process.on(signal, onTerminal ? hold : pass);
  return () => {
    // Held, not released: whoever asks again while the agent is being released does not cut that short.
    for (const signal of [...PASSED_ON, ...FROM_TERMINAL]) {
      process.on(signal, hold);
      process.off(signal, pass);
    }
  };
}
