import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { calculateJwkThumbprint, type JWK } from "jose";
import { type KeyRing, openKeyRing } from "../../../src/broker/keys/key-ring.ts";
import { createSigningKey, KEYS_MAX, RETIRED_MS } from "../../../src/broker/keys/signing-keys.ts";

const START_MS = Date.UTC(2026, 8, 1);
const ROTATION_MS = 30 * 86_400_000;
const OVERLAP_MS = 600_000;

/** A ring whose time is the test's. */
async function openRing(t: TestContext, folder = newFolder(t), startMs = START_MS) {
  const clock = { nowMs: startMs };
  const told: string[] = [];
  const problems: string[] = [];
  const ring = await openKeyRing({
    file: fileOf(folder),
    create: createSigningKey,
    nowMs: () => clock.nowMs,
    rotationMs: ROTATION_MS,
    overlapMs: OVERLAP_MS,
    restartOverlapMs: OVERLAP_MS,
    onChange: (kid, what) => told.push(`${kid} ${what}`),
    onProblem: ({ message }) => problems.push(message),
  });
  t.after(() => ring.close());
  const at = async (nowMs: number) => {
    clock.nowMs = nowMs;
    await ring.look();
  };
  return { ring, folder, clock, told, problems, at };
}

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "cordon-keys-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const fileOf = (folder: string) => join(folder, "broker", "keys.json");
const states = (ring: KeyRing) => ring.list().map(({ state }) => state);
const published = (ring: KeyRing) => (JSON.parse(ring.published) as { keys: (JWK & { kid: string })[] }).keys;
const kids = (ring: KeyRing) => published(ring).map(({ kid }) => kid);

test("a key is published for the overlap before it signs, and after it until the last token it signed has expired", async (t) => {
  const { ring, at, told } = await openRing(t);
  const first = ring.kid;
  await at(START_MS + ROTATION_MS - 1);
  assert.deepEqual(kids(ring), [first]);

  const dueMs = START_MS + ROTATION_MS;
  await at(dueMs);
  assert.deepEqual(states(ring), ["next", "active"]);
  const second = kids(ring).find((kid) => kid !== first);
  await at(dueMs + OVERLAP_MS - 1);
  assert.equal(ring.kid, first);

  await at(dueMs + OVERLAP_MS);
  assert.equal(ring.kid, second);
  assert.deepEqual(states(ring), ["active", "retired"]);
  // 3600 s is the longest life of a token, 60 s the largest leeway of a gateway.
  await at(dueMs + OVERLAP_MS + 3_660_000 - 1);
  assert.deepEqual(new Set(kids(ring)), new Set([first, second]));
  await at(dueMs + OVERLAP_MS + RETIRED_MS);
  assert.deepEqual(kids(ring), [second]);
  assert.deepEqual(told, [
    `${second} is published and signs after the overlap`,
    `${first} signs no longer`,
    `${second} signs`,
    `${first} is no longer published`,
  ]);
});

test("a rotation on command takes the same way, and a second command while a key waits does nothing", async (t) => {
  const { ring, clock, at } = await openRing(t);
  const first = ring.kid;
  const [next, again] = await Promise.all([ring.rotate(), ring.rotate()]);
  assert.equal(again, undefined);
  assert.equal(next?.state, "next");
  assert.equal(next?.next_change, new Date(clock.nowMs + OVERLAP_MS).toISOString());
  assert.equal(ring.kid, first);
  await at(START_MS + OVERLAP_MS);
  assert.equal(ring.kid, next?.kid);
});

test("what was begun under the old key is signed by it also when the ring has turned in between", async (t) => {
  const { ring, at } = await openRing(t);
  const old = published(ring)[0];
  const input = (kid: string) =>
    Buffer.from(`${Buffer.from(JSON.stringify({ alg: "ES256", kid })).toString("base64url")}.e30`);
  const begun = input(ring.kid);
  await ring.rotate();
  await at(START_MS + OVERLAP_MS);
  assert.notEqual(ring.kid, old?.kid);
  const key = createPublicKey({ key: old ?? {}, format: "jwk" });
  assert.ok(verify("sha256", begun, { key, dsaEncoding: "ieee-p1363" }, ring.sign(begun)));
  assert.throws(() => ring.sign(input("nobody")), /gone/);
});

