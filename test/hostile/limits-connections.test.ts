// Connections beyond a limit: closed at once, counted, told in one line, and other peers notice nothing (H18).
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, type TestContext, test } from "node:test";
import { issueCertificate, makeCa } from "../fixtures/certificates.ts";
import { freePort } from "../../examples/demo/free-ports.ts";
import { startTestBroker } from "../fixtures/test-broker.ts";
import { call, startTestGateway, type TestGateway } from "../fixtures/test-gateway.ts";
import { askRaw, hostOf, rawRequest } from "./raw-client.ts";

const LIMIT = { timeout: 30_000 };
const PER_PEER_MAX = 5;
const PEER = "127.0.0.1";
const OTHER_PEER = "127.0.0.2";
/** src/broker/create-broker-server.ts. */
const BROKER_PER_PEER_MAX = 250;
const DRAIN_MS = 20_000;
const ONLY_LINUX = process.platform === "linux" ? false : "only Linux has all of 127.0.0.0/8 as its own";

/** A connection that says nothing. `closed` resolves when the other side has ended it. */
async function open(url: string, localAddress = PEER): Promise<{ socket: Socket; closed: Promise<void> }> {
  const { hostname: host, port } = new URL(url);
  const socket = connect({ host, port: Number(port), localAddress }).resume();
  socket.on("error", () => socket.destroy());
  const connected = new Promise<void>((resolve) => socket.once("connect", resolve));
  const closed = new Promise<void>((resolve) => socket.once("end", resolve).once("close", () => resolve()));
  await Promise.race([connected, closed]);
  return { socket, closed };
}

/** True where the gateway serves one more connection from there; it is closed again. */
async function isServed(url: string, localAddress: string): Promise<boolean> {
  const { socket, closed } = await open(url, localAddress);
  // A reset is a refusal too: `once` rejects with its error.
  const answered = once(socket, "data").then(
    () => true,
    () => false,
  );
  socket.write(rawRequest("GET /is-served HTTP/1.1", [`Host: ${hostOf(url)}`]));
  const served = await Promise.race([answered, closed.then(() => false)]);
  socket.destroy();
  return served;
}

async function refusedBy(g: TestGateway, limit: string): Promise<number> {
  const { text } = await call(`${g.control}/metrics`);
  return Number(
    new RegExp(`^cordon_connections_refused_total\\{limit="${limit}"\\} (\\d+)$`, "m").exec(text)?.[1] ?? 0,
  );
}

const refusedLines = (g: TestGateway): Record<string, unknown>[] =>
  g.log
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ message }) => message === "a connection was refused");

/** Opens as many as one peer may hold; they are closed with the test. */
async function holdAll(t: TestContext, url: string, count: number): Promise<Socket[]> {
  const held = await Promise.all(Array.from({ length: count }, () => open(url)));
  t.after(() => held.forEach(({ socket }) => socket.destroy()));
  return held.map(({ socket }) => socket);
}

describe("H18 connections of one peer", () => {
  let g: TestGateway;
  before(async () => {
    g = await startTestGateway({ limits: { connections_per_peer_max: PER_PEER_MAX } });
  });
  after(() => g.close());

  test(
    "H18 one connection more than a peer may hold is closed at once, and a place that is free is used again",
    LIMIT,
    async (t) => {
      const held = await holdAll(t, g.url, PER_PEER_MAX);
      const before = await refusedBy(g, "connections_per_peer_max");
      for (let more = 0; more < 20; more++) await (await open(g.url)).closed;
      assert.equal(await refusedBy(g, "connections_per_peer_max"), before + 20);
      assert.equal(held.filter((socket) => socket.destroyed || socket.readableEnded).length, 0, "the others stay");
      held[0]?.destroy();
      while (!(await isServed(g.url, PEER)));
    },
  );

  test("H18 another peer is served while one holds all it may", { ...LIMIT, skip: ONLY_LINUX }, async (t) => {
    await holdAll(t, g.url, PER_PEER_MAX);
    await (await open(g.url)).closed;
    assert.equal(await isServed(g.url, OTHER_PEER), true);
  });

  test(
    "H18 a thousand refused connections are one line in the service log, none in the access log",
    LIMIT,
    async (t) => {
      const quiet = await startTestGateway({ limits: { connections_per_peer_max: 1 } });
      t.after(() => quiet.close());
      const [held] = await holdAll(t, quiet.url, 1);
      for (let round = 0; round < 20; round++) {
        await Promise.all(Array.from({ length: 50 }, async () => (await open(quiet.url)).closed));
      }
      assert.equal(await refusedBy(quiet, "connections_per_peer_max"), 1000);
      const lines = refusedLines(quiet);
      assert.ok(lines.length >= 1 && lines.length <= 3, `${lines.length} lines`);
      assert.deepEqual(
        [lines[0]?.["listener"], lines[0]?.["limit"], lines[0]?.["source_ip"], lines[0]?.["refused_before"]],
        ["traffic", "limits.connections_per_peer_max", PEER, "0"],
      );
      held?.destroy();
      while (!(await isServed(quiet.url, PEER)));
      const served = await quiet.lines("access", (line) => line["path"] === "/is-served");
      assert.equal(served.length, 1);
    },
  );
});

