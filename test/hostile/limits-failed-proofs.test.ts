// Proofs that fail after a signature was verified: each peer may cost so many, and who was proven here is not locked out.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { generateProof } from "dpop";
import { call, type CallAnswer, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 30_000 };
const PATH = "/ats/jobs/J42/candidates/C1";
/** A minute: one comes back each second. */
const FAILURES_MAX = 60;
const OTHER_PEER = "127.0.0.2";
const ONLY_LINUX = process.platform === "linux" ? false : "only Linux has all of 127.0.0.0/8 as its own";

describe("H14 failed proofs of one peer", () => {
  let g: TestGateway;
  let proven: TestAgent;
  before(async () => {
    g = await startTestGateway({ limits: { failed_proofs_per_peer_max: FAILURES_MAX } });
    proven = await g.agent();
    assert.equal((await proven.call(g.url + PATH)).status, 200);
  });
  after(() => g.close());

  async function reasonOf(answer: CallAnswer): Promise<unknown> {
    const id = answer.json<{ request_id: string }>().request_id;
    const isIt = (line: Record<string, unknown>): boolean => line["request_id"] === id;
    return (await g.lines("access", isIt)).find(isIt)?.["reason"];
  }
  /** The token of `agent` with a signature that the issuer never made. */
  function forge(agent: TestAgent): string {
    const [header, payload] = agent.token.split(".");
    return `${header}.${payload}.${randomBytes(64).toString("base64url")}`;
  }
  /** Everything but the issuer's signature is right: a key of its own, and a fresh proof by it. */
  async function callForged(stranger: TestAgent): Promise<CallAnswer> {
    const token = forge(stranger);
    const dpop = await generateProof(stranger.keys, g.url + PATH, "GET", undefined, token);
    return call(g.url + PATH, { headers: { authorization: `DPoP ${token}`, dpop } });
  }
  /** Fails until the peer has nothing left. */
  async function useUp(): Promise<CallAnswer> {
    const stranger = await g.agent();
    for (;;) {
      const answer = await callForged(stranger);
      if (answer.status !== 401) return answer;
    }
  }

  test("H14 garbage that needs no signature to be refused stays 401, however much of it comes", LIMIT, async () => {
    for (let sent = 0; sent < FAILURES_MAX * 3; sent += 3) {
      const answers = [
        await call(g.url + PATH),
        await call(g.url + PATH, { headers: { authorization: "DPoP garbage", dpop: "garbage" } }),
        await call(g.url + PATH, { headers: { authorization: `DPoP ${proven.token}`, dpop: "a.b.c" } }),
      ];
      assert.deepEqual(
        answers.map(({ status }) => status),
        [401, 401, 401],
      );
    }
    assert.equal((await (await g.agent()).call(g.url + PATH)).status, 200, "a caller that was never seen");
  });

  test(
    "H14 beyond the limit a token with a good signature is 429, for its signature is not looked at",
    LIMIT,
    async () => {
      const refused = await useUp();
      assert.equal(refused.status, 429);
      assert.equal(refused.headers["retry-after"], "1");
      assert.equal(refused.json()["code"], "too_many_failures");
      assert.equal(await reasonOf(refused), "proof.peer_failures");
      for (;;) {
        await useUp();
        const genuine = await (await g.agent()).call(g.url + PATH);
        // In the moment between the two calls one may have come back.
        if (genuine.status === 429) break;
        assert.equal(genuine.status, 200);
      }
    },
  );

  test("H14 whoever was proven from there before is served meanwhile, with a new token too", LIMIT, async () => {
    await useUp();
    g.tool.seen.length = 0;
    assert.equal((await proven.call(g.url + PATH)).status, 200);
    const renewed = await g.agent({ keys: proven.keys });
    assert.notEqual(renewed.token, proven.token);
    assert.equal((await renewed.call(g.url + PATH)).status, 200);
    assert.equal(g.tool.seen.length, 2);
  });

  test("H14 a key that was only shown, and never signed, is not known", LIMIT, async () => {
    const stranger = await g.agent();
    await useUp();
    const answer = await callForged(stranger);
    assert.ok([401, 429].includes(answer.status));
    await useUp();
    assert.equal((await callForged(stranger)).status, 429);
  });

  test("H14 a new caller at another address is served meanwhile", { ...LIMIT, skip: ONLY_LINUX }, async () => {
    await useUp();
    const stranger = await g.agent();
    const headers = await stranger.headers(g.url + PATH);
    assert.equal((await call(g.url + PATH, { headers, localAddress: OTHER_PEER })).status, 200);
  });

  test("H14 forged proofs of a known token never lock its agent out", LIMIT, async () => {
    for (let sent = 0; sent < FAILURES_MAX + 10; sent++) {
      const { authorization, dpop } = await proven.headers(g.url + PATH);
      const forged = `${dpop.slice(0, dpop.lastIndexOf(".") + 1)}${randomBytes(64).toString("base64url")}`;
      const answer = await call(g.url + PATH, { headers: { authorization, dpop: forged } });
      assert.equal(answer.status, 401);
    }
    assert.equal((await proven.call(g.url + PATH)).status, 200);
  });

  test("H14 what was used up comes back by itself", LIMIT, async () => {
    await useUp();
    let answer: CallAnswer;
    do answer = await (await g.agent()).call(g.url + PATH);
    while (answer.status === 429);
    assert.equal(answer.status, 200);
  });
});

test("H14 a thread knows as many proof keys as tokens: who was pushed out of both is new again", LIMIT, async () => {
  const g = await startTestGateway({ limits: { failed_proofs_per_peer_max: 1, token_cache_entries: 1 } });
  try {
    const [first, second] = [await g.agent(), await g.agent()];
    const statusOf = async (agent: TestAgent) => (await agent.call(g.url + PATH)).status;
    assert.deepEqual([await statusOf(first), await statusOf(second)], [200, 200]);
    const { authorization, dpop } = await second.headers(g.url + PATH);
    const forged = `${dpop.slice(0, dpop.lastIndexOf(".") + 1)}${randomBytes(64).toString("base64url")}`;
    assert.equal((await call(g.url + PATH, { headers: { authorization, dpop: forged } })).status, 401);
    assert.deepEqual([await statusOf(second), await statusOf(first)], [200, 429]);
  } finally {
    await g.close();
  }
});
