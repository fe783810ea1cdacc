// Names that are held once among threads, and what becomes of those that nobody gives back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { attachIdClaims, createIdClaimBuffer, HELD_MS, type IdClaim } from "../../../src/gateway/id-claims.ts";

const KEY = new Uint8Array(32);
const START_MS = Date.UTC(2026, 0, 1);

function table(slots = 1024) {
  let nowMs = START_MS;
  const claims = attachIdClaims(createIdClaimBuffer(1, slots), KEY, () => nowMs);
  return { claims, pass: (ms: number) => void (nowMs += ms) };
}

function taken(claim: IdClaim | string): IdClaim {
  if (typeof claim === "string") throw new Error(claim);
  return claim;
}

test("a name is held until it is given back or the limit has passed", () => {
  const { claims, pass } = table();
  const first = taken(claims.take("a"));
  assert.equal(claims.take("a"), "taken");
  taken(claims.take("b"));
  claims.free(first);
  taken(claims.take("a"));
  pass(HELD_MS - 1000);
  assert.equal(claims.take("a"), "taken");
  pass(1000);
  taken(claims.take("a"));
});

test("a name that is kept is held for the whole limit again, and one that was lost is not taken back", () => {
  const { claims, pass } = table();
  const kept = taken(claims.take("a"));
  const lost = taken(claims.take("b"));
  pass(HELD_MS - 1000);
  assert.equal(claims.keep(kept), true);
  pass(1000);
  assert.equal(claims.take("a"), "taken");
  const others = taken(claims.take("b"));
  assert.equal(claims.keep(lost), false);
  claims.free(lost);
  assert.equal(claims.take("b"), "taken");
  claims.free(others);
  taken(claims.take("b"));
});

test("a full bucket is said, and forgets nothing", () => {
  const { claims, pass } = table(16);
  const names = Array.from({ length: 16 }, (_, at) => `name ${at}`);
  for (const name of names) taken(claims.take(name));
  assert.equal(claims.take("one more"), "full");
  for (const name of names) assert.equal(claims.take(name), "taken");
  pass(HELD_MS);
  taken(claims.take("one more"));
});

test("of threads that take the same names at the same time never two hold one", async () => {
  const shared = createIdClaimBuffer(1, 65_536);
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const module = new URL("../../../src/gateway/id-claims.ts", import.meta.url).href;
  const source = `
    const { parentPort, workerData } = require("node:worker_threads");
    import(${JSON.stringify(module)}).then(({ attachIdClaims }) => {
      const { shared, gate, key } = workerData;
      const claims = attachIdClaims(shared, key, () => ${START_MS});
      const held = [];
      Atomics.add(gate, 0, 1);
      while (Atomics.load(gate, 0) < 2);
      for (let at = 0; at < 10_000; at++) if (typeof claims.take("name " + at) === "object") held.push(at);
      parentPort.postMessage(held);
    });`;
  const held = await Promise.all(
    [0, 1].map(
      () =>
        new Promise<number[]>((resolve, reject) => {
          const worker = new Worker(source, { eval: true, workerData: { shared, gate, key: KEY } });
          worker.once("message", resolve).once("error", reject);
        }),
    ),
  );
  const [one = [], two = []] = held;
  assert.ok(one.length + two.length > 5_000, "nearly all are held by one of them");
  const ofOne = new Set(one);
  assert.deepEqual(
    two.filter((at) => ofOne.has(at)),
    [],
  );
});
