import assert from "node:assert/strict";
import { BlockList, isIPv4 } from "node:net";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { classifyAddress } from "../../../src/upstream/classify-address.ts";

const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255));
const hex = (a: number, b: number) => (a * 256 + b).toString(16);

describe("classifyAddress", () => {
  const cases: Record<string, readonly string[]> = {
    public: [
      "1.1.1.1",
      "172.15.0.1",
      "172.32.0.1",
      "100.63.255.255",
      "100.128.0.0",
      "2606:4700::1111",
      "2001:4860:4860::8888",
      "64:ff9b::8.8.8.8",
      "::ffff:8.8.8.8",
    ],
    private: [
      "127.0.0.1",
      "127.255.255.254",
      "10.0.0.1",
      "172.16.0.1",
      "172.31.255.255",
      "192.168.1.1",
      "169.254.1.1",
      "100.64.0.1",
      "198.18.0.1",
      "::1",
      "fc00::1",
      "fdff::1",
      "fe80::1",
      "::ffff:127.0.0.1",
      "::ffff:7f00:1",
      "64:ff9b::10.0.0.1",
      "2002:7f00:1::",
    ],
    never: [
      "0.0.0.0",
      "0.1.2.3",
      "224.0.0.1",
      "240.0.0.1",
      "255.255.255.255",
      "169.254.169.254",
      "169.254.170.2",
      "100.100.100.200",
      "192.0.2.1",
      "::",
      "::ffff:0.0.0.0",
      "::ffff:a9fe:a9fe",
      "64:ff9b::a9fe:a9fe",
      "2002:a9fe:a9fe::1",
      "fd00:ec2::254",
      "fd00:0ec2:0:0::0254",
      "ff02::1",
      "fec0::1",
      "::127.0.0.1",
      "64:ff9b:1::7f00:1",
      "2001::1",
      "2001:db8::1",
      "fe80::1%eth0",
      "4000::1",
      "100::1",
      "localhost",
      "",
      "127.1",
      "0x7f.0.0.1",
      "1.2.3.4.5",
      "[::1]",
    ],
  };
  for (const [kind, addresses] of Object.entries(cases)) {
    it(`knows what is ${kind}`, () => {
      for (const address of addresses) assert.equal(classifyAddress(address), kind, address);
    });
  }

  it("judges an IPv4 address the same in every form that embeds it", () => {
    fc.assert(
      fc.property(octets, ([a, b, c, d]) => {
        const plain = classifyAddress(`${a}.${b}.${c}.${d}`);
        const low = `${hex(a, b)}:${hex(c, d)}`;
        for (const form of [
          `::ffff:${a}.${b}.${c}.${d}`,
          `::FFFF:${low}`,
          `0:0:0:0:0:ffff:${low}`,
          `0000:0000:0000:0000:0000:ffff:${a}.${b}.${c}.${d}`,
          `64:ff9b::${low}`,
          `0064:ff9b:0:0:0:0:${a}.${b}.${c}.${d}`,
          `2002:${low}::`,
          `2002:${low}:0:0:0:0:1`,
        ]) {
          assert.equal(classifyAddress(form), plain, form);
        }
      }),
    );
  });

  it("never calls public what node's BlockList finds in a special range", () => {
    const special = new BlockList();
    for (const [net, bits] of [
      ["10.0.0.0", 8],
      ["127.0.0.0", 8],
      ["169.254.0.0", 16],
      ["172.16.0.0", 12],
      ["192.168.0.0", 16],
      ["100.64.0.0", 10],
      ["224.0.0.0", 4],
      ["240.0.0.0", 4],
      ["0.0.0.0", 8],
    ] as const) {
      special.addSubnet(net, bits, "ipv4");
    }
    const near = fc.oneof(
      octets,
      fc.tuple(
        fc.constantFrom(10, 100, 127, 169, 172, 192, 224),
        fc.constantFrom(0, 16, 31, 32, 63, 64, 127, 128, 168, 254),
        fc.nat(255),
        fc.nat(255),
      ),
    );
    fc.assert(
      fc.property(near, (parts) => {
        const address = parts.join(".");
        assert.ok(isIPv4(address));
        if (special.check(address, "ipv4")) assert.notEqual(classifyAddress(address), "public", address);
      }),
    );
  });
});
