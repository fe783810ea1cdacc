// H15: the name of a tool, and of an issuer, that resolves to another address from one moment to the next. The resolver is the
// system's own; only its table of hosts changes, where the gateway alone sees it. Both addresses lead to a tool that listens.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { prepareGateway } from "../fixtures/gateway-process.ts";
import { createOwnDisk, skipWithoutOwnDisk } from "../fixtures/own-disk.ts";
import { toolRoute } from "../fixtures/scripted-tool.ts";
import { type CallAnswer, ISSUER, portOf, readLines, TRUST_DOMAIN } from "../fixtures/test-gateway.ts";

const LIMIT = { timeout: 90_000 };
const GOOD = "127.0.0.1";
/** No configuration permits these, and both lead to this machine: the second one to a server of its own, where IPv6 is. */
const BADS = ["0.0.0.0", "::"];
const NAMES = "tool.rebind.test keys.rebind.test";
const FLIPS = 60;
/** Between looks at what only time brings: keys that grow old. */
const LOOK_MS = 50;

/** A server at `address`, and the connections that it got. */
async function serveAt(
  t: TestContext,
  address: string,
  port: number,
  answer: () => string,
): Promise<Server & { connections: number }> {
  const server = Object.assign(
    createServer((_request, response) => {
      // Every exchange resolves the name anew.
      response.writeHead(200, { "content-type": "application/json", connection: "close" }).end(answer());
    }),
    { connections: 0 },
  );
  server.on("connection", () => (server.connections += 1));
  server.listen(port, address);
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return server;
}

test("H15 a name that rebinds is refused at its next connection, and the address that was checked is the one connected to", {
  ...LIMIT,
  skip: skipWithoutOwnDisk(),
}, async (t) => {
  const disk = await createOwnDisk(
    "mount -t tmpfs -o size=64k none $1 && cp /etc/hosts $1/hosts && mount --bind $1/hosts /etc/hosts",
  );
  t.after(() => disk.close());
  const hosts = path.join(disk.outside, "hosts");
  const table = readFileSync(hosts, "utf8");
  const resolveTo = (...addresses: string[]): void =>
    writeFileSync(hosts, `${addresses.map((address) => `${address} ${NAMES}\n`).join("")}${table}`);

  let jwks = "";
  const tool = await serveAt(t, GOOD, 0, () => '{"ok":true}');
  const elsewhere = await serveAt(t, "::1", portOf(tool), () => '{"ok":"not the tool"}').catch(() => undefined);
  const [bad = "", elsewhereAt = bad] = elsewhere === undefined ? BADS.slice(0, 1) : BADS;
  const keys = await serveAt(t, GOOD, 0, () => jwks);
  const prepared = await prepareGateway(({ port }) => ({
    issuers: [
      {
        issuer: ISSUER,
        audience: [`http://127.0.0.1:${port}`],
        trust_domain: TRUST_DOMAIN,
        jwks: {
          url: `http://keys.rebind.test:${portOf(keys)}/jwks`,
          allow_private_addresses: true,
          cooldown_s: 1,
          max_age_s: 1,
        },
      },
    ],
    routes: [toolRoute("tool", `http://tool.rebind.test:${portOf(tool)}`)],
  }));
  t.after(() => prepared.close());
  const { g } = prepared;
  jwks = readFileSync(path.join(g.folder, "jwks.json"), "utf8");
  resolveTo(GOOD);
  const running = await prepared.start({ through: disk.through });
  const agent = await g.agent();
  const ask = (name: string): Promise<CallAnswer> => agent.call(`${g.url}/tool/${name}`);
  async function isRefused(name: string): Promise<void> {
    const before = tool.connections;
    const answer = await ask(name);
    assert.equal(answer.status, 502, name);
    assert.equal(tool.connections, before, "nobody was connected to");
    const file = path.join(running.data, "logs", "access.jsonl");
    for (;;) {
      const line = readLines(file).find((one) => one["request_id"] === answer.headers["x-cordon-request-id"]);
      if (line !== undefined) return assert.equal(line["reason"], "upstream.address_refused");
      await setTimeout(10);
    }
  }

  for (let round = 0; round < 3; round++) {
    assert.equal((await ask(`good-${round}`)).status, 200);
    resolveTo(bad);
    await isRefused(`rebound-${round}`);
    // One bad address among good ones is what a rebinding answer looks like: the good one is not picked out.
    resolveTo(GOOD, bad);
    await isRefused(`mixed-${round}`);
    resolveTo(elsewhereAt, GOOD);
    await isRefused(`mixed-other-${round}`);
    resolveTo(GOOD);
  }

  // The keys grow old and are asked for again; whoever stands at their address now is not even asked.
  resolveTo(bad);
  const fetches = keys.connections;
  while (!running.stderr().includes("the key set cannot be read: upstream.address_refused")) {
    const other = await g.agent();
    const known = await other.call(`${g.url}/tool/known-keys`);
    assert.equal(known.status, 502, "it was let in by the keys that are known, and its tool is refused");
    await setTimeout(LOOK_MS);
  }
  assert.equal(keys.connections, fetches);
  resolveTo(GOOD);

  // While exchanges are under way the answer changes all the time: each is either checked and reached, or refused.
  const connections = tool.connections;
  let flipping = true;
  const flips = (async () => {
    for (let flip = 0; ; flip++) {
      if (!flipping) return;
      resolveTo(flip % 2 === 0 ? elsewhereAt : GOOD);
      await setTimeout(1);
    }
  })();
  const answers = await Promise.all(Array.from({ length: FLIPS }, (_, n) => ask(`flip-${n}`)));
  flipping = false;
  await flips;
  const reached = answers.filter(({ status }) => status === 200).length;
  assert.ok(answers.every(({ status }) => status === 200 || status === 502));
  assert.equal(tool.connections - connections, reached, "whoever was refused connected to nobody");
  assert.equal(elsewhere?.connections ?? 0, 0, "nobody was led elsewhere");
  resolveTo(GOOD);
  assert.equal((await ask("good-again")).status, 200);
  await running.stop();
});
