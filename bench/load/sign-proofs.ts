// In: agents, a method, a URI and a number. Out: that many distinct DPoP proofs, taken from the agents in turn.
// The entry of a worker: signing is the slow part of making a load, so both cores do it before the load starts.
import { parentPort, workerData } from "node:worker_threads";
import { type BenchAgent, signProof } from "./agents.ts";

export interface SignTask {
  /** The one that signs the first proof comes first. */
  readonly agents: readonly BenchAgent[];
  readonly method: string;
  readonly htu: string;
  /** Position of the first proof; also what makes its `jti` unlike any other. */
  readonly first: number;
  readonly count: number;
  readonly prefix: string;
}

const task = workerData as SignTask;
const { agents } = task;
const iat = Math.floor(Date.now() / 1000);
const proofs: string[] = [];
for (let index = 0; index < task.count; index++) {
  const agent = agents[index % agents.length];
  if (agent === undefined) throw new Error("no agents");
  const jti = `${task.prefix}-${task.first + index}`;
  proofs.push(signProof(agent, { jti, htm: task.method, htu: task.htu, iat }));
}
parentPort?.postMessage(proofs.join("\n"));
