// In: the number of a change that was posted and published. Out: what each thread did, once all of them enforce it.
// A thread that is silent is ended and replaced: its end is its acknowledgement, since its successor starts with the change.
import type { Applied } from "../../admin/control-plane.ts";
import type { EpochWords } from "../../containment/epoch.ts";
import type { ThreadPool } from "./thread-pool.ts";

/** A thread that does not enforce a change within this time is ended. */
export const SILENCE_MS_MAX = 250;

export async function enforcedEverywhere(
  pool: ThreadPool,
  epoch: EpochWords,
  number: number,
): Promise<Applied["threads"]> {
  const serving = pool.all.filter((thread) => thread.state === "serving" || thread.state === "draining");
  const silent = new Set(
    await epoch.waitForAcknowledgement(
      serving.map((thread) => thread.index),
      number,
      SILENCE_MS_MAX,
    ),
  );
  await Promise.all(
    serving
      .filter((thread) => silent.has(thread.index))
      .map((thread) => thread.end(`silent for ${SILENCE_MS_MAX} ms at a change of what is contained or revoked`)),
  );
  return serving.map((thread) => ({
    id: thread.index,
    outcome: silent.has(thread.index) ? ("replaced" as const) : ("acknowledged" as const),
  }));
}
