// H21: kill -9 of a gateway whose agents spend a budget, again and again. What may have reached the tool stays spent; nothing
// that the tool saw is there a second time, and the counters that a clean end wrote are those of the log.
import assert from "node:assert/strict";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { startCli } from "../fixtures/cli-process.ts";
import { prepareGateway } from "../fixtures/gateway-process.ts";
import { toolRoute } from "../fixtures/scripted-tool.ts";
import type { TestAgent } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 110_000 };
const KILLS = 3;
const CALLERS = 6;
const AMOUNT = 7;
/** A round is killed in the middle of its load, after so many answers. */
const ANSWERS = 40;
/** More than all rounds that are killed can spend. */
const SUM = AMOUNT * (KILLS * (ANSWERS + 2 * CALLERS) + 50);

test("H21 a budget is not refunded by a crash, a clean restart or the loss of its checkpoint", LIMIT, async (t) => {
  const prepared = await prepareGateway(({ toolUrl }) => ({
    threads: 2,
    // The start waits so long for proofs that are dated ahead.
    proof: { max_ahead_s: 1 },
    // A crash loses what is not on disk yet: calls that are counted do not rely on it.
    routes: [toolRoute("pay", toolUrl, { audit: "batched" })],
    audit: { commit_interval_ms: 1000 },
    budgets: [{ name: "amounts", per: ["task"], sum: { argument: "/amount", max: SUM } }],
  }));
  t.after(() => prepared.close());
  const { g } = prepared;
  const body = JSON.stringify({ amount: AMOUNT });
  const init = { method: "POST", headers: { "content-type": "application/json" }, body };
  const pay = async (agent: TestAgent): Promise<number> => (await agent.call(`${g.url}/pay/1`, init)).status;
  const spent = (): number => g.tool.seen.length * AMOUNT;

  /** Calls until the gateway is gone or refuses; the answers are counted by `onAnswer`. */
  async function load(agent: TestAgent, onAnswer: () => void): Promise<void> {
    for (;;) {
      const status = await pay(agent).catch(() => 0);
      if (status !== 200) return;
      onAnswer();
    }
  }

  let data: string | undefined;
  let inFlight = 0;
  for (let round = 0; round < KILLS; round++) {
    const running = await prepared.start(data === undefined ? {} : { data });
    data = running.data;
    const agents = await Promise.all(Array.from({ length: CALLERS }, () => g.agent()));
    let left = ANSWERS;
    const enough = Promise.withResolvers<void>();
    const calls = agents.map((agent) =>
      load(agent, () => {
        left -= 1;
        if (left === 0) enough.resolve();
      }),
    );
    await Promise.race([enough.promise, Promise.all(calls)]);
    await running.kill();
    await Promise.all(calls);
    inFlight += CALLERS;
  }

  const file = path.join(data ?? "", "budgets.json");
  const log = path.join(data ?? "", "audit", "audit.jsonl");
  const agent = await g.agent();
  const last = await prepared.start({ data: data ?? "" });
  while ((await pay(agent)) === 200);
  assert.ok(spent() <= SUM, `the tool saw ${spent()} of ${SUM}`);
  // What was in flight at a kill is spent, whether the tool saw it or not; all else was there to be spent.
  assert.ok(spent() >= SUM - AMOUNT * (inFlight + 1), `the tool saw ${spent()} of ${SUM}`);
  const seen = spent();
  await last.stop();

  const kept = readFileSync(file, "utf8");
  rmSync(file);
  const without = await prepared.start({ data: data ?? "" });
  assert.equal(await pay(agent), 429, "the log alone says the same");
  await without.kill();
  assert.ok(existsSync(file));
  writeFileSync(file, kept);
  const old = await prepared.start({ data: data ?? "" });
  assert.equal(await pay(agent), 429, "an older checkpoint and the log behind it say the same");
  await old.stop();
  assert.equal(spent(), seen);

  // Without its log nobody knows what was spent.
  renameSync(log, `${log}.away`);
  const cli = startCli(["start", "--config", path.join(g.folder, "cordon.yaml")], {
    CORDON_DATA_FOLDER: data ?? "",
    CORDON_CONTROL_PORT: "0",
  });
  assert.equal(await cli.exited, 2);
  assert.match(cli.stderr(), /not the log of which the budgets were counted/);
});
