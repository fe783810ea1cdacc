// In: what to send where, for how long. Out: what one round reached, with the processor time that the process under test used.
// A round with any answer that is not a success is an error, never a figure: a refusal is cheaper than an exchange.
import type { ChildProcesses } from "./child-processes.ts";
import { usageOf } from "./child-processes.ts";

export interface Round {
  readonly requests: number;
  readonly requestsPerS: number;
  readonly cpuUsPerRequest: number;
  readonly rssMiB: number;
  readonly error: string | undefined;
}

export interface WrkTarget {
  readonly url: string;
  /** The process whose processor time is counted. */
  readonly pid: number;
  readonly headers?: readonly string[];
  readonly proofs?: { readonly file: string; readonly heads: string; readonly body?: string };
}

interface WrkSummary {
  readonly requests: number;
  readonly durationUs: number;
  readonly statusErrors: number;
  readonly socketErrors: number;
}

/** Enough that the process under test never waits for a request, few enough for its caches. */
export const CONNECTIONS = 32;
const SCRIPT = new URL("./wrk-load.lua", import.meta.url).pathname;

export async function runWrk(
  processes: ChildProcesses,
  wrk: { readonly command: string; readonly cores: string | undefined },
  target: WrkTarget,
  seconds: number,
): Promise<Round> {
  const args = ["-t1", `-c${CONNECTIONS}`, `-d${Math.max(1, Math.round(seconds))}s`, "-s", SCRIPT];
  for (const header of target.headers ?? []) args.push("-H", header);
  const env: Record<string, string> =
    target.proofs === undefined ? {} : { BENCH_PROOFS: target.proofs.file, BENCH_HEADS: target.proofs.heads };
  if (target.proofs?.body !== undefined) env["BENCH_BODY"] = target.proofs.body;
  const before = usageOf(target.pid);
  const output = await processes.run(wrk.command, [...args, target.url], {
    cores: wrk.cores,
    env,
    timeoutMs: (seconds + 20) * 1000,
  });
  const after = usageOf(target.pid);
  const text = /^BENCH (\{.*\})$/m.exec(output)?.[1];
  if (text === undefined) throw new Error(`wrk said nothing that can be read: ${output}`);
  const summary = JSON.parse(text) as WrkSummary;
  const { requests, statusErrors, socketErrors } = summary;
  const failed = statusErrors + socketErrors;
  return {
    requests,
    requestsPerS: requests / (summary.durationUs / 1e6),
    cpuUsPerRequest: (after.cpuUs - before.cpuUs) / requests,
    rssMiB: after.rssMiB,
    error:
      failed > 0 || requests === 0
        ? `${requests} answers: ${statusErrors} not a success, ${socketErrors} socket errors`
        : undefined,
  };
}
