import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createForwarder } from "../../src/upstream/forwarder.ts";
import { createJwksFetcher } from "../../src/upstream/fetch-jwks.ts";
import { call, gateway, httpTool, rawTool, upstreamConfig } from "../fixtures/forwarding.ts";

describe("H15: a tool at an address that is not allowed", () => {
  it("is refused at connect, by name and by every spelling of the address, and sees nothing", async (t) => {
    let requests = 0;
    const tool = await httpTool(t, (_request, response) => {
      requests += 1;
      response.end();
    });
    const { port } = new URL(tool);
    for (const host of [
      "127.0.0.1",
      "localhost",
      "127.1",
      "0x7f000001",
      "2130706433",
      "017700000001",
      "[::ffff:127.0.0.1]",
      "[::ffff:7f00:1]",
      "0.0.0.0",
    ]) {
      const gate = await gateway(t, upstreamConfig(`http://${host}:${port}`, { allow_private_addresses: false }));
      const outcome = gate.nextOutcome();
      const answer = await call(gate.origin);
      assert.deepEqual([answer.status, answer.headers["x-reason"]], [502, "upstream.address_refused"], host);
      assert.equal((await outcome).sent, false);
    }
    assert.equal(requests, 0);
  });

  it("is refused at a metadata service also where private addresses are allowed", async (t) => {
    for (const host of ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"]) {
      const gate = await gateway(t, upstreamConfig(`http://${host}`));
      assert.equal((await call(gate.origin)).headers["x-reason"], "upstream.address_refused", host);
    }
  });

  it("is reached by name where private addresses are allowed", async (t) => {
    const tool = await httpTool(t, (_request, response) => response.end("ok"));
    const gate = await gateway(t, upstreamConfig(tool.replace("127.0.0.1", "localhost")));
    assert.equal((await call(gate.origin)).body.toString(), "ok");
  });
});

describe("prepare", () => {
  it("throws where the upstream cannot be used as it is written", () => {
    const forwarder = createForwarder();
    for (const url of ["http://user:pass@tool.test", "http://tool.test/?a=1", "http://tool.test/#a"]) {
      assert.throws(() => forwarder.prepare(upstreamConfig(url), undefined), /without user, query and fragment/);
    }
    assert.throws(
      () => forwarder.prepare(upstreamConfig("https://tool.test", { ca: "/absent/ca.pem" }), undefined),
      /ENOENT/,
    );
    const credential = { header: "authorization", prefix: "", from: { env: "K" } };
    assert.throws(() => forwarder.prepare(upstreamConfig("http://tool.test", { credential }), undefined), /credential/);
  });

  it("strips a prefix by whole segments only", () => {
    const target = createForwarder().prepare(
      upstreamConfig("http://tool.test/base", { strip_prefix: "/ats" }),
      undefined,
    );
    const paths = ["/ats", "/ats?a=/ats", "/ats/", "/ats/x", "/atsx", "/x/ats"];
    assert.deepEqual(
      paths.map((path) => target.pathFor(path)),
      ["/base/", "/base/?a=/ats", "/base/", "/base/x", "/base/atsx", "/base/x/ats"],
    );
  });
});

describe("createJwksFetcher", () => {
  const fetchJwks = createJwksFetcher({ timeoutMs: 1000, allowPrivateAddresses: true });

  it("returns the text of a key set", async (t) => {
    const origin = await httpTool(t, (request, response) => response.end(`{"url":"${request.url}"}`));
    assert.equal(await fetchJwks(`${origin}/jwks?x=1`), '{"url":"/jwks?x=1"}');
  });

  it("rejects a redirect, an error, too many bytes, silence, and an address that is not allowed", async (t) => {
    const origin = await httpTool(t, (request, response) => {
      if (request.url === "/redirect") response.writeHead(302, { location: "/keys" }).end();
      else if (request.url === "/error") response.writeHead(500).end("{}");
      else if (request.url === "/large") response.end(Buffer.alloc(300_000, " "));
      else response.end("{}");
    });
    for (const path of ["/redirect", "/error", "/large"]) await assert.rejects(fetchJwks(origin + path), path);
    const silent = await rawTool(t, () => undefined);
    await assert.rejects(createJwksFetcher({ timeoutMs: 100, allowPrivateAddresses: true })(silent));
    await assert.rejects(
      createJwksFetcher({ timeoutMs: 100, allowPrivateAddresses: false })(origin),
      /address_refused/,
    );
  });
});
