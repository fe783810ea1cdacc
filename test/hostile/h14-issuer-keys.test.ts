// H14: an issuer whose key set is down, slow, rotated or asked for keys that nobody has.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { generateProof } from "dpop";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { startScriptedTool } from "../fixtures/scripted-tool.ts";
import {
  call,
  type CallAnswer,
  ISSUER,
  startTestGateway,
  type TestAgent,
  type TestGateway,
  TRUST_DOMAIN,
} from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 30_000 };
const PATH = "/ats/jobs/J42/candidates/C1";
const TIMEOUT_MS = 1000;
/** Between looks at what only time brings: the end of a cool-down. */
const LOOK_MS = 50;

/** An issuer's key server, and a gateway that reads its keys from there. */
interface Keys {
  readonly g: TestGateway;
  fetches: number;
  published: object;
  state: "up" | "down" | "failing" | "silent" | "slow";
  /** Answers whoever waits for a slow key set. */
  release: () => void;
}

async function start(
  t: TestContext,
  times: { cooldown_s: number; max_age_s: number; timeout_ms?: number },
  state: Keys["state"] = "up",
  threads = 1,
): Promise<Keys> {
  const issuer = await startScriptedTool();
  const g = await startTestGateway(({ port }) => ({
    threads,
    issuers: [
      {
        issuer: ISSUER,
        audience: [`http://127.0.0.1:${port}`],
        trust_domain: TRUST_DOMAIN,
        jwks: { url: `${issuer.url}/jwks`, allow_private_addresses: true, timeout_ms: TIMEOUT_MS, ...times },
      },
    ],
  }));
  t.after(async () => {
    await g.close();
    await issuer.close();
  });
  const published = JSON.parse(readFileSync(path.join(g.folder, "jwks.json"), "utf8")) as object;
  const held: (() => void)[] = [];
  const keys: Keys = {
    g,
    fetches: 0,
    published,
    state,
    release() {
      for (const answer of held.splice(0)) answer();
    },
  };
  issuer.handle = (request, response) => {
    keys.fetches += 1;
    if (keys.state === "up") response.end(JSON.stringify(keys.published));
    else if (keys.state === "slow") held.push(() => response.end(JSON.stringify(keys.published)));
    else if (keys.state === "down") request.socket.destroy();
    else if (keys.state === "failing") response.writeHead(500).end("no keys today");
  };
  return keys;
}

/** The agent's key proves another token: the same claims under another header and signature. */
async function callWith(g: TestGateway, agent: TestAgent, token: string): Promise<CallAnswer> {
  const dpop = await generateProof(agent.keys, g.url + PATH, "GET", undefined, token);
  return call(g.url + PATH, { headers: { authorization: `DPoP ${token}`, dpop } });
}

