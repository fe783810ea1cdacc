// In: the plan and a core. Out: rows `chain-5-first` and `chain-5-warm`: what five hops of delegation cost at the gateway.
import type { Plan } from "../arguments.ts";
import type { Measured } from "../create-report.ts";
import { createChildProcesses } from "../load/child-processes.ts";
import { row } from "../rows.ts";
import type { ChainFigures } from "./run-chain.ts";

const ENTRY = new URL("./run-chain.ts", import.meta.url).pathname;
const TIMEOUT_MS = 120_000;

export async function measureChain(
  plan: Plan,
  cores: string | undefined,
  progress: (line: string) => void,
): Promise<Measured> {
  progress("what a chain of five hops costs the token room");
  const processes = createChildProcesses();
  try {
    const args = [ENTRY, JSON.stringify(plan)];
    const output = await processes.run(process.execPath, args, { cores, timeoutMs: TIMEOUT_MS });
    const { firstUs, warmUs, warmDepth0Us, ratio, tokenBytes } = JSON.parse(output) as ChainFigures;
    return {
      rows: [
        row("chain-5-first", firstUs / 1000, "ms"),
        row("chain-5-warm", ratio, "ratio"),
        row("chain-5-warm-cpu", warmUs, "us"),
        row("chain-5-warm-depth-0-cpu", warmDepth0Us, "us"),
        row("chain-5-token", tokenBytes, "bytes"),
      ],
    };
  } finally {
    await processes.close();
  }
}
