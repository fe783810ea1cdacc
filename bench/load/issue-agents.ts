// In: an issuer's key, an audience and a number. Out: that many agents, posted to the parent.
// The entry of a worker, as sign-proofs.ts is: both cores make the agents before the load starts.
import type { KeyObject } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { openIssuer } from "./agents.ts";

export interface IssueTask {
  readonly issuerKey: KeyObject;
  readonly audience: string;
  readonly count: number;
  /** Beside those that the hiring agent has. */
  readonly scope: readonly string[];
}

const { issuerKey, audience, count, scope } = workerData as IssueTask;
const issuer = openIssuer(issuerKey);
parentPort?.postMessage(Array.from({ length: count }, () => issuer.agent(audience, { scope })));
