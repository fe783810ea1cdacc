import assert from "node:assert/strict";
import { test } from "node:test";
import { createNonceService } from "../../../src/token/nonce-service.ts";
import { NOW_MS } from "./token-fixtures.ts";

const BUCKET_MS = 60_000;
const START_MS = Math.floor(NOW_MS / BUCKET_MS) * BUCKET_MS;

test("a nonce of the current and the previous bucket is accepted, an older or later one is not", () => {
  const nonces = createNonceService(Buffer.alloc(32, 1), BUCKET_MS);
  const nonce = nonces.issue(START_MS);
  assert.ok(nonces.check(nonce, START_MS));
  assert.ok(nonces.check(nonce, START_MS + 2 * BUCKET_MS - 1));
  assert.ok(!nonces.check(nonce, START_MS + 2 * BUCKET_MS));
  assert.ok(!nonces.check(nonce, START_MS - 1));
});

test("a nonce given out by one thread is good on another, but not under another secret", () => {
  const nonce = createNonceService(Buffer.alloc(32, 1), BUCKET_MS).issue(START_MS);
  assert.ok(createNonceService(Buffer.alloc(32, 1), BUCKET_MS).check(nonce, START_MS));
  assert.ok(!createNonceService(Buffer.alloc(32, 2), BUCKET_MS).check(nonce, START_MS));
  for (const guess of ["", "x", `${nonce}x`, nonce.toLowerCase(), "é".repeat(11)]) {
    assert.ok(!createNonceService(Buffer.alloc(32, 1), BUCKET_MS).check(guess, START_MS));
  }
});
