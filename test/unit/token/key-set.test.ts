import assert from "node:assert/strict";
import { test } from "node:test";
import { createKeySet } from "../../../src/token/key-set.ts";
import type { KeySet } from "../../../src/token/key-set.ts";
import { makeKey, NOW_MS } from "./token-fixtures.ts";

const A = { ...makeKey().jwk, kid: "a" };
const B = { ...makeKey().jwk, kid: "b" };

async function outcome(keys: KeySet, kid: string | undefined, nowMs = NOW_MS, alg = "ES256"): Promise<string> {
  const found = await keys.find(kid, alg, nowMs);
  return found.ok ? `key ${found.value.kid}` : found.error.reason;
}

function byUrl(answers: () => Promise<string>) {
  const state = { fetches: 0 };
  const fetchText = (url: string) => {
    assert.equal(url, "https://issuer.example/jwks");
    state.fetches++;
    return answers();
  };
  const keys = createKeySet({ url: "https://issuer.example/jwks", cooldownMs: 30_000, maxAgeMs: 300_000, fetchText });
  return { keys, state };
}

test("a key is found by kid, or without one where only one key fits", async () => {
  const rsa = { ...makeKey("RS256").jwk, kid: "r" };
  const keys = createKeySet({ jwks: { keys: [A, B, rsa] } });
  assert.equal(await outcome(keys, "b"), "key b");
  assert.equal(await outcome(keys, "c"), "token.key_unknown");
  assert.equal(await outcome(keys, undefined), "token.key_unknown");
  assert.equal(await outcome(keys, undefined, NOW_MS, "RS256"), "key r");
  assert.equal(await outcome(keys, "a", NOW_MS, "RS256"), "token.key_unknown");
});

test("private, symmetric, weak and wrongly used keys are refused, and the public half of a published private key too", async () => {
  const pair = makeKey();
  const refused = [
    { ...pair.privateKey.export({ format: "jwk" }), kid: "x" },
    { ...pair.jwk, kid: "x" },
    { kty: "oct", k: "AAAA", kid: "x" },
    { ...makeKey().jwk, kid: "x", use: "enc" },
    { ...makeKey().jwk, kid: "x", key_ops: ["sign"] },
    { ...makeKey().jwk, kid: "x", alg: "ES384" },
    { ...makeKey("RS256").jwk, kid: "x", n: Buffer.alloc(128, 0xff).toString("base64url") },
    { ...makeKey("RS256").jwk, kid: "x", e: "AQ" },
    "text",
  ];
  for (const jwk of refused) {
    const keys = createKeySet({ jwks: { keys: [pair.privateKey.export({ format: "jwk" }), jwk, A] } });
    assert.equal(await outcome(keys, "x"), "token.key_unknown", JSON.stringify(jwk));
    assert.equal(await outcome(keys, "x", NOW_MS, "RS256"), "token.key_unknown");
    assert.equal(await outcome(keys, "a"), "key a");
  }
});

test("two keys under one kid are both refused; the same key twice is one key", async () => {
  assert.equal(await outcome(createKeySet({ jwks: { keys: [A, { ...B, kid: "a" }] } }), "a"), "token.key_unknown");
  assert.equal(await outcome(createKeySet({ jwks: { keys: [A, { ...A }] } }), "a"), "key a");
});

test("a document that is no key set leaves the keys unavailable", async () => {
  for (const jwks of [undefined, null, [], {}, { keys: {} }]) {
    assert.equal(await outcome(createKeySet({ jwks }), "a"), "token.keys_unavailable");
  }
});

test("H14: a flood of random kids makes one fetch in a cool-down, shared by all who wait", async () => {
  const { keys, state } = byUrl(async () => JSON.stringify({ keys: [A] }));
  const first = await Promise.all(
    Array.from({ length: 50 }, (_, index) => outcome(keys, index === 0 ? "a" : `random-${index}`)),
  );
  assert.equal(first[0], "key a");
  assert.ok(first.slice(1).every((reason) => reason === "token.key_unknown"));
  for (let index = 0; index < 50; index++) await outcome(keys, `more-${index}`, NOW_MS + 29_999);
  assert.equal(state.fetches, 1);
  await outcome(keys, "again", NOW_MS + 30_000);
  assert.equal(state.fetches, 2);
});