/** One TLS listener on which a peer may hold two connections; closed with the test. */
async function startTlsGateway(t: TestContext): Promise<TestGateway> {
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-limits-tls-"));
  const server = issueCertificate(makeCa(), { ip: [PEER] });
  writeFileSync(path.join(folder, "server.pem"), server.certificate);
  writeFileSync(path.join(folder, "server.key"), server.key);
  const port = await freePort();
  const g = await startTestGateway(
    {
      listeners: [{ name: "tls", port, tls: { certificate: "server.pem", key: "server.key" } }],
      public_origins: [`https://127.0.0.1:${port}`],
      limits: { connections_per_peer_max: 2, drain_timeout_ms: DRAIN_MS },
    },
    { folder },
  );
  t.after(async () => {
    await g.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return g;
}

test("H18 over TLS a connection too many is closed before the handshake", LIMIT, async (t) => {
  const g = await startTlsGateway(t);
  const [first] = await holdAll(t, g.url, 2);
  const { socket, closed } = await open(g.url);
  let received = 0;
  socket.on("data", (chunk: Buffer) => (received += chunk.length));
  socket.write(Buffer.from("1603010005010000010303", "hex"));
  await closed;
  assert.equal(received, 0, "not even an alert");
  first?.destroy();
  const head = rawRequest("GET /served HTTP/1.1", [`Host: ${hostOf(g.url)}`]);
  for (;;) {
    const answer = await askRaw(g.url, head, { rejectUnauthorized: false }).catch(() => undefined);
    if (answer?.status === 401) break;
  }
});

test(
  "H18 beyond all connections of a listener the next one is closed, whoever it is, and counted",
  LIMIT,
  async (t) => {
    const g = await startTestGateway({ limits: { connections_max: 3 } });
    t.after(() => g.close());
    await holdAll(t, g.url, 3);
    await (await open(g.url)).closed;
    assert.equal(await refusedBy(g, "connections_max"), 1);
    assert.equal(refusedLines(g)[0]?.["limit"], "limits.connections_max");
  },
);

test("H25 a connection that never begins its handshake does not hold the drain", LIMIT, async (t) => {
  const g = await startTlsGateway(t);
  await holdAll(t, g.url, 1);
  const startedAt = performance.now();
  await g.gateway.close();
  const tookMs = performance.now() - startedAt;
  assert.ok(tookMs < DRAIN_MS / 4, `${tookMs} ms`);
});

test("H18 one peer cannot hold all connections of the issuer", { ...LIMIT, skip: ONLY_LINUX }, async (t) => {
  const issuer = await startTestBroker({ after: (fn) => t.after(fn) });
  await holdAll(t, issuer.issuer, BROKER_PER_PEER_MAX);
  await (await open(issuer.issuer)).closed;
  assert.equal(await isServed(issuer.issuer, OTHER_PEER), true);
  while (issuer.logs.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(
    issuer.logs.map(({ event, detail }) => [event, detail]),
    [["connection_refused", `connections_per_peer_max: ${PEER}`]],
  );
});
