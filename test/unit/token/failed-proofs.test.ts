import assert from "node:assert/strict";
import { test } from "node:test";
import { createFailedProofs } from "../../../src/token/failed-proofs.ts";

const PEER = "192.0.2.1";

test("a peer may fail so often a minute, and gets the same number back in the next one", () => {
  const failures = createFailedProofs(60);
  for (let failed = 0; failed < 60; failed++) {
    assert.equal(failures.isOver(PEER, 0), false);
    failures.count(PEER, 0);
  }
  assert.equal(failures.isOver(PEER, 0), true);
  assert.equal(failures.isOver(PEER, 999), true);
  assert.equal(failures.isOver(PEER, 1000), false, "one a second comes back");
  failures.count(PEER, 1000);
  assert.equal(failures.isOver(PEER, 1000), true);
  for (let failed = 0; failed < 60; failed++) assert.equal(failures.isOver(PEER, 3_600_000), false);
  assert.equal(failures.isOver("192.0.2.2", 1000), false, "another peer");
});

test("a peer in IPv6 is its network, and the peers that failed longest ago are forgotten first", () => {
  const failures = createFailedProofs(1, 2);
  failures.count("2001:db8::1", 0);
  assert.equal(failures.isOver("2001:db8::ffff", 0), true);
  failures.count("192.0.2.1", 0);
  failures.count("192.0.2.2", 0);
  assert.deepEqual(
    ["2001:db8::1", "192.0.2.1", "192.0.2.2"].map((address) => failures.isOver(address, 0)),
    [false, true, true],
  );
});
