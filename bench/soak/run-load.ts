// In: one JSON argument: where the gateway is and who issues. Out: load until SIGTERM, and a line of JSON each second.
// Closed loop: each connection sends its next request when the last one was answered, so the gateway is always full.
import { createPrivateKey } from "node:crypto";
import { openIssuer } from "../load/agents.ts";
import { createAgentPool } from "./agent-pool.ts";
import { createLoadConnection } from "./load-connection.ts";
import { startLongExchanges } from "./long-exchanges.ts";
import { createRequests } from "./requests.ts";
import { CANDIDATE_PATH } from "./soak-config.ts";

export interface LoadTask {
  readonly port: number;
  readonly issuerPem: string;
  readonly agentsPerS: number;
}

/** What happened within one second. */
export interface LoadSecond {
  /** Answers to the requests of the closed loop. */
  readonly answers: number;
  readonly slowestMs: number;
  /** Since the start: `kind status` and how often. */
  readonly seen: Readonly<Record<string, number>>;
  readonly unexpected: Readonly<Record<string, number>>;
  readonly agents: number;
  /** An agent that operators may contain. */
  readonly victim: string;
}

const CONNECTIONS = 32;
const VICTIM_PAUSE_MS = 20;
const VICTIM_LIFE_MS = 20_000;

const task = JSON.parse(process.argv[2] ?? "{}") as LoadTask;
const host = `127.0.0.1:${task.port}`;
const pool = createAgentPool(openIssuer(createPrivateKey(task.issuerPem)), `http://${host}`, task.agentsPerS);
const requests = createRequests(pool, host);
const seen: Record<string, number> = {};
const unexpected: Record<string, number> = {};
let answers = 0;
let slowestMs = 0;
let victim = pool.makeOne();
setInterval(() => {
  victim = pool.makeOne();
}, VICTIM_LIFE_MS);

function tally(kind: string, status: number, expected: readonly number[]): void {
  const name = `${kind} ${status}`;
  seen[name] = (seen[name] ?? 0) + 1;
  if (!expected.includes(status)) unexpected[name] = (unexpected[name] ?? 0) + 1;
}

async function loop(): Promise<void> {
  const kept = createLoadConnection(task.port);
  for (;;) {
    const { kind, request, expected, alone } = requests.next();
    const connection = alone === true ? createLoadConnection(task.port) : kept;
    const startedAt = performance.now();
    const status = await connection.exchange(Buffer.from(request, "latin1"));
    slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    answers += 1;
    tally(kind, status, expected);
    if (alone === true) connection.close();
    if (kind === "read" && status === 200) requests.used(request);
  }
}

/** The contained agent goes on asking. */
async function loopAsVictim(): Promise<void> {
  const connection = createLoadConnection(task.port);
  for (;;) {
    const status = await connection.exchange(`${requests.head(victim, "GET", CANDIDATE_PATH)}\r\n`);
    tally("victim", status, [200, 403]);
    await new Promise((resolve) => setTimeout(resolve, VICTIM_PAUSE_MS));
  }
}

for (let index = 0; index < CONNECTIONS; index++) void loop();
void loopAsVictim();
startLongExchanges({ port: task.port, requests, pick: pool.pick, victim: () => victim, tally });

setInterval(() => {
  const second: LoadSecond = { answers, slowestMs, seen, unexpected, agents: pool.made(), victim: victim.id };
  process.stdout.write(`${JSON.stringify(second)}\n`);
  answers = 0;
  slowestMs = 0;
}, 1000);
process.once("SIGTERM", () => process.exit(0));
