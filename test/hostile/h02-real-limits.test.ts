// H01, H02, H19: heads and bodies above a limit that nginx or haproxy has and the gateway has not, and upgrades that they
// do not take. What they refuse the caller is told, and the next request begins where it begins.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { SERVER_BUFFER_BYTES, skipWithoutServers } from "./real-servers.ts";
import { startThreeUpstreams, type ThreeUpstreams, type UpstreamName, UPSTREAMS } from "./three-upstreams.ts";

const MARKER = "/marker";
const LAST = ["Connection: close"];

describe("H02 limits of real servers", { skip: skipWithoutServers }, () => {
  let three: ThreeUpstreams;
  before(async () => {
    three = await startThreeUpstreams();
  });
  after(() => three.close());

  const repeated = (count: number, text: string): string[] =>
    Array.from({ length: count }, (_, i) => `X-${i}: ${text}`);
  const HEADS: readonly (readonly [
    what: string,
    target: string,
    lines: readonly string[],
    refuses: UpstreamName,
    status: number,
  ])[] = [
    ["a header line above nginx's buffer", "/x", [`X-A: ${"a".repeat(9000)}`], "nginx", 400],
    ["a head above all of nginx's buffers", "/x", repeated(5, "a".repeat(5000)), "nginx", 400],
    ["a target above nginx's buffer", `/x?q=${"a".repeat(8187)}`, [], "nginx", 414],
    ["more header lines than haproxy takes", "/x", repeated(96, "a"), "haproxy", 400],
  ];
  for (const [what, target, lines, refuses, status] of HEADS) {
    test(`H01 H02 ${what}: its caller is told, and the next request is read from its beginning`, async () => {
      const found = await three.send(async (door) => [
        (await door.request("GET", target, lines)) + (await door.request("GET", MARKER, LAST)),
      ]);
      for (const name of UPSTREAMS) {
        const { statuses, views, faults } = found[name];
        const seen = name === refuses ? [MARKER] : [target, MARKER];
        assert.deepEqual(statuses, [name === refuses ? status : 200, 200], name);
        for (const view of views)
          assert.deepEqual(
            view.map((one) => one.target),
            seen,
            name,
          );
        assert.equal(faults.length, name === refuses ? 1 : 0);
      }
    });
  }

  for (const framing of ["a length", "chunks"]) {
    test(`H02 a body with ${framing} that nginx refuses before it has come is no request, and no part of the next one`, async () => {
      const hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
      const body = hidden.padEnd(SERVER_BUFFER_BYTES, "x") + hidden;
      const length = framing === "a length";
      const lines = length ? [`Content-Length: ${body.length}`] : ["Transfer-Encoding: chunked"];
      const found = await three.send(async (door) => [
        (await door.request(
          "POST",
          "/x",
          lines,
          length ? body : `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
        )) + (await door.request("GET", MARKER, LAST)),
      ]);
      const { statuses, views, faults } = found.nginx;
      assert.equal(statuses[0], 413);
      // Where too much of the upload is left, the connection ends behind the answer.
      assert.ok(statuses.length === 1 || statuses[1] === 200);
      for (const view of views)
        assert.deepEqual(
          view.map(({ target }) => target),
          statuses.slice(1).map(() => MARKER),
        );
      assert.equal(faults.length, 1);
      for (const name of ["recorder", "haproxy"] as const) {
        assert.deepEqual(
          found[name].recorded.map(({ target, bytes }) => [target, bytes]),
          [
            ["/x", body.length],
            [MARKER, 0],
          ],
        );
      }
    });
  }

  test("H19 what stands behind an upgrade that a real server does not take is never read as a request", async () => {
    const upgrade = [
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    const found = await three.send(async (door) => [
      (await door.request("GET", "/x", upgrade)) + (await door.request("GET", "/hidden")),
    ]);
    for (const name of UPSTREAMS) {
      const { statuses, views, faults } = found[name];
      assert.deepEqual(statuses, [502], name);
      for (const view of views)
        assert.deepEqual(
          view.map(({ target }) => target),
          ["/x"],
          name,
        );
      assert.deepEqual(faults, []);
    }
  });
});
