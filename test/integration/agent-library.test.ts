// The library against the real issuer and the real gateway: launched, renewed, delegated, released, refused.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { type Agent, createAgent } from "../../src/agent/create-agent.ts";
import { createDelegation, type DelegationRequest } from "../../src/agent/create-delegation.ts";
import { createDpopFetch } from "../../src/agent/create-dpop-fetch.ts";
import { createKey, type KeyAlgorithm } from "../../src/agent/create-key.ts";
import { createLauncher } from "../../src/agent/create-launcher.ts";
import { APPLICATION } from "../fixtures/agent-broker.ts";
import { type AgentGateway, CANDIDATE, startAgentGateway, TASK } from "../fixtures/agent-gateway.ts";

const LIMIT = { timeout: 60_000 };

describe("an agent of the library", () => {
  let stage: AgentGateway;
  const ending: (() => Promise<void>)[] = [];
  before(async () => {
    stage = await startAgentGateway({ after: (end) => void ending.push(end) });
  });
  after(async () => {
    for (const end of ending) await end();
  });

  const statusOf = async (agent: Agent, target = CANDIDATE): Promise<number> => {
    const response = await agent.fetch(stage.g.url + target);
    await response.body?.cancel();
    return response.status;
  };

  for (const algorithm of ["ES256", "EdDSA"] satisfies KeyAlgorithm[]) {
    test(
      `is launched with an ${algorithm} key of its own, and its fetch reads through the gateway`,
      LIMIT,
      async () => {
        const { g, issuer, launch } = stage;
        const before = Date.now();
        const agent = await createAgent({ issuer, launchToken: await launch({ lifetimeS: 600 }), algorithm });
        assert.equal(await statusOf(agent), 200);
        assert.equal(agent.id, `spiffe://acme.example/agent/hiring/rank-j42/${agent.thumbprint}`);
        assert.deepEqual(agent.scope, ["read:candidates:J42", "write:scores:J42"]);
        assert.deepEqual(agent.origins, [g.url]);
        assert.ok(agent.expiresAtMs > before && agent.expiresAtMs <= Date.now() + 600_000);
        await assert.rejects(agent.fetch("http://127.0.0.1:1/"), { code: "target_refused" });
        await agent.close();
      },
    );
  }

  test(
    "is released at the end of its block: its token is refused from then on, at the gateway too",
    LIMIT,
    async () => {
      const { g, issuer, launch } = stage;
      const key = createKey();
      let ended: Agent;
      let accessToken: string;
      {
        await using agent = await createAgent({ issuer, launchToken: await launch(), key });
        assert.equal(await statusOf(agent), 200);
        accessToken = await agent.accessToken();
        ended = agent;
      }
      await assert.rejects(ended.fetch(g.url + CANDIDATE), { code: "agent_closed" });
      await ended.close();
      const answer = await createDpopFetch({ getToken: () => accessToken, key })(g.url + CANDIDATE);
      assert.equal(answer.status, 401);
      assert.match(answer.headers.get("www-authenticate") ?? "", /invalid_token/);
    },
  );

  test("keeps no process alive by its timers: one that has nothing else to do ends", LIMIT, async () => {
    const { issuer, launch } = stage;
    const library = new URL("../../src/agent/public.ts", import.meta.url).href;
    const options = JSON.stringify({ issuer, launchToken: await launch() });
    const program = `const { createAgent } = await import("${library}");
      console.log((await createAgent(${options})).id);`;
    const child = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program]);
    assert.match(child.stdout, /^spiffe:/);
  });

  test("an orchestrator is refused what is beyond its ceiling, and told what to do", LIMIT, async () => {
    const { issuer, launch, orchestratorKey } = stage;
    await assert.rejects(launch({ scope: ["delete:candidates:J42"] }), {
      code: "scope_beyond_ceiling",
      message: /ceiling/,
    });
    await assert.rejects(launch({ principal: { type: "root", id: "x" } }), { code: "principal_not_allowed" });
    const stranger = createLauncher({ issuer, application: APPLICATION, key: createKey() });
    await assert.rejects(stranger.launch(TASK), { code: "token_refused", error: "invalid_client" });
    const known = createLauncher({ issuer, application: APPLICATION, key: orchestratorKey });
    const { expiresAtMs } = await known.launch(TASK);
    assert.ok(expiresAtMs <= Date.now() + 30_000);
  });

  test(
    "a launch token is for one agent: the second is told so, and what is no launch token is not sent",
    LIMIT,
    async () => {
      const { issuer, launch } = stage;
      const launchToken = await launch();
      const agent = await createAgent({ issuer, launchToken });
      await assert.rejects(createAgent({ issuer, launchToken }), {
        code: "launch_token_spent",
        message: /tell security/,
      });
      assert.equal(await statusOf(agent), 200, "the first one lives on");
      const unknown = `hiring.${"A".repeat(43)}`;
      await assert.rejects(createAgent({ issuer, launchToken: unknown }), { code: "launch_token_unknown" });
      const refused = { code: "usage" };
      await assert.rejects(createAgent({ issuer: "http://127.0.0.1:1", launchToken: "eyJhbGciOi.x.y" }), refused);
      await assert.rejects(createAgent({ issuer }), refused);
      await assert.rejects(createAgent({ launchToken }), refused);
      const away = createAgent({ issuer: "http://127.0.0.1:1", launchToken });
      await assert.rejects(away, { code: "issuer_unreachable" });
      await agent.close();
    },
  );

  test("one key is one agent: a second launch for it is refused", LIMIT, async () => {
    const { issuer, launch } = stage;
    const key = createKey();
    const agent = await createAgent({ issuer, launchToken: await launch(), key });
    await assert.rejects(createAgent({ issuer, launchToken: await launch(), key }), { code: "key_used_before" });
    await agent.close();
  });

  test("a sub-agent with a delegation has less than its delegator, and ends with it", LIMIT, async () => {
    const { issuer, launch } = stage;
    const parent = await createAgent({ issuer, launchToken: await launch() });
    const key = createKey("EdDSA");
    const request: DelegationRequest = {
      delegateThumbprint: key.thumbprint,
      purpose: TASK.purpose,
      scope: ["read:candidates:J42"],
    };
    const delegation = JSON.parse(JSON.stringify(await createDelegation(parent, request)));
    const child = await createAgent({ delegation, key });
    assert.deepEqual(child.scope, ["read:candidates:J42"]);
    assert.ok(child.expiresAtMs <= parent.expiresAtMs);
    assert.equal(await statusOf(child), 200);
    const score = { method: "POST", body: '{"score":8}', headers: { "content-type": "application/json" } };
    assert.equal((await child.fetch(`${stage.g.url}${CANDIDATE}/score`, score)).status, 403);
    assert.equal((await parent.fetch(`${stage.g.url}${CANDIDATE}/score`, score)).status, 200);

    const grandchildKey = createKey();
    const narrower = { ...request, delegateThumbprint: grandchildKey.thumbprint };
    const grandchild = await createAgent({ delegation: await child.delegate(narrower), key: grandchildKey });
    assert.equal(await statusOf(grandchild), 200);
    await assert.rejects(child.delegate({ ...narrower, scope: ["write:scores:J42"] }), { code: "delegation_too_wide" });

    await parent.close();
    assert.equal(await statusOf(child), 401);
    assert.equal(await statusOf(grandchild), 401);
  });

  test("a delegation is of use to its own key alone", LIMIT, async () => {
    const { issuer, launch } = stage;
    const parent = await createAgent({ issuer, launchToken: await launch() });
    const key = createKey();
    const scope = ["read:candidates:J42"];
    const delegation = await parent.delegate({ delegateThumbprint: key.thumbprint, purpose: TASK.purpose, scope });
    await assert.rejects(createAgent({ delegation, key: createKey() }), { code: "delegate_mismatch" });
    await assert.rejects(createAgent({ delegation }), { code: "usage" });
    const changed = { ...delegation, record: delegation.record.replace(/.{8}$/, "AAAAAAAA") };
    await assert.rejects(createAgent({ delegation: changed, key }), { code: "record_invalid" });
    await (await createAgent({ delegation, key })).close();
    await parent.close();
  });
});
