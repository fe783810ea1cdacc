// In: one JSON argument: an issuer, an application's key, and how fast agents are launched. Out: one line of JSON.
// Each agent is new, as it is in life: it makes its key, reads the issuer's metadata, meets the challenge for a nonce, and
// redeems its launch token, all by the client library. Open loop at a rate: launch i is due at start + i / rate, whether the
// earlier ones are done or not, and its time counts from then to the token, so there is no coordinated omission.
import { setPriority } from "node:os";
import { CordonError } from "../../src/agent/cordon-error.ts";
import { createKey } from "../../src/agent/create-key.ts";
import { createDpopFetch } from "../../src/agent/create-dpop-fetch.ts";
import { createIssuerClient } from "../../src/agent/issuer-client.ts";
import { createLauncher } from "../../src/agent/create-launcher.ts";
import { readKeyFile } from "../../src/agent/quickstart-keys.ts";
import { percentile } from "./rate-stream.ts";

export interface SpawnTask {
  readonly issuer: string;
  readonly application: string;
  /** Of the application's private key. */
  readonly keyFile: string;
  /** Launches a second, or so many orchestrators that each launch one agent after the other. */
  readonly pace: { readonly ratePerS: number } | { readonly orchestrators: number };
  readonly seconds: number;
  /** The start of the run that is not counted. */
  readonly skipS: number;
  /** A path of the gateway that the last agent asks for with its token. */
  readonly url: string;
}

export interface SpawnResult {
  /** Launches that were counted, those of them that ended with a token, and why the others did not. */
  readonly launches: number;
  readonly spawned: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly perS: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  /** 99th percentile of how late the generator itself was. */
  readonly lateP99Us: number;
  /** The status of the last agent's request to the gateway. */
  readonly status: number;
}

const EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange";
const LAUNCH_TOKEN = "urn:cordon:params:oauth:token-type:launch-token";

async function run(task: SpawnTask): Promise<SpawnResult> {
  const { issuer, application, pace, seconds, skipS } = task;
  const launcher = createLauncher({ issuer, application, key: readKeyFile(task.keyFile) });
  const latencies: number[] = [];
  const lateness: number[] = [];
  const failures: Record<string, number> = {};
  const last = { key: createKey(), token: "" };
  const startMs = performance.now();
  const countedFromMs = startMs + skipS * 1000;
  const endMs = startMs + seconds * 1000;
  let launches = 0;

  /** One agent, from the moment its launch was due. */
  async function spawn(dueMs: number): Promise<void> {
    const counted = dueMs >= countedFromMs;
    if (counted) launches += 1;
    try {
      const { launchToken } = await launcher.launch({
        orchestration: "hiring",
        task: "rank-j42",
        purpose: "rank-candidates",
        scope: ["read:candidates:J42"],
        constraints: { job_id: "J42" },
        principal: { type: "user", id: "recruiter_alice" },
        session: { initiator: { type: "user", id: "recruiter_alice" } },
        manifest: { model: "claude-sonnet-5", environment: "production" },
      });
      const key = createKey();
      const form = {
        grant_type: EXCHANGE_GRANT,
        client_id: `${application}.agents`,
        subject_token: launchToken,
        subject_token_type: LAUNCH_TOKEN,
      };
      const client = createIssuerClient({ issuer });
      const answer = await client.requestToken({ form: () => new URLSearchParams(form), key });
      if (counted) latencies.push((performance.now() - dueMs) * 1000);
      Object.assign(last, { key, token: String(answer["access_token"]) });
    } catch (error) {
      const code = error instanceof CordonError ? error.code : String(error);
      if (counted) failures[code] = (failures[code] ?? 0) + 1;
    }
  }

  async function atRate(ratePerS: number): Promise<void> {
    const open: Promise<void>[] = [];
    const total = Math.floor(ratePerS * seconds);
    while (open.length < total) {
      const dueMs = startMs + (open.length * 1000) / ratePerS;
      const nowMs = performance.now();
      if (nowMs >= dueMs) {
        if (dueMs >= countedFromMs) lateness.push((nowMs - dueMs) * 1000);
        open.push(spawn(dueMs));
      }
      await new Promise(setImmediate);
    }
    await Promise.all(open);
  }

  async function inTurn(): Promise<void> {
    for (let nowMs = startMs; nowMs < endMs; nowMs = performance.now()) await spawn(nowMs);
  }

  if ("ratePerS" in pace) await atRate(pace.ratePerS);
  else await Promise.all(Array.from({ length: pace.orchestrators }, inTurn));
  const tookS = (performance.now() - countedFromMs) / 1000;
  const send = createDpopFetch({ getToken: () => last.token, key: last.key });
  const { status } = await send(task.url);
  const sorted = latencies.toSorted((a, b) => a - b);
  return {
    launches,
    spawned: latencies.length,
    failures,
    perS: latencies.length / tookS,
    p50Us: percentile(sorted, 0.5),
    p99Us: percentile(sorted, 0.99),
    maxUs: percentile(sorted, 1),
    lateP99Us: percentile(
      lateness.toSorted((a, b) => a - b),
      0.99,
    ),
    status,
  };
}

// It polls the clock without a pause, so that it launches in time.
setPriority(19);
process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2] ?? "{}") as SpawnTask))}\n`);
