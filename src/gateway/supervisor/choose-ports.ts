// In: the configured listeners. Out: how many threads share them, their ports, or one line that says which port is taken.
import { createServer } from "node:net";
import type { Config } from "../../config/schema.ts";
import { err, ok, type Result } from "../../lib/result.ts";
import { StartError } from "./start-error.ts";

/** Where a platform has no `reusePort`, one data thread carries all. */
export function threadCount(config: Config): number {
  if (process.platform !== "linux" && process.platform !== "freebsd") return 1;
  return config.threads === "auto" ? Math.max(1, navigator.hardwareConcurrency - 1) : config.threads;
}

/** Binds each port once without sharing: with `reusePort`, another process on it would not be noticed (H28). */
export async function choosePorts(config: Config, shared: boolean): Promise<number[]> {
  const ports: number[] = [];
  for (const listener of config.listeners) {
    if (listener.port !== 0 && !shared) ports.push(listener.port);
    else {
      const probed = await probe(listener.address, listener.port);
      if (!probed.ok) throw new StartError(portProblem(probed.error, config, listener.port));
      ports.push(probed.value);
    }
  }
  return ports;
}

function probe(address: string, port: number): Promise<Result<number, Error>> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve(err(error)));
    server.listen({ host: address, port, exclusive: true }, () => {
      const bound = server.address();
      server.close(() => resolve(ok(typeof bound === "object" && bound !== null ? bound.port : port)));
    });
  });
}

export function portProblem(error: unknown, config: Config, port?: number): string {
  const text = error instanceof Error ? error.message : String(error);
  if (!text.includes("EADDRINUSE")) return text;
  const listener = config.listeners.find((one) => text.includes(String(one.port)));
  const taken = port ?? listener?.port ?? "?";
  return `port ${taken} is in use; stop what listens there, or choose another one in the configuration or by CORDON_PORT, CORDON_ISSUER_PORT or CORDON_CONTROL_PORT`;
}
