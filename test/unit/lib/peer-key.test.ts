import assert from "node:assert/strict";
import { test } from "node:test";
import { peerKey } from "../../../src/lib/peer-key.ts";

test("an IPv4 peer is its address, also where a dual-stack listener sees it", () => {
  assert.equal(peerKey("192.0.2.7"), "192.0.2.7");
  assert.equal(peerKey("::ffff:192.0.2.7"), "192.0.2.7");
});

test("all addresses of an IPv6 network are one peer, and no other network is", () => {
  const network = "2001:db8:1:2::/64";
  for (const address of [
    "2001:db8:1:2::1",
    "2001:db8:1:2:a:b:c:d",
    "2001:db8:1:2::",
    "2001:db8:1:2:ffff:ffff:ffff:ffff",
  ]) {
    assert.equal(peerKey(address), network, address);
  }
  assert.notEqual(peerKey("2001:db8:1:3::1"), network);
  assert.equal(peerKey("2001:db8::1"), "2001:db8:0:0::/64");
  assert.equal(peerKey("2001::3:4:5:6:7:8"), "2001:0:3:4::/64");
  assert.equal(peerKey("::1"), "0:0:0:0::/64");
  assert.equal(peerKey("fe80::1%eth0"), "fe80:0:0:0::/64");
});
