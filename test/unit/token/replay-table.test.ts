import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import * as fc from "fast-check";
import {
  attachReplayTable,
  createReplayTable,
  rotateReplayTable,
  rotationIntervalMs,
} from "../../../src/token/replay-table.ts";
import { NOW_MS } from "./token-fixtures.ts";

const HASH_KEY = Buffer.alloc(32, 9);
const GENERATION_MS = 13_000;
const make = (slots = 65_536) => createReplayTable({ slots, maxAgeMs: 60_000, maxAheadMs: 5000, nowMs: NOW_MS });
const proofOf = (jti: string, jkt = "key", uri = "https://a.example/", method = "GET") => ({ jkt, jti, method, uri });

test("H06: one proof raced from four threads at the same instant is claimed exactly once, in every round", async () => {
  const [threads, rounds] = [4, 2000];
  const shared = make();
  const barrier = new SharedArrayBuffer(rounds * 4);
  const workers = Array.from({ length: threads }, () => {
    const workerData = { shared, barrier, rounds, threads, iatMs: NOW_MS };
    return new Worker(new URL("replay-racer.ts", import.meta.url), { workerData });
  });
  const outcomes = await Promise.all(workers.map(async (worker) => (await once(worker, "message"))[0] as string[]));
  for (let round = 0; round < rounds; round++) {
    const seen = outcomes.map((ofThread) => ofThread[round] ?? "").sort((left, right) => left.localeCompare(right));
    assert.deepEqual(seen, ["claimed", "replayed", "replayed", "replayed"], `round ${round}`);
  }
});

test("claims agree with a plain set, while time passes and generations turn", () => {
  const step = fc.record({
    jti: fc.integer({ min: 0, max: 9 }).map(String),
    method: fc.constantFrom("GET", "POST"),
    jkt: fc.constantFrom("a", "b"),
    ageMs: fc.integer({ min: -5000, max: 60_000 }),
    passMs: fc.integer({ min: 0, max: 9000 }),
    again: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const shared = make(4096);
      const table = attachReplayTable(shared, HASH_KEY);
      const seen = new Set<string>();
      const used: { jti: string; method: string; jkt: string; iatMs: number }[] = [];
      let nowMs = NOW_MS;
      for (const { passMs, again, ageMs, ...rest } of steps) {
        nowMs += passMs;
        rotateReplayTable(shared, nowMs);
        const old = again ? used.at(-1) : undefined;
        const proof = old !== undefined && old.iatMs >= nowMs - 60_000 ? old : { ...rest, iatMs: nowMs - ageMs };
        used.push(proof);
        // One client never signs one jti twice with other times; where it does, each time is a proof of its own.
        const name = JSON.stringify([proof, Math.floor(proof.iatMs / GENERATION_MS)]);
        const identity = [proof.jti, proof.method, proof.jkt, Math.floor(proof.iatMs / GENERATION_MS)].join(" ");
        const expected = seen.has(identity) ? "replayed" : "claimed";
        seen.add(identity);
        const got = table.claim({ ...proofOf(proof.jti, proof.jkt), method: proof.method }, proof.iatMs);
        if (got !== "key_quota") assert.equal(got, expected, name);
      }
    }),
  );
});

test("every part of a proof's identity makes it another proof", () => {
  const table = attachReplayTable(make(), HASH_KEY);
  for (const proof of [
    proofOf("1"),
    proofOf("2"),
    proofOf("1", "key2"),
    proofOf("1", "key", "https://a.example/b"),
    proofOf("1", "key", "https://a.example/", "PUT"),
  ]) {
    assert.equal(table.claim(proof, NOW_MS), "claimed");
    assert.equal(table.claim(proof, NOW_MS), "replayed");
  }
});

test("a proof stays known for as long as it would be accepted", () => {
  const shared = make();
  const table = attachReplayTable(shared, HASH_KEY);
  const iatMs = NOW_MS + 5000;
  assert.equal(table.claim(proofOf("1"), iatMs), "claimed");
  for (let nowMs = NOW_MS; nowMs <= iatMs + 60_000; nowMs += 500) {
    rotateReplayTable(shared, nowMs);
    assert.equal(table.claim(proofOf("1"), iatMs), "replayed", `after ${nowMs - NOW_MS} ms`);
  }
});

test("the whole window is open between two rotations, and a table that nobody rotates refuses", () => {
  const shared = make();
  const table = attachReplayTable(shared, HASH_KEY);
  let jti = 0;
  for (let nowMs = NOW_MS; nowMs < NOW_MS + 200_000; nowMs += rotationIntervalMs(shared) * 2) {
    rotateReplayTable(shared, nowMs);
    const lateMs = nowMs + rotationIntervalMs(shared) * 2;
    for (const iatMs of [lateMs - 60_000, lateMs, lateMs + 5000]) {
      assert.equal(table.claim(proofOf(String(jti++), `key-${jti}`), iatMs), "claimed");
    }
  }
  assert.equal(table.claim(proofOf("x"), NOW_MS + 400_000), "stale");
  assert.equal(table.claim(proofOf("x"), NOW_MS - 400_000), "stale");
  assert.equal(table.claim(proofOf("x"), Number.NaN), "stale");
});

