import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";
import type { TLSSocket } from "node:tls";
import type { UpstreamConfig } from "../../src/config/schema.ts";
import { type CertificateNames, issueCertificate, makeCa } from "../fixtures/certificates.ts";
import { call, gateway, listen, upstreamConfig } from "../fixtures/forwarding.ts";

const folder = mkdtempSync(join(tmpdir(), "cordon-h16-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const ca = makeCa();
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const caFile = file("ca.pem", ca.certificate);

async function answerOf(
  t: TestContext,
  names: CertificateNames,
  changes: Partial<UpstreamConfig>,
  options: { signer?: typeof ca; server?: https.ServerOptions } = {},
): Promise<{ status: number; reason: unknown; requests: number; body: string }> {
  const { certificate, key } = issueCertificate(options.signer ?? ca, names);
  let requests = 0;
  const server = https.createServer({ cert: certificate, key, ...options.server }, (request, response) => {
    requests += 1;
    response.end(String((request.socket as TLSSocket).getPeerCertificate().subjectaltname));
  });
  const port = await listen(t, server);
  const gate = await gateway(t, upstreamConfig(`https://127.0.0.1:${port}`, { ca: caFile, ...changes }));
  const answer = await call(gate.origin);
  return { status: answer.status, reason: answer.headers["x-reason"], requests, body: answer.body.toString() };
}

const untrusted = { status: 502, reason: "upstream.untrusted", requests: 0, body: "" };

describe("H16: the tool's certificate", () => {
  it("is accepted by address, by the configured name, and by SPIFFE id", async (t) => {
    assert.equal((await answerOf(t, { ip: ["127.0.0.1"] }, {})).status, 200);
    assert.equal((await answerOf(t, { dns: ["ats.test"] }, { server_name: "ats.test" })).status, 200);
    assert.equal((await answerOf(t, { uri: ["spiffe://acme/ats"] }, { spiffe_id: "spiffe://acme/ats" })).status, 200);
  });

  it("is refused for another name", async (t) => {
    assert.deepEqual(await answerOf(t, { dns: ["other.test"] }, {}), untrusted);
    assert.deepEqual(
      await answerOf(t, { dns: ["other.test"], ip: ["127.0.0.1"] }, { server_name: "ats.test" }),
      untrusted,
    );
  });

  it("is refused for another SPIFFE id, a second one, or a name in its place", async (t) => {
    const rule = { spiffe_id: "spiffe://acme/ats" };
    for (const uri of [["spiffe://acme/at"], ["spiffe://acme/ats/x"], ["spiffe://acme/ats", "spiffe://acme/b"]]) {
      assert.deepEqual(await answerOf(t, { uri }, rule), untrusted);
    }
    assert.deepEqual(await answerOf(t, { ip: ["127.0.0.1"], dns: ["spiffe.acme"] }, rule), untrusted);
  });

  it("is refused when expired, self-signed, signed by a stranger, or for clients only", async (t) => {
    const ip = ["127.0.0.1"];
    assert.deepEqual(await answerOf(t, { ip, days: -1 }, {}), untrusted);
    assert.deepEqual(await answerOf(t, { ip }, {}, { signer: makeCa("Stranger") }), untrusted);
    assert.deepEqual(await answerOf(t, { ip }, { ca: undefined }), untrusted);
    assert.deepEqual(await answerOf(t, { ip, clientAuth: true }, {}), untrusted);
    const self = makeCa("127.0.0.1");
    assert.deepEqual(await answerOf(t, { ip }, {}, { server: { cert: self.certificate, key: self.key } }), untrusted);
  });

  it("is verified also where the environment turns verification off", async (t) => {
    const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    process.removeAllListeners("warning"); // node warns about the variable, as it should
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      assert.deepEqual(await answerOf(t, { ip: ["127.0.0.1"] }, { ca: undefined }), untrusted);
      assert.deepEqual(await answerOf(t, { dns: ["other.test"] }, {}), untrusted);
    } finally {
      if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
    }
  });

  it("is verified on each connection: a session is never resumed", async (t) => {
    const { certificate, key } = issueCertificate(ca, { ip: ["127.0.0.1"] });
    const resumed: boolean[] = [];
    const server = https.createServer({ cert: certificate, key, maxVersion: "TLSv1.2" }, (request, response) => {
      resumed.push((request.socket as TLSSocket).isSessionReused());
      response.writeHead(200, { connection: "close" }).end();
    });
    const port = await listen(t, server);
    const gate = await gateway(t, upstreamConfig(`https://127.0.0.1:${port}`, { ca: caFile }));
    await call(gate.origin);
    await call(gate.origin);
    assert.deepEqual(resumed, [false, false]);
  });

  it("must come over TLS 1.2 or newer", async (t) => {
    const old: https.ServerOptions = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" };
    assert.deepEqual(await answerOf(t, { ip: ["127.0.0.1"] }, {}, { server: old }), untrusted);
  });

  it("may ask for the gateway's own", async (t) => {
    const client = issueCertificate(ca, { uri: ["spiffe://acme/cordon"], clientAuth: true });
    const server = { requestCert: true, rejectUnauthorized: true, ca: ca.certificate };
    const identity = {
      client_certificate: file("client.pem", client.certificate),
      client_key: file("client.key", client.key),
    };
    const answer = await answerOf(t, { ip: ["127.0.0.1"] }, identity, { server });
    assert.deepEqual([answer.status, answer.body], [200, "URI:spiffe://acme/cordon"]);
    assert.equal((await answerOf(t, { ip: ["127.0.0.1"] }, {}, { server })).status, 502);
  });
});
