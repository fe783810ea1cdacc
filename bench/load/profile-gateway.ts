// In: options. Out: a text that says in which rooms and functions the gateway spends its time under load.
// Samples every thread of the gateway with Node's own profiler, which slows it: shares are good, totals are not.
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { BenchOptions } from "../arguments.ts";
import type { Cores } from "./choose-cores.ts";
import { findLoadTools } from "./install-debian.ts";
import { createStage, type Stage } from "./stage.ts";
import { summariseProfile, type CpuProfile } from "./summarise-profile.ts";

const SECONDS = 12;
const PROOFS_PER_S = 4000;

export async function profileGateway(
  options: BenchOptions,
  cores: Cores,
  keep: (stage: Stage) => void,
  progress: (line: string) => void,
): Promise<string> {
  const tools = findLoadTools(true, progress);
  if (tools.wrk === undefined || tools.nginx === undefined) return `${tools.notes.join("\n")}\n`;
  const stage = await createStage(tools, cores, false);
  keep(stage);
  const folder = path.join(stage.folder, "profiles");
  mkdirSync(folder);
  const gateway = await stage.startGateway(1, { nodeArgs: ["--cpu-prof", `--cpu-prof-dir=${folder}`] });
  progress("sampling the gateway under load");
  const seconds = options.mode === "full" ? SECONDS : SECONDS / 2;
  const round = await stage.proofRound(gateway, "batched", seconds, seconds * PROOFS_PER_S);
  await gateway.stop();
  const profiles = readdirSync(folder)
    .filter((name) => name.endsWith(".cpuprofile"))
    .map((name) => JSON.parse(readFileSync(path.join(folder, name), "utf8")) as CpuProfile);
  const head = `${Math.round(round.requestsPerS)} req/s while sampled${round.error === undefined ? "" : `, ${round.error}`}`;
  return `${head}\n${profiles
    .map(summariseProfile)
    .filter((text) => text !== "")
    .join("\n")}`;
}