test("rotation never goes back to a generation that was forgotten", () => {
  const shared = make();
  const table = attachReplayTable(shared, HASH_KEY);
  assert.equal(table.claim(proofOf("1"), NOW_MS), "claimed");
  rotateReplayTable(shared, NOW_MS + 200_000);
  rotateReplayTable(shared, NOW_MS);
  assert.equal(table.claim(proofOf("1"), NOW_MS), "stale");
});

test("one key may hold a 64th of a generation, and is then refused alone", () => {
  const table = attachReplayTable(make(8192), HASH_KEY);
  for (let index = 0; index < 16; index++) assert.equal(table.claim(proofOf(String(index)), NOW_MS), "claimed");
  assert.equal(table.claim(proofOf("one more"), NOW_MS), "key_quota");
  assert.equal(table.claim(proofOf("one more", "other"), NOW_MS), "claimed");
});

test("a look says what a claim would say, and claims nothing", () => {
  const table = attachReplayTable(make(8192), HASH_KEY);
  assert.equal(table.look(proofOf("1"), NOW_MS), "claimed");
  assert.equal(table.look(proofOf("1"), NOW_MS), "claimed");
  assert.equal(table.claim(proofOf("1"), NOW_MS), "claimed");
  assert.equal(table.look(proofOf("1"), NOW_MS), "replayed");
  assert.equal(table.look(proofOf("1"), NOW_MS + 400_000), "stale");
  for (let index = 2; index <= 16; index++) assert.equal(table.claim(proofOf(String(index)), NOW_MS), "claimed");
  assert.equal(table.look(proofOf("one more"), NOW_MS), "key_quota");
  assert.equal(table.look(proofOf("one more", "other"), NOW_MS), "claimed");
});

test("replays of another's proof do not use up its quota", () => {
  const table = attachReplayTable(make(8192), HASH_KEY);
  for (let index = 0; index < 100; index++) table.claim(proofOf("same"), NOW_MS);
  assert.equal(table.claim(proofOf("next"), NOW_MS), "claimed");
});

test("a generation that is seven eighths full denies and forgets nothing", () => {
  const table = attachReplayTable(make(8192), HASH_KEY);
  for (let index = 0; index < 896; index++) {
    assert.equal(table.claim(proofOf(String(index), `key-${index}`), NOW_MS), "claimed");
  }
  assert.equal(table.fill(), 7 / 8);
  assert.equal(table.claim(proofOf("new", "new key"), NOW_MS), "full");
  assert.notEqual(table.claim(proofOf("0", "key-0"), NOW_MS), "claimed");
  assert.equal(table.claim(proofOf("new", "new key"), NOW_MS - GENERATION_MS), "claimed");
});

test("a generation is empty again when its place in the ring is used anew", () => {
  const shared = make(8192);
  const table = attachReplayTable(shared, HASH_KEY);
  for (let index = 0; index < 16; index++) assert.equal(table.claim(proofOf(String(index)), NOW_MS), "claimed");
  assert.equal(table.claim(proofOf("x"), NOW_MS), "key_quota");
  const laterMs = NOW_MS + 8 * GENERATION_MS;
  rotateReplayTable(shared, laterMs);
  assert.equal(table.fill(), 0);
  assert.equal(table.claim(proofOf("1"), laterMs), "claimed");
  assert.equal(table.claim(proofOf("1"), laterMs), "replayed");
});

test("a thread that slept through the window of its proof does not get it accepted", (t) => {
  const shared = make();
  const table = attachReplayTable(shared, HASH_KEY);
  const compareExchange = Atomics.compareExchange.bind(Atomics) as (...args: unknown[]) => unknown;
  t.mock.method(Atomics, "compareExchange", (...args: unknown[]) => {
    // The generation is closed, cleared and used anew just before the write.
    rotateReplayTable(shared, NOW_MS + 8 * GENERATION_MS);
    return compareExchange(...args);
  });
  assert.equal(table.claim(proofOf("1"), NOW_MS), "stale");
});

test("a generation that is being cleared is closed", (t) => {
  const shared = make();
  const table = attachReplayTable(shared, HASH_KEY);
  const firstSlot = (Math.floor(NOW_MS / GENERATION_MS) % 8) * 8192;
  const seen: string[] = [];
  t.mock.method(BigInt64Array.prototype, "fill", function (this: BigInt64Array, _value: bigint, start: number) {
    if (start === firstSlot) seen.push(table.claim(proofOf("1"), NOW_MS));
    return this;
  });
  assert.equal(table.claim(proofOf("0"), NOW_MS), "claimed");
  rotateReplayTable(shared, NOW_MS + 8 * GENERATION_MS);
  assert.deepEqual(seen, ["stale"]);
});
