// In: a configuration file. Out: a gateway that runs until a signal, and the exit code of the process.
import { readFileSync } from "node:fs";
import path from "node:path";
import { loadConfig } from "../config/load-config.ts";
import type { Config } from "../config/schema.ts";
import { StartError } from "../gateway/supervisor/start-error.ts";
import { type Gateway, startGateway } from "../gateway/supervisor/start-gateway.ts";
import { packageRoot } from "../lib/package-root.ts";
import { formatProblems } from "./config-commands.ts";
import { createServiceLog, type ServiceLog } from "../telemetry/service-log.ts";

const LINGER_MS = 2000;
/** 0 after a drain, 2 for what the operator has to mend first. */
export const EXIT_CONFIG = 2;

export function packageVersion(): string {
  const text = readFileSync(path.join(packageRoot(), "package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** Loads the file, or prints every problem with how to mend it and returns null. */
export function loadOrExplain(file: string): Config | null {
  const loaded = loadConfig(file, process.env);
  if (loaded.ok) return loaded.value.config;
  process.stderr.write(formatProblems(file, loaded.error));
  return null;
}

export function createProcessLog(config: Config, text: boolean): ServiceLog {
  return createServiceLog({
    level: config.logs.level,
    write: (line) => void process.stderr.write(line),
    format: text ? "text" : "json",
  });
}

/**
 * Starts the gateway and resolves with the exit code once it has ended by SIGINT or SIGTERM.
 * `onRunning` is called when it serves; `onStopped` after it drained. A second signal ends the process at once.
 */
export async function runGateway(options: {
  readonly config: Config;
  readonly log: ServiceLog;
  readonly onRunning: (gateway: Gateway) => void;
  readonly onStopping?: () => void;
  readonly onStopped?: () => Promise<void>;
}): Promise<number> {
  const { config, log } = options;
  // The reader of a pipe may go away at any time; a gateway does not end because nobody reads its log.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  let gateway: Gateway;
  try {
    gateway = await startGateway({
      config,
      log,
      version: packageVersion(),
      stdout: (lines) => void process.stdout.write(lines),
    });
  } catch (error) {
    await options.onStopped?.();
    if (!(error instanceof StartError)) throw error;
    process.stderr.write(`cordon: ${error.message}\n`);
    return EXIT_CONFIG;
  }
  // Before the caller is told that it runs: a signal from then on drains.
  const stopped = untilSignal();
  options.onRunning(gateway);
  await stopped;
  options.onStopping?.();
  process.once("SIGINT", () => process.exit(1));
  process.once("SIGTERM", () => process.exit(1));
  await gateway.close();
  await options.onStopped?.();
  // What could not be closed, such as a thread that hangs on its disk, must not keep the process.
  setTimeout(() => process.exit(0), LINGER_MS).unref();
  return 0;
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      process.off("SIGINT", stop).off("SIGTERM", stop);
      resolve();
    };
    process.on("SIGINT", stop).on("SIGTERM", stop);
  });
}
