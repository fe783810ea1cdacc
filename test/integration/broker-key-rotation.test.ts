// The issuer's keys turn while agents work: a real gateway that knows them by the published key set alone.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { decodeProtectedHeader, type JWK } from "jose";
import { createDpopFetch } from "../../src/agent/create-dpop-fetch.ts";
import { createKey } from "../../src/agent/create-key.ts";
import { fetchToken } from "../../src/agent/fetch-token.ts";
import { startIssuingGateway } from "../fixtures/issuing-gateway.ts";
import { CLIENT_ID } from "../fixtures/test-broker.ts";

const PATH = "/ats/jobs/J42/candidates/C1";

test("the key turns on its schedule under traffic: no request is refused, and tokens of both keys are good", async (t) => {
  const { g, issuer, firstKid, clientKey } = await startIssuingGateway(t, { keyAgeDays: 31 });
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
