// An issuer whose key set is read from a URL: the operator reads in the log when it cannot be, once, and when it can.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { test } from "node:test";
import { ISSUER, portOf, startTestGateway, TRUST_DOMAIN } from "../fixtures/test-gateway.ts";

const PATH = "/ats/jobs/J42/candidates/C1";

test("H14 a key set that cannot be read is warned of once, and so is the moment when it can be read again", async () => {
  let document: string | undefined;
  const seen = { fetches: 0 };
  const server = createServer((_request, response) => {
    seen.fetches++;
    if (document === undefined) response.writeHead(503).end();
    else response.end(document);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const jwks = { url: `http://127.0.0.1:${portOf(server)}/jwks`, allow_private_addresses: true, cooldown_s: 1 };
  const g = await startTestGateway(({ port }) => ({
    threads: 1,
    issuers: [{ issuer: ISSUER, audience: [`http://127.0.0.1:${port}`], trust_domain: TRUST_DOMAIN, jwks }],
  }));
  const warned = (text: string): string[] => g.log.filter((line) => line.includes("keys of") && line.includes(text));
  try {
    const agent = await g.agent();
    // Two failures: a further fetch is made once the cool-down is over.
    while (seen.fetches < 2) assert.notEqual((await agent.call(g.url + PATH)).status, 200);
    document = readFileSync(path.join(g.folder, "jwks.json"), "utf8");
    while (warned("can be read again").length === 0) await agent.call(g.url + PATH);
    assert.equal((await agent.call(g.url + PATH)).status, 200);
    assert.equal(warned("answered with status 503").length, 1, g.log.join("\n"));
    assert.equal(warned("can be read again").length, 1, g.log.join("\n"));
  } finally {
    await g.close();
    server.close();
  }
});