const claimsOf = (agent: TestAgent): Record<string, unknown> =>
  JSON.parse(Buffer.from(agent.token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;

function forged(agent: TestAgent, kid: string): string {
  const header = Buffer.from(JSON.stringify({ alg: "ES256", typ: "at+jwt", kid })).toString("base64url");
  return `${header}.${agent.token.split(".")[1]}.${randomBytes(64).toString("base64url")}`;
}

async function reasonOf(g: TestGateway, answer: CallAnswer): Promise<unknown> {
  const id = answer.json<{ request_id: string }>().request_id;
  const lines = await g.lines("access", (line) => line["request_id"] === id);
  return lines.find((line) => line["request_id"] === id)?.["reason"];
}

/** Calls until the answer has another status. */
async function statusAfter(status: number, ask: () => Promise<CallAnswer>): Promise<number> {
  for (;;) {
    const answer = await ask();
    if (answer.status !== status) return answer.status;
    await setTimeout(LOOK_MS);
  }
}

describe("H14 an issuer's keys by URL", { concurrency: true }, () => {
  for (const state of ["down", "failing", "silent"] as const) {
    test(`H14 a key set that is ${state} from the start is 503, asked once, and heals by itself`, LIMIT, async (t) => {
      const keys = await start(t, { cooldown_s: 1, max_age_s: 300 }, state);
      const { g } = keys;
      const agent = await g.agent();
      const refused = await Promise.all(Array.from({ length: 5 }, () => agent.call(g.url + PATH)));
      assert.deepEqual(new Set(refused.map((answer) => answer.status)), new Set([503]));
      assert.equal(keys.fetches, 1, "one fetch serves all who wait");
      assert.equal(await reasonOf(g, refused[0] ?? assert.fail()), "token.keys_unavailable");
      assert.equal(g.tool.seen.length, 0);
      keys.state = "up";
      assert.equal(await statusAfter(503, () => agent.call(g.url + PATH)), 200);
      assert.equal(keys.fetches, 2, "one more, after the cool-down");
    });
  }

  test("H14 known keys keep working while the key set is down, and then slow", LIMIT, async (t) => {
    const keys = await start(t, { cooldown_s: 1, max_age_s: 1 });
    const { g } = keys;
    const agent = await g.agent();
    assert.equal((await agent.call(g.url + PATH)).status, 200);
    for (const state of ["down", "silent"] as const) {
      keys.state = state;
      const before = keys.fetches;
      const both = async (): Promise<void> => {
        const startedAt = performance.now();
        const fresh = await g.agent();
        assert.equal((await fresh.call(g.url + PATH)).status, 200, "a token that was never seen");
        assert.equal((await agent.call(g.url + PATH)).status, 200, "a token that is known");
        assert.ok(performance.now() - startedAt < TIMEOUT_MS, "the key set holds no call up");
      };
      // The keys grow old, and are asked for in the background: nobody waits, nobody is refused.
      while (keys.fetches === before) {
        await both();
        await setTimeout(LOOK_MS);
      }
      await both();
    }
  });

  test("H14 a key set that takes its time serves all who waited for it, and holds up nobody else", LIMIT, async (t) => {
    const keys = await start(t, { cooldown_s: 1, max_age_s: 1, timeout_ms: 20_000 }, "slow");
    const { g } = keys;
    const agent = await g.agent();
    const waiting = Array.from({ length: 5 }, () => agent.call(g.url + PATH));
    while (keys.fetches === 0) await setTimeout(LOOK_MS);
    assert.equal(g.tool.seen.length, 0);
    keys.release();
    assert.deepEqual(new Set((await Promise.all(waiting)).map((answer) => answer.status)), new Set([200]));
    assert.equal(keys.fetches, 1);
    // Known by now: the next fetch is as slow, and nobody waits for it.
    while (keys.fetches === 1) {
      assert.equal((await agent.call(g.url + PATH)).status, 200);
      await setTimeout(LOOK_MS);
    }
    assert.equal((await (await g.agent()).call(g.url + PATH)).status, 200);
    keys.release();
  });

  test(
    "H14 a flood of random kid makes one fetch for each thread, and known keys keep working on both",
    LIMIT,
    async (t) => {
      const threads = 2;
      const keys = await start(t, { cooldown_s: 30, max_age_s: 300 }, "up", threads);
      const { g } = keys;
      const agent = await g.agent();
      // Connections of their own: the kernel gives some of them to each thread.
      for (let wave = 0; wave < 3; wave++) {
        const flood = Array.from({ length: 50 }, () => callWith(g, agent, forged(agent, randomUUID())));
        assert.deepEqual(new Set((await Promise.all(flood)).map((answer) => answer.status)), new Set([401]));
      }
      const served = await Promise.all(Array.from({ length: 24 }, () => agent.call(g.url + PATH)));
      assert.deepEqual(new Set(served.map((answer) => answer.status)), new Set([200]));
      assert.ok(keys.fetches <= threads, `${keys.fetches} fetches`);
    },
  );

  test("H14 a new key works after the cool-down, and a key that is gone ends its tokens", LIMIT, async (t) => {
    const keys = await start(t, { cooldown_s: 1, max_age_s: 1 });
    const { g } = keys;
    const agent = await g.agent();
    assert.equal((await agent.call(g.url + PATH)).status, 200);
    const next = await generateKeyPair("ES256", { extractable: true });
    const token = await new SignJWT({ ...claimsOf(agent), jti: randomUUID() })
      .setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: "k2" })
      .sign(next.privateKey);
    const early = await callWith(g, agent, token);
    assert.equal(early.status, 401);
    assert.equal(await reasonOf(g, early), "token.key_unknown");
    keys.published = { keys: [{ ...(await exportJWK(next.publicKey)), kid: "k2", alg: "ES256", use: "sig" }] };
    assert.equal(await statusAfter(401, () => callWith(g, agent, token)), 200);
    const taken = await agent.call(g.url + PATH);
    assert.equal(taken.status, 401, "its token was known, but its key has left the set");
    assert.equal(await reasonOf(g, taken), "token.key_unknown");
  });

  test("H14 a flood of random kid makes one fetch in a cool-down, and known keys keep working", LIMIT, async (t) => {
    const keys = await start(t, { cooldown_s: 30, max_age_s: 300 });
    const { g } = keys;
    const agent = await g.agent();
    assert.equal((await agent.call(g.url + PATH)).status, 200);
    const flood = Array.from({ length: 100 }, () => callWith(g, agent, forged(agent, randomUUID())));
    const honest = Array.from({ length: 5 }, async () => (await g.agent()).call(g.url + PATH));
    const [refused, served] = [await Promise.all(flood), await Promise.all(honest)];
    assert.deepEqual(new Set(refused.map((answer) => answer.status)), new Set([401]));
    assert.deepEqual(new Set(served.map((answer) => answer.status)), new Set([200]));
    assert.equal(keys.fetches, 1, "the first call's own");
  });

  test("H14 a flood before the first good call makes one fetch, which serves the good call", LIMIT, async (t) => {
    const keys = await start(t, { cooldown_s: 30, max_age_s: 300 });
    const { g } = keys;
    const agent = await g.agent();
    const flood = Array.from({ length: 20 }, () => callWith(g, agent, forged(agent, `../${randomUUID()}`)));
    assert.deepEqual(new Set((await Promise.all(flood)).map((answer) => answer.status)), new Set([401]));
    assert.equal((await agent.call(g.url + PATH)).status, 200);
    assert.equal(keys.fetches, 1);
  });

  test("H14 a document that is no key set changes nothing: known keys keep working", LIMIT, async (t) => {
    const keys = await start(t, { cooldown_s: 1, max_age_s: 1 });
    const { g } = keys;
    const agent = await g.agent();
    assert.equal((await agent.call(g.url + PATH)).status, 200);
    keys.published = { keys: "none" };
    while (keys.fetches < 2) {
      assert.equal((await agent.call(g.url + PATH)).status, 200);
      await setTimeout(LOOK_MS);
    }
    const fresh = await g.agent();
    assert.equal((await fresh.call(g.url + PATH)).status, 200);
  });
});
