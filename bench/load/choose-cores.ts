// In: wishes. Out: a core for the load and one for the process under test, with a note where they cannot be kept apart.
import { availableParallelism } from "node:os";
import { canPin } from "./child-processes.ts";

/** Core numbers as taskset takes them; undefined: not pinned. */
export interface Cores {
  readonly load: string | undefined;
  readonly gateway: string | undefined;
  /** Both, for a gateway of two data threads. */
  readonly both: string | undefined;
}

export interface ChosenCores {
  readonly cores: Cores;
  readonly facts: Readonly<Record<string, string>>;
  readonly notes: readonly string[];
}

export function chooseCores(wish: {
  readonly loadCore: number | undefined;
  readonly gatewayCore: number | undefined;
}): ChosenCores {
  if (!canPin() || availableParallelism() < 2) {
    const note = "one core, or no taskset: load and gateway share cores, so the ratios say little";
    return { cores: { load: undefined, gateway: undefined, both: undefined }, facts: {}, notes: [note] };
  }
  const load = String(wish.loadCore ?? 0);
  const gateway = String(wish.gatewayCore ?? (load === "1" ? 0 : 1));
  return {
    cores: { load, gateway, both: `${load},${gateway}` },
    facts: { load_core: load, gateway_core: gateway },
    notes: [],
  };
}
