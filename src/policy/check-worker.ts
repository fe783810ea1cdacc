// In: a bundle's bytes, its limits and perhaps other data, as worker data. Out: one message, the list of problems.
// Trusts: nothing. It runs alone in a thread that check-thread.ts ends at a deadline.
import { parentPort, workerData } from "node:worker_threads";
import { readMonotonicMs } from "../lib/clock.ts";
import { type BundleLimits, checkBundle } from "./check-bundle.ts";
import { parseBundle } from "./parse-bundle.ts";

const { bytes, limits, dataJson } = workerData as {
  readonly bytes: Uint8Array;
  readonly limits: BundleLimits;
  readonly dataJson: string | undefined;
};
const bundle = parseBundle(bytes);
const checked = bundle.ok
  ? checkBundle({ ...bundle.value, dataJson: dataJson ?? bundle.value.dataJson }, limits, readMonotonicMs)
  : { ok: false as const, error: [bundle.error] };
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort has no origin
parentPort?.postMessage(checked.ok ? [] : checked.error);
