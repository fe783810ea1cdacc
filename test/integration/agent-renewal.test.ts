// Renewal by the library at the real issuer. Its clock and the agent's are set ahead; nothing waits for time to pass.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { type Agent, createAgent } from "../../src/agent/create-agent.ts";
import type { CordonErrorCode } from "../../src/agent/cordon-error.ts";
import { ACCESS_TOKEN, type AgentBroker, APPLICATION, claimsOf, startAgentBroker } from "../fixtures/agent-broker.ts";

const LIMIT = { timeout: 60_000 };
const TOKEN_MS = 300_000;

interface Stage {
  readonly issuer: AgentBroker;
  readonly agent: Agent;
  readonly ends: CordonErrorCode[];
  readonly last: CordonErrorCode[];
  /** The renewals that reached the issuer. */
  readonly asked: string[];
  /** Both clocks go on by so much. */
  pass(ms: number): Promise<void>;
  /** So many of the next renewals are done, but their answers are lost. */
  lose(answers: number): void;
}

async function start(t: TestContext, launch: Record<string, unknown> = {}): Promise<Stage> {
  const issuer = await startAgentBroker(t);
  const ends: CordonErrorCode[] = [];
  const last: CordonErrorCode[] = [];
  const asked: string[] = [];
  let lost = 0;
  let aheadMs = 0;
  const agent = await createAgent({
    issuer: issuer.issuer,
    launchToken: await issuer.launch(launch),
    onEnd: ({ code }) => ends.push(code),
    onLastToken: ({ code }) => last.push(code),
    fetch: async (url, init) => {
      const response = await fetch(url, init);
      const body = typeof init?.body === "string" ? init.body : "";
      if (!body.includes(encodeURIComponent(ACCESS_TOKEN))) return response;
      if ((await response.clone().text()).includes("use_dpop_nonce")) return response;
      asked.push(body);
      if (lost === 0) return response;
      lost -= 1;
      throw new TypeError("the connection broke off");
    },
  });
  t.after(() => agent.close().catch(() => undefined));
  return {
    issuer,
    agent,
    ends,
    last,
    asked,
    lose(answers) {
      lost = answers;
    },
    async pass(ms) {
      t.mock.timers.reset();
      await issuer.restart(ms);
      aheadMs += ms;
      t.mock.timers.enable({ apis: ["Date"], now: Date.now() + aheadMs });
    },
  };
}

test("a token near its end is renewed on demand: same identity, same session, a new token", LIMIT, async (t) => {
  const { agent, pass, asked } = await start(t);
  const first = claimsOf(await agent.accessToken());
  await pass(TOKEN_MS - 3000);
  const crowd = await Promise.all(Array.from({ length: 20 }, () => agent.accessToken()));
  assert.equal(new Set(crowd).size, 1);
  assert.equal(asked.length, 1);
  const second = claimsOf(await agent.accessToken());
  assert.notEqual(second.jti, first.jti);
  assert.deepEqual([second["sub"], second.scope], [first["sub"], first.scope]);
  assert.deepEqual(second.cordon["session"], first.cordon["session"]);
});

test("renewals whose answers are lost are asked for again, the same, and all are one renewal", LIMIT, async (t) => {
  const { agent, pass, asked, lose, issuer } = await start(t);
  const first = claimsOf(await agent.accessToken());
  await pass(TOKEN_MS - 3000);
  lose(2);
  const second = claimsOf(await agent.accessToken());
  assert.notEqual(second.jti, first.jti);
  assert.equal(asked.length, 3);
  assert.equal(new Set(asked).size, 1);
  const superseded = issuer.fed.filter(({ kind }) => kind === "superseded");
  assert.equal(superseded.length, 1);
});

test(
  "an agent that was renewed as often as it may is told so, keeps its token to its end, and then has none",
  LIMIT,
  async (t) => {
    const { agent, pass, ends, last } = await start(t, { renewals_max: 0 });
    const token = await agent.accessToken();
    await pass(TOKEN_MS - 3000);
    assert.equal(await agent.accessToken(), token);
    assert.deepEqual([last, ends], [["renewals_exhausted"], []]);
    await pass(3000);
    await assert.rejects(agent.accessToken(), { code: "renewals_exhausted" });
    assert.deepEqual(ends, ["renewals_exhausted"]);
  },
);

test("an agent whose time is over does not ask for a renewal, and says so", LIMIT, async (t) => {
  const { agent, pass, asked, ends } = await start(t, { lifetime_s: 300 });
  await pass(TOKEN_MS - 3000);
  await agent.accessToken();
  await pass(3000);
  await assert.rejects(agent.accessToken(), { code: "authority_ended" });
  assert.deepEqual([asked, ends], [[], ["authority_ended"]]);
});

test("an agent that was ended at the issuer learns it at its renewal, and ends at once", LIMIT, async (t) => {
  const { agent, pass, ends, issuer } = await start(t);
  const token = await agent.accessToken();
  const body = new URLSearchParams({ token, client_id: `${APPLICATION}.agents` });
  const revoked = await fetch(`${issuer.issuer}/revoke`, { method: "POST", body });
  assert.equal(revoked.status, 200);
  await pass(TOKEN_MS - 3000);
  await assert.rejects(agent.accessToken(), { code: "revoked" });
  assert.deepEqual(ends, ["revoked"]);
});

test("an agent that slept through the life of its token is told to be launched again", LIMIT, async (t) => {
  const { agent, pass, ends } = await start(t);
  await pass(TOKEN_MS + 60_000);
  await assert.rejects(agent.accessToken(), { code: "token_expired", message: /new launch token/ });
  assert.deepEqual(ends, ["token_expired"]);
});
