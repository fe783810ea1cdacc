// kill -9 of the issuer: between spend and issue, and again and again under load. What was acknowledged is there afterwards,
// a spent launch token stays spent, an agent that was released stays ended, and nothing is half done.
import assert from "node:assert/strict";
import { type ChildProcess, spawn as startProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { brokerDatabaseFile } from "../../src/broker/state/broker-database.ts";
import { type AgentBroker, type Spawned, spawnedFrom, startAgentBroker } from "../fixtures/agent-broker.ts";
import { makeKey, type TestKey } from "../unit/token/token-fixtures.ts";

const PROCESS = fileURLToPath(new URL("broker-process.ts", import.meta.url));
const KILL_AT = new URL("kill-at-statement.ts", import.meta.url).href;
const MOMENTS = [
  "after the launch token is spent",
  "before the agent is kept",
  "before the commit",
  "after the commit",
];
const KILLS = 5;
const CALLERS = 6;
/** A round is killed after some number of answers in this range, in the middle of its load. */
const ANSWERS_MIN = 15;
const ANSWERS_SPREAD = 40;

interface Killable {
  readonly child: ChildProcess;
  kill(): Promise<void>;
}

/** The issuer of the fixture as a process of its own, on the same folder and port. */
async function startIssuer(issuer: AgentBroker, moment?: string): Promise<Killable> {
  const data = JSON.stringify({ config: issuer.config, dataFolder: issuer.dataFolder });
  const preload = moment === undefined ? [] : ["--import", KILL_AT];
  const child = startProcess(process.execPath, [...preload, PROCESS, data], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, CORDON_TEST_KILL_AT: moment ?? "" },
  });
  const exited = once(child, "exit");
  await Promise.race([
    once(createInterface({ input: child.stdout }), "line"),
    exited.then(() => Promise.reject(new Error("the issuer ended at its start"))),
  ]);
  return {
    child,
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** An issuer whose thread here is closed: the test starts processes in its place. */
async function prepare(t: Parameters<typeof startAgentBroker>[0]): Promise<AgentBroker> {
  const issuer = await startAgentBroker(t);
  await issuer.broker.close();
  return issuer;
}

for (const moment of MOMENTS) {
  test(`a kill ${moment} leaves all of a spawn or nothing`, async (t) => {
    const issuer = await prepare(t);
    const doomed = await startIssuer(issuer, moment);
    t.after(() => doomed.kill());
    const launched = await issuer.launch();
    const key = makeKey("ES256");
    await assert.rejects(issuer.requestSpawn(launched, key), TypeError, "the connection breaks");
    await doomed.kill();

    const again = await startIssuer(issuer);
    t.after(() => again.kill());
    const second = await issuer.requestSpawn(launched, makeKey("ES256"));
    const fresh = await issuer.requestSpawn(await issuer.launch(), key);
    const outcome = [second.body["code"] ?? second.status, fresh.body["code"] ?? fresh.status];
    const done = moment === "after the commit";
    assert.deepEqual(outcome, done ? ["launch_token_spent", "key_used_before"] : [200, 200]);
  });
}

interface Attempt {
  readonly launched: string;
  readonly key: TestKey;
  /** Undefined where the connection broke, so that nobody knows. */
  agent?: Spawned;
  released?: boolean;
}

test(`an issuer that is killed ${KILLS} times under load loses nothing that it acknowledged`, async (t) => {
  const issuer = await prepare(t);
  for (let round = 0; round < KILLS; round++) {
    const running = await startIssuer(issuer);
    t.after(() => running.kill());
    const attempts: Attempt[] = [];
    const unused: string[] = [];
    let answers = 0;
    let killed: Promise<void> | undefined;
    const killAfter = ANSWERS_MIN + Math.floor(Math.random() * ANSWERS_SPREAD);
    const answered = (): void => {
      if (++answers >= killAfter) killed ??= running.kill();
    };

    /** Launches, spawns and releases until the issuer is gone. */
    async function load(): Promise<void> {
      for (;;) {
        const launched = await issuer.launch();
        answered();
        if (answers % 5 === 0) unused.push(launched);
        else {
          const attempt: Attempt = { launched, key: makeKey("ES256") };
          attempts.push(attempt);
          attempt.agent = await issuer.spawn(launched, attempt.key);
          answered();
          if (answers % 4 === 0) {
            attempt.released = (await issuer.release(attempt.agent)).status === 204;
            answered();
          }
        }
      }
    }

    await Promise.all(
      Array.from({ length: CALLERS }, () => assert.rejects(load(), TypeError, "ends with its connection only")),
    );
    await killed;
    const again = await startIssuer(issuer);
    // First those whose launch tokens may still be good, for 30 s.
    for (const launched of unused) await issuer.spawn(launched);
    for (const attempt of attempts.filter(({ agent }) => agent === undefined)) await checkAttempt(issuer, attempt);
    for (const attempt of attempts.filter(({ agent }) => agent !== undefined)) await checkAttempt(issuer, attempt);
    assert.ok(attempts.some(({ agent }) => agent !== undefined));
    await again.kill();
  }
});

async function checkAttempt(issuer: AgentBroker, { launched, key, agent, released }: Attempt): Promise<void> {
  const second = await issuer.requestSpawn(launched, makeKey("ES256"));
  const fresh = await issuer.requestSpawn(await issuer.launch(), key);
  const outcome = [second.body["code"] ?? second.status, fresh.body["code"] ?? fresh.status];
  const all = ["launch_token_spent", "key_used_before"];
  if (agent === undefined) {
    // Nobody was told: all of it happened, or nothing.
    assert.deepEqual(outcome, outcome[0] === 200 ? [200, 200] : all);
    if (fresh.status === 200) spawnedFrom(fresh, key);
    return;
  }
  assert.deepEqual(outcome, all);
  const renewal = (await issuer.renew(agent)).body["code"];
  assert.ok(renewal === "renewal_too_early" || renewal === "agent_ended", String(renewal));
  // A release that was not acknowledged may have happened all the same.
  if (released === true) assert.equal(renewal, "agent_ended");
}

test("where the database cannot be written nothing is granted and nothing spent, and later all is well", async (t) => {
  const issuer = await startAgentBroker(t);
  const launched = await issuer.launch();
  const key = makeKey("ES256");
  const writer = new DatabaseSync(brokerDatabaseFile(issuer.dataFolder));
  t.after(() => writer.close());
  writer.exec("BEGIN IMMEDIATE");
  const refused = await issuer.requestSpawn(launched, key);
  assert.deepEqual([refused.status, refused.body["code"]], [503, "temporarily_unavailable"]);
  assert.ok(issuer.logs.some(({ level, event }) => level === "error" && event === "issuer_error"));
  writer.exec("ROLLBACK");
  await issuer.spawn(launched, key);
});
