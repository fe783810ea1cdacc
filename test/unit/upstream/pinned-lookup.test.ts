import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AddressRefusedError, createPinnedLookup } from "../../../src/upstream/pinned-lookup.ts";

function lookup(addresses: readonly string[], allowPrivate: boolean): unknown[] {
  let got: unknown[] = [];
  const resolved = addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
  const pinned = createPinnedLookup(allowPrivate, (_hostname, _options, callback) => callback(null, resolved));
  pinned("tool.test", { all: true }, (...answer) => {
    got = answer;
  });
  return got;
}

describe("createPinnedLookup", () => {
  it("hands on exactly the addresses it checked", () => {
    assert.deepEqual(lookup(["1.1.1.1", "2606:4700::1"], false), [
      null,
      [
        { address: "1.1.1.1", family: 4 },
        { address: "2606:4700::1", family: 6 },
      ],
    ]);
  });

  it("refuses a name with one refused address among good ones, or with none", () => {
    for (const addresses of [["1.1.1.1", "10.0.0.1"], ["::ffff:127.0.0.1"], []]) {
      assert.ok(lookup(addresses, false)[0] instanceof AddressRefusedError, addresses.join());
    }
  });

  it("permits private addresses where allowed, but no metadata service", () => {
    assert.equal(lookup(["10.0.0.1"], true)[0], null);
    for (const address of ["169.254.169.254", "fd00:ec2::254", "0.0.0.0", "::"]) {
      assert.ok(lookup([address], true)[0] instanceof AddressRefusedError, address);
    }
  });
});
