// In: a bundle's bytes, the data it is to judge with, its limits and a deadline. Out: nothing, or every reason not to activate it.
// Trusts: nothing. WebAssembly that loops cannot be interrupted, only its thread can be ended; so each check has its own.
import { Worker } from "node:worker_threads";
import { err, ok, type Result } from "../lib/result.ts";
import { workerUrl } from "../lib/worker-url.ts";
import type { BundleLimits } from "./check-bundle.ts";

/**
 * `deadlineMs` from now; it includes parsing, compiling and the start of the thread. Never rejects.
 * `dataJson` replaces the bundle's own data, JSON text of an object.
 */
export function startBundleCheck(
  bytes: Uint8Array,
  limits: BundleLimits,
  deadlineMs: number,
  dataJson?: string,
): Promise<Result<void, string[]>> {
  const { input_bytes_max, memory_pages_max, evaluation_budget_ms } = limits;
  const picked: BundleLimits = { input_bytes_max, memory_pages_max, evaluation_budget_ms };
  return new Promise((resolve) => {
    const worker = new Worker(workerUrl(import.meta.url, "./check-worker"), {
      workerData: { bytes, limits: picked, dataJson },
      execArgv: [],
    });
    const finish = (problems: readonly string[]): void => {
      clearTimeout(timer);
      resolve(problems.length === 0 ? ok(undefined) : err([...problems]));
      void worker.terminate();
    };
    const timer = setTimeout(
      () => finish([`the policy did not finish its checks within ${deadlineMs} ms; it may loop`]),
      deadlineMs,
    );
    worker.once("message", (problems: string[]) => finish(problems));
    worker.once("error", (cause) =>
      finish([`the check failed: ${cause instanceof Error ? cause.message : String(cause)}`]),
    );
    worker.once("exit", () => finish(["the check ended without an answer"]));
  });
}
