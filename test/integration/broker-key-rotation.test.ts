// The issuer's keys turn while agents work: a real gateway that knows them by the published key set alone.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { decodeProtectedHeader, type JWK } from "jose";
import { createDpopFetch } from "../../src/agent/create-dpop-fetch.ts";
import { createKey } from "../../src/agent/create-key.ts";
import { fetchToken } from "../../src/agent/fetch-token.ts";
import { ensureQuickstartKeys, readKeyFile } from "../../src/agent/quickstart-keys.ts";
import { createSigningKey } from "../../src/broker/keys/signing-keys.ts";
import { freePort } from "../fixtures/free-port.ts";
import { CLIENT_ID, clientConfig } from "../fixtures/test-broker.ts";
import { startTestGateway } from "../fixtures/test-gateway.ts";

const PATH = "/ats/jobs/J42/candidates/C1";
const DAY_MS = 86_400_000;
/** Short, so that the key turns within the test; the gateway reads the key set anew in less. */
const OVERLAP_S = 3;

/** A gateway with its issuer, whose active key has signed for `ageDays`. */
async function start(t: TestContext, ageDays: number) {
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-rotation-"));
  const key = await createSigningKey("active", Date.now() - ageDays * DAY_MS);
  const file = path.join(folder, "data", "broker", "keys.json");
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const written = { ...key.jwk, state: key.state, since_ms: key.sinceMs };
  writeFileSync(file, JSON.stringify({ keys: [written] }), { mode: 0o600 });
  const [files] = ensureQuickstartKeys(path.join(folder, "clients"), [CLIENT_ID]);
  assert.ok(files);
  const brokerPort = await freePort();
  const issuer = `http://127.0.0.1:${brokerPort}`;
  const g = await startTestGateway(
    ({ port }) => ({
      issuers: [
        {
          issuer,
          audience: [`http://127.0.0.1:${port}`],
          trust_domain: "acme.example",
          jwks: { url: `${issuer}/jwks`, allow_private_addresses: true, cooldown_s: 1, max_age_s: 1 },
        },
      ],
      broker: {
        port: brokerPort,
        issuer,
        trust_domain: "acme.example",
        key_overlap_s: OVERLAP_S,
        clients: [clientConfig(files.publicFile)],
      },
    }),
    { folder },
  );
  t.after(async () => {
    await g.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const clientKey = readKeyFile(files.privateFile);
  return { g, issuer, firstKid: key.kid, clientKey };
}

test("the key turns on its schedule under traffic: no request is refused, and tokens of both keys are good", async (t) => {
  const { g, issuer, firstKid, clientKey } = await start(t, 31);
  const published = async () => ((await (await fetch(`${issuer}/jwks`)).json()) as { keys: JWK[] }).keys;
  const work = async () => {
    const key = createKey();
    const { accessToken } = await fetchToken({ issuer, clientId: CLIENT_ID, clientKey, key, resource: g.url });
    const call = createDpopFetch({ getToken: () => accessToken, key });
    const response = await call(g.url + PATH);
    assert.equal(response.status, 200, await response.text());
    return { kid: decodeProtectedHeader(accessToken).kid, call };
  };

  const before = await work();
  assert.equal(before.kid, firstKid);
  // It was due, so that its successor is published, and signs nothing yet.
  assert.equal((await published()).length, 2);
  let last = before;
  while (last.kid === firstKid) {
    last = await work();
    assert.equal((await before.call(g.url + PATH)).status, 200);
  }
  for (let count = 0; count < 20; count++) {
    assert.equal((await work()).kid, last.kid);
    assert.equal((await before.call(g.url + PATH)).status, 200);
  }
  assert.deepEqual(
    (await published()).map(({ kid }) => kid),
    [firstKid, last.kid],
  );
  assert.ok(g.log.some((line) => line.includes(`${last.kid} signs`)));
  // Neither key's private half is in a log.
  const file = path.join(g.folder, "data", "broker", "keys.json");
  const { keys } = JSON.parse(readFileSync(file, "utf8")) as { keys: { d: string }[] };
  for (const { d } of keys) assert.ok(!g.log.join("").includes(d));
});