test("no private member of a key is published or listed", async (t) => {
  const { ring, folder } = await openRing(t);
  await ring.rotate();
  const written = JSON.parse(readFileSync(fileOf(folder), "utf8")) as { keys: { d: string }[] };
  assert.equal(written.keys.length, 2);
  for (const { d } of written.keys) assert.ok(!(ring.published + JSON.stringify(ring.list())).includes(d));
  assert.deepEqual(Object.keys(published(ring)[0] ?? {}).toSorted(), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
});

test("a restart keeps every key, and counts the overlap of a key that waits anew", async (t) => {
  const first = await openRing(t);
  const next = await first.ring.rotate();
  first.ring.close();
  const restartMs = START_MS + 2 * OVERLAP_MS;
  const { ring, at } = await openRing(t, first.folder, restartMs);
  // Nobody could read the key while the issuer was away.
  assert.equal(ring.kid, first.ring.kid);
  assert.deepEqual(states(ring), ["next", "active"]);
  await at(restartMs + OVERLAP_MS - 1);
  assert.equal(ring.kid, first.ring.kid);
  await at(restartMs + OVERLAP_MS);
  assert.equal(ring.kid, next?.kid);
});

test("the file of one key without states, as it was written before, is read and rotated from its own age on", async (t) => {
  const folder = newFolder(t);
  const jwk = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }) as JWK;
  const kid = await calculateJwkThumbprint(jwk);
  mkdirSync(join(folder, "broker"), { mode: 0o700 });
  writeFileSync(fileOf(folder), JSON.stringify({ keys: [{ ...jwk, kid, alg: "ES256", use: "sig" }] }), { mode: 0o600 });
  const writtenMs = Math.floor(statSync(fileOf(folder)).mtimeMs);
  const { ring, at } = await openRing(t, folder, writtenMs + 1);
  assert.equal(ring.kid, kid);
  await at(writtenMs + ROTATION_MS);
  assert.deepEqual(states(ring), ["next", "active"]);
});

test("a change that cannot be written is not made: no key is published that a crash would lose", async (t) => {
  const { ring, folder, problems, at } = await openRing(t);
  const before = ring.published;
  // A folder in the way of the new name; the mode of a folder does not stop root.
  rmSync(fileOf(folder));
  mkdirSync(join(fileOf(folder), "in-the-way"), { recursive: true });
  await assert.rejects(ring.rotate());
  await at(START_MS + ROTATION_MS);
  assert.equal(problems.length, 1);
  assert.equal(ring.published, before);
  rmSync(fileOf(folder), { recursive: true });
  await at(START_MS + ROTATION_MS);
  assert.deepEqual(states(ring), ["next", "active"]);
  assert.deepEqual(readdirSync(join(folder, "broker")), ["keys.json"]);
});

test("a fast series of rotations ends at the bound of keys, and goes on when one is no longer published", async (t) => {
  const clock = { nowMs: START_MS };
  const ring = await openKeyRing({
    file: fileOf(newFolder(t)),
    create: createSigningKey,
    nowMs: () => clock.nowMs,
    rotationMs: ROTATION_MS,
    overlapMs: 1000,
    restartOverlapMs: 1000,
    onChange: () => undefined,
    onProblem: (error) => assert.fail(error),
  });
  t.after(() => ring.close());
  while ((await ring.rotate()) !== undefined) {
    clock.nowMs += 1000;
    await ring.look();
  }
  assert.equal(kids(ring).length, KEYS_MAX);
  clock.nowMs += RETIRED_MS;
  assert.notEqual((await ring.look(), await ring.rotate()), undefined);
});

test("a file that is open to others or damaged is refused, and named without a word of its content", async (t) => {
  const { folder } = await openRing(t);
  chmodSync(fileOf(folder), 0o640);
  await assert.rejects(openRing(t, folder), /can be read by others/);
  chmodSync(fileOf(folder), 0o600);
  const whole = JSON.parse(readFileSync(fileOf(folder), "utf8")) as { keys: Record<string, unknown>[] };
  const damaged = [
    '{"keys":[{"d":"secret-part"',
    '{"keys":[]}',
    JSON.stringify({ keys: whole.keys.map((key) => ({ ...key, state: "retired", until_ms: 1 })) }),
    JSON.stringify({ keys: [...whole.keys, ...whole.keys] }),
    JSON.stringify({ keys: whole.keys.map((key) => ({ ...key, state: "secret-state" })) }),
  ];
  for (const text of damaged) {
    writeFileSync(fileOf(folder), text);
    await assert.rejects(
      openRing(t, folder),
      ({ message }: Error) => /damaged/.test(message) && !/secret/.test(message),
    );
  }
});

test("a kill at any point of a rotation leaves every key that was told of, with one that signs", async (t) => {
  const program = fileURLToPath(new URL("../../fixtures/turning-ring.ts", import.meta.url));
  for (let round = 0; round < 6; round++) {
    const folder = newFolder(t);
    const told: string[] = [];
    const child = spawn(process.execPath, [program, folder], { stdio: ["ignore", "pipe", "inherit"] });
    const exited = once(child, "exit");
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      told.push(...chunk.toString("latin1").split("\n").filter(Boolean));
      if (told.length > round * 2) child.kill("SIGKILL");
    }
    await exited;
    const { ring } = await openRing(t, folder);
    assert.ok(kids(ring).includes(ring.kid));
    assert.ok(told.length > 0);
    assert.deepEqual(
      told.filter((kid) => !kids(ring).includes(kid)),
      [],
    );
    assert.deepEqual(readdirSync(join(folder, "broker")), ["keys.json"]);
  }
});
