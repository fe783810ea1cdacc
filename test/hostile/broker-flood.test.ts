// 10,000 spawns at once: every one is answered, the instances are distinct, and the issuer serves on.
import assert from "node:assert/strict";
import { Agent, type ClientRequest, request as httpRequest } from "node:http";
import { test } from "node:test";
import { createLaunchToken, hashOfLaunchToken } from "../../src/broker/state/launches.ts";
import { openState } from "../../src/broker/state/open-state.ts";
import {
  APPLICATION,
  claimsOf,
  EXCHANGE_GRANT,
  LAUNCH_TOKEN,
  startAgentBroker,
  TASK_ID,
} from "../fixtures/agent-broker.ts";
import { NO_PROVENANCE } from "../fixtures/hiring-claims.ts";
import { createDpopProof } from "../../src/agent/create-dpop-proof.ts";
import { type AgentKey, createKey } from "../../src/agent/create-key.ts";

const SPAWNS = 10_000;
/** As many connections as the issuer takes from one address, from several addresses. */
const ADDRESSES = 4;
const CONNECTIONS = 200;
/** Below the number of requests that the issuer has in hand before it asks to come back. */
const CALM = 64;

interface Waiting {
  readonly launched: string;
  readonly key: AgentKey;
}

test("10,000 spawns at once are all answered, each with its own instance or with a clean refusal", async (t) => {
  const issuer = await startAgentBroker(t);
  const launch = {
    orchestration: "hiring",
    task: "rank-j42",
    purpose: "",
    principal: { type: "user", id: "alice", issuer: issuer.issuer, attributes: {} },
    provenance: NO_PROVENANCE,
    session: { id: "s", root_request: "r", initiator: { type: "user", id: "alice" } },
    grant: { scope: ["read:candidates:J42"], details: [], constraints: { region: "eu" } },
    ttl_s: 300,
    lifetime_s: 3600,
    renewals_max: 0,
    depth_max: 0,
  };
  // The launches are put straight into the database, with an end beyond this test's: it is about the spawns.
  const state = openState(issuer.dataFolder, Date.now);
  const waiting = await state.commit.run(() =>
    Array.from({ length: SPAWNS }, (): Waiting => {
      const launched = createLaunchToken(APPLICATION);
      state.launches.add(hashOfLaunchToken(launched), APPLICATION, launch, Date.now() + 600_000);
      return { launched, key: createKey() };
    }),
  );
  await state.close();
  await issuer.spawn(); // a nonce is there from here on
  const nonce = (
    await issuer.post(
      { client_id: `${APPLICATION}.agents`, grant_type: EXCHANGE_GRANT },
      {
        dpop: createDpopProof({ key: createKey(), method: "POST", url: `${issuer.issuer}/token` }),
      },
    )
  ).headers.get("dpop-nonce");
  assert.ok(nonce !== null);
  const agents = Array.from({ length: ADDRESSES }, () => new Agent({ keepAlive: true, maxSockets: CONNECTIONS }));
  t.after(() => {
    for (const agent of agents) agent.destroy();
  });

  function spawn(
    { launched, key }: Waiting,
    index: number,
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    const url = `${issuer.issuer}/token`;
    const body = new URLSearchParams({
      grant_type: EXCHANGE_GRANT,
      client_id: `${APPLICATION}.agents`,
      subject_token: launched,
      subject_token_type: LAUNCH_TOKEN,
    }).toString();
    const place = index % ADDRESSES;
    return new Promise((resolve, reject) => {
      const request: ClientRequest = httpRequest(
        url,
        {
          method: "POST",
          agent: agents[place],
          localAddress: `127.0.0.${place + 1}`,
          headers: { "content-type": "application/x-www-form-urlencoded", "content-length": body.length },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () => {
            const text = Buffer.concat(chunks).toString();
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Record<string, unknown> });
          });
          response.on("error", reject);
        },
      );
      request.on("error", reject);
      // With its connection, and not before: thousands wait for theirs, and a proof is good for a minute at most.
      request.on("socket", () => {
        request.setHeader("dpop", createDpopProof({ key, method: "POST", url, nonce: nonce as string }));
        request.end(body);
      });
    });
  }

  const instances = new Set<string>();
  const take = ({ status, body }: Awaited<ReturnType<typeof spawn>>, one: Waiting): boolean => {
    if (status === 503) {
      assert.equal(body["code"], "temporarily_unavailable");
      return false;
    }
    assert.equal(status, 200, JSON.stringify(body));
    const { sub } = claimsOf(String(body["access_token"]));
    assert.equal(sub, `${TASK_ID}/${one.key.thumbprint}`);
    instances.add(sub);
    return true;
  };

  const first = await Promise.all(waiting.map(async (one, index) => take(await spawn(one, index), one)));
  assert.ok(first.some(Boolean), "some are served at once");
  // The others come back as they were asked to, a few at a time; none of their launch tokens was spent.
  const rest = waiting.filter((_, index) => first[index] === false).values();
  const calm = async (place: number): Promise<void> => {
    for (const one of rest) assert.ok(take(await spawn(one, place), one));
  };
  await Promise.all(Array.from({ length: CALM }, (_, place) => calm(place)));
  assert.equal(instances.size, SPAWNS);
  await issuer.spawn();
});