test("H14: while the URL is down known keys work on, and keys that were never read are unavailable", async () => {
  let up = false;
  const { keys } = byUrl(async () => (up ? JSON.stringify({ keys: [A] }) : Promise.reject(new Error("down"))));
  assert.equal(await outcome(keys, "a"), "token.keys_unavailable");
  up = true;
  assert.equal(await outcome(keys, "a", NOW_MS + 30_000), "key a");
  up = false;
  const found = keys.find("a", "ES256", NOW_MS + 10_000_000);
  assert.ok(!(found instanceof Promise) && found.ok, "known keys are found without waiting");
  assert.equal(await outcome(keys, "b", NOW_MS + 20_000_000), "token.key_unknown");
  assert.equal(await outcome(keys, "a", NOW_MS + 20_000_000), "key a");
});

test("H14: a broken document changes nothing", async () => {
  let text = JSON.stringify({ keys: [A] });
  const { keys } = byUrl(async () => text);
  assert.equal(await outcome(keys, "a"), "key a");
  for (const [index, broken] of [
    "",
    "<html>",
    "[]",
    '{"keys":1}',
    '{"keys":[],"keys":[]}',
    JSON.stringify({ keys: [B] }) + " ".repeat(300_000),
  ].entries()) {
    text = broken;
    await outcome(keys, "unknown", NOW_MS + 40_000 * (index + 1));
    assert.equal(await outcome(keys, "a"), "key a");
    assert.equal(keys.version, 1);
  }
});

test("H14: after the maximum age the keys are read again in the background; a rotation changes the version once", async () => {
  let set = [A];
  const { keys, state } = byUrl(async () => JSON.stringify({ keys: set }));
  let changes = 0;
  keys.onChange(() => void changes++);
  const found = await keys.find("a", "ES256", NOW_MS);
  assert.ok(found.ok);
  assert.equal(keys.version, 1);
  set = [A, B];
  assert.equal(await outcome(keys, "b", NOW_MS + 30_000), "key b");
  assert.equal(keys.version, 2);
  assert.ok(keys.has(found.value), "a key that stays keeps its identity");
  await outcome(keys, "b", NOW_MS + 60_000);
  set = [B];
  keys.refreshIfDue(NOW_MS + 200_000);
  assert.equal(state.fetches, 2);
  keys.refreshIfDue(NOW_MS + 330_000);
  assert.equal(state.fetches, 3);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(keys.version, 3);
  assert.equal(changes, 3);
  assert.ok(!keys.has(found.value));
});

test("H14: a failure is told once, whether the URL is down or its document broken, and so is its end", async () => {
  let answer = async (): Promise<string> => Promise.reject(new Error("down"));
  const { keys, state } = byUrl(() => answer());
  const told: (string | undefined)[] = [];
  keys.onProblem((problem) => void told.push(problem));
  let nowMs = NOW_MS;
  const fetchOnce = async (): Promise<void> => {
    nowMs += 400_000;
    await outcome(keys, "unknown", nowMs);
  };
  await fetchOnce();
  await fetchOnce();
  assert.deepEqual(told, ["the key set cannot be read: down"], "also where no fetch worked before");
  answer = async () => JSON.stringify({ keys: [A] });
  await fetchOnce();
  await fetchOnce();
  assert.deepEqual(told.splice(0), ["the key set cannot be read: down", undefined]);
  answer = async () => "<html>";
  await fetchOnce();
  await fetchOnce();
  answer = async () => JSON.stringify({ keys: [A] });
  await fetchOnce();
  assert.deepEqual(told, ["the document is not a JWK set", undefined], "the keys did not change meanwhile");
  assert.equal(state.fetches, 7);
});
