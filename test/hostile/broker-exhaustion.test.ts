// Who has no credential, or that of one agent, tries to use up what the issuer has for everyone: places, memory, disk, time.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  APPLICATION,
  type Answer,
  EXCHANGE_GRANT,
  LAUNCH_TOKEN,
  makeRecord,
  RECORD,
  ACCESS_TOKEN,
  type Spawned,
  startAgentBroker,
} from "../fixtures/agent-broker.ts";
import { openState } from "../../src/broker/state/open-state.ts";
import type { StoredAgent } from "../../src/broker/state/agents.ts";
import { makeKey } from "../unit/token/token-fixtures.ts";
import { openRaw, rawRequest } from "./raw-client.ts";

const LIMIT = { timeout: 60_000 };
/** src/broker/create-broker-server.ts: as many requests as it has in hand. */
const TOKEN_REQUESTS_MAX = 128;
/** src/broker/grants/delegated-spawn.ts */
const CHAIN_AGENTS_MAX = 1000;
/** The life of a token, and what the issuer waits beyond it (src/broker/state/agents.ts). */
const TOKEN_MS = 300_000;
const RETENTION_MS = 120_000;

test("bodies that are announced and never sent take no place from anyone", LIMIT, async (t) => {
  const issuer = await startAgentBroker(t);
  const head = rawRequest("POST /token HTTP/1.1", [
    `Host: ${new URL(issuer.issuer).host}`,
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Length: 100",
  ]);
  const silent = await Promise.all(Array.from({ length: TOKEN_REQUESTS_MAX + 20 }, () => openRaw(issuer.issuer)));
  t.after(() => {
    for (const connection of silent) connection.destroy();
  });
  // All but the last byte of the body for some of them, nothing of it for the others.
  for (const [index, { write }] of silent.entries()) write(`${head}${index % 2 === 0 ? "" : "a".repeat(99)}`);
  // Asked more than once: by the second time what was written before has surely been read.
  for (let round = 0; round < 3; round++) {
    const { status, body } = await issuer.requestLaunch();
    assert.equal(status, 200, JSON.stringify(body));
  }
  await issuer.spawn();
});

test(
  "a proof beside nothing of this issuer's is not remembered: who has no credential fills no memory",
  LIMIT,
  async (t) => {
    const issuer = await startAgentBroker(t);
    const root = await issuer.spawn();
    const stranger = makeKey("ES256");
    const foreign: readonly (readonly [type: string, token: string, code: string])[] = [
      [LAUNCH_TOKEN, `${APPLICATION}.${"A".repeat(43)}`, "launch_token_unknown"],
      [ACCESS_TOKEN, `${root.token.slice(0, -8)}AAAAAAAA`, "token_invalid"],
      [RECORD, makeRecord(root, stranger, {}, stranger), "record_invalid"],
      [RECORD, "e30.e30.AA", "record_invalid"],
    ];
    for (const [type, token, code] of foreign) {
      const dpop = await issuer.proof(stranger);
      const form = {
        grant_type: EXCHANGE_GRANT,
        client_id: `${APPLICATION}.agents`,
        subject_token: token,
        subject_token_type: type,
      };
      for (const time of ["first", "second"]) {
        const { body } = await issuer.post(form, { dpop });
        assert.equal(body["code"], code, `${type}, the ${time} time`);
      }
    }
    // Beside what is known it is used up, whatever becomes of the request.
    const launched = await issuer.launch();
    const dpop = await issuer.proof(stranger);
    const form = { grant_type: EXCHANGE_GRANT, client_id: `${APPLICATION}.agents`, subject_token_type: LAUNCH_TOKEN };
    const codes: unknown[] = [];
    for (const scope of ["read:jobs:J42", undefined]) {
      codes.push((await issuer.post({ ...form, subject_token: launched, scope }, { dpop })).body["code"]);
    }
    assert.deepEqual(codes, ["scope_wider", "invalid_grant"]);
  },
);

test(
  "an agent makes no more than a thousand delegates in its chain, and ends with them in a moment",
  LIMIT,
  async (t) => {
    const issuer = await startAgentBroker(t);
    const root = await issuer.spawn();
    const bystander = await issuer.spawn();
    const other = await issuer.delegate(root);
    // All but one of the others are put straight into the database: the test is about what comes after them.
    const state = openState(issuer.dataFolder, Date.now);
    const like = state.agents.find(other.id);
    assert.ok(like);
    await state.commit.run(() => {
      for (let made = 2; made < CHAIN_AGENTS_MAX - 1; made++) addLike(like, made);
    });
    await state.close();
    function addLike(agent: StoredAgent, number: number): void {
      const token = { jti: `jti-${number}`, issuedMs: Date.now(), expiresMs: agent.tokenExpiresMs };
      state.agents.add({ ...agent, id: agent.id.replace(/[^/]+$/, String(number).padStart(43, "0")) }, token);
    }
    const last = await issuer.delegate(root);
    assert.equal((await askDelegate(root)).body["code"], "chain_full");
    assert.equal((await askDelegate(last)).body["code"], "chain_full", "nor does a delegate make more");

    const startedMs = performance.now();
    const released = await issuer.release(root);
    // With a look through the whole chain for each of them it was five seconds in which nobody was served.
    assert.ok(performance.now() - startedMs < 2500, "the issuer was held up");
    assert.equal(released.status, 204);
    assert.equal((await issuer.renew(other)).body["code"], "agent_ended");
    await issuer.delegate(bystander);

    async function askDelegate(parent: Spawned): Promise<Answer> {
      const key = makeKey("ES256");
      return issuer.requestDelegate(makeRecord(parent, key), key);
    }
  },
);

test(
  "an application has no more agents at once than it may, and who ended counts until the token would have",
  LIMIT,
  async (t) => {
    const issuer = await startAgentBroker(t, { application: { agents_max: 3 } });
    const root = await issuer.spawn();
    await issuer.delegate(root);
    const third = await issuer.spawn();
    const another = async () => (await issuer.requestSpawn(await issuer.launch(), makeKey("ES256"))).body["code"];
    assert.equal(await another(), "application_full");
    const key = makeKey("ES256");
    assert.equal((await issuer.requestDelegate(makeRecord(root, key), key)).body["code"], "application_full");
    assert.equal((await issuer.release(third)).status, 204);
    assert.equal(await another(), "application_full", "a gateway has to remember the one that ended");
    await issuer.restart(TOKEN_MS + RETENTION_MS);
    await issuer.spawn();
  },
);
