// In: agents, a method, a URI and a number. Out: that many distinct DPoP proofs, taken from the agents in turn.
// The entry of a worker: signing is the slow part of making a load, so both cores do it before the load starts.
import { createPrivateKey } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { type BenchAgent, signJws } from "./agents.ts";

export interface SignTask {
  readonly agents: readonly BenchAgent[];
  readonly method: string;
  readonly htu: string;
  /** Position of the first proof; also what makes its `jti` unlike any other. */
  readonly first: number;
  readonly count: number;
  readonly prefix: string;
}

const task = workerData as SignTask;
const agents = task.agents.map((agent) => ({ ...agent, key: createPrivateKey(agent.privatePem) }));
const iat = Math.floor(Date.now() / 1000);
const proofs: string[] = [];
for (let index = task.first; index < task.first + task.count; index++) {
  const agent = agents[index % agents.length];
  if (agent === undefined) throw new Error("no agents");
  const payload = { jti: `${task.prefix}-${index}`, htm: task.method, htu: task.htu, iat, ath: agent.tokenHash };
  const input = `${agent.proofHeader}.${Buffer.from(JSON.stringify(payload)).toString("base64url")}`;
  proofs.push(signJws(input, agent.key));
}
parentPort?.postMessage(proofs.join("\n"));
