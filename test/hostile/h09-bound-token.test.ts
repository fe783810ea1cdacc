// H09: a bound token without what it is bound to: as Bearer, and on a connection with another certificate or none.
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { type IssuedCertificate, issueCertificate, makeCa } from "../fixtures/certificates.ts";
import { call, startTestGateway, type TestAgent, type TestGateway } from "../fixtures/test-gateway.ts";
import { askRaw, hostOf, openRaw, rawRequest } from "./raw-client.ts";

const PATH = "/ats/jobs/J42/candidates/C1";

const thumbprint = (certificate: string): string =>
  createHash("sha256").update(new X509Certificate(certificate).raw).digest("base64url");

describe("H09 a token bound to a DPoP key", () => {
  let g: TestGateway;
  before(async () => {
    g = await startTestGateway();
  });
  after(() => g.close());

  test("H09 is refused as Bearer, with and without its proof, and nothing reaches the tool", async () => {
    const agent = await g.agent();
    const { dpop } = await agent.headers(g.url + PATH);
    const forms: Record<string, string>[] = [
      { authorization: `Bearer ${agent.token}` },
      { authorization: `bearer ${agent.token}` },
      { authorization: `Bearer ${agent.token}`, dpop },
    ];
    for (const headers of forms) {
      const answer = await call(g.url + PATH, { headers });
      assert.equal(answer.status, 401);
      assert.match(String(answer.headers["www-authenticate"]), /^DPoP error="invalid_token"/);
    }
    assert.equal(g.tool.seen.length, 0);
    await g.lines("access", (line) => line["reason"] === "credentials.bound_token_as_bearer");
  });

  test("H09 is refused with the DPoP scheme and no proof, in another scheme, in the query, and not at all in a cookie", async () => {
    const agent = await g.agent();
    assert.equal((await call(g.url + PATH, { headers: { authorization: `DPoP ${agent.token}` } })).status, 401);
    assert.equal((await call(g.url + PATH, { headers: { authorization: `Token ${agent.token}` } })).status, 401);
    assert.equal((await call(`${g.url}${PATH}?access_token=${agent.token}`)).status, 401);
    assert.equal((await call(g.url + PATH, { headers: { cookie: `access_token=${agent.token}` } })).status, 401);
    assert.equal(g.tool.seen.length, 0);
  });

  test("H09 a certificate-bound token on a listener without certificates is refused, with a forged Client-Cert header too", async () => {
    const agent = await g.agent({ cnf: { "x5t#S256": Buffer.alloc(32).toString("base64url") } });
    const forged: Record<string, string>[] = [{}, { "client-cert": ":AAAA:" }, { "x-client-cert": "AAAA" }];
    for (const more of forged) {
      const answer = await call(g.url + PATH, { headers: { authorization: `Bearer ${agent.token}`, ...more } });
      assert.equal(answer.status, 401);
    }
    assert.equal(g.tool.seen.length, 0);
    await g.lines("access", (line) => line["reason"] === "certificate.missing");
  });
});

describe("H09 a token bound to a client certificate", () => {
  let folder: string;
  let g: TestGateway;
  let ca: IssuedCertificate;
  let own: IssuedCertificate;
  let other: IssuedCertificate;
  let expired: IssuedCertificate;
  let stranger: IssuedCertificate;
  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "cordon-h09-"));
    ca = makeCa();
    const strangerCa = makeCa("Another CA");
    const server = issueCertificate(ca, { ip: ["127.0.0.1"] });
    own = issueCertificate(ca, { uri: ["spiffe://acme.example/a"], clientAuth: true });
    other = issueCertificate(ca, { uri: ["spiffe://acme.example/b"], clientAuth: true });
    expired = issueCertificate(ca, { uri: ["spiffe://acme.example/c"], clientAuth: true, days: -1 });
    stranger = issueCertificate(strangerCa, { uri: ["spiffe://acme.example/a"], clientAuth: true });
    writeFileSync(path.join(folder, "server.pem"), server.certificate);
    writeFileSync(path.join(folder, "server.key"), server.key);
    writeFileSync(path.join(folder, "ca.pem"), ca.certificate);
    g = await startTestGateway(({ port }) => ({
      public_origins: [`https://127.0.0.1:${port}`],
      listeners: [
        {
          name: "mtls",
          port,
          tls: {
            certificate: path.join(folder, "server.pem"),
            key: path.join(folder, "server.key"),
            client_certificates: "optional",
            client_ca: path.join(folder, "ca.pem"),
          },
        },
      ],
    }));
  });
  after(async () => {
    await g.close();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    g.tool.seen.length = 0;
  });

  const boundTo = (certificate: IssuedCertificate): Promise<TestAgent> =>
    g.agent({ cnf: { "x5t#S256": thumbprint(certificate.certificate) } });

  const request = (headers: Readonly<Record<string, string>>, host = hostOf(g.url)): string =>
    rawRequest(`GET ${PATH} HTTP/1.1`, [
      `Host: ${host}`,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ]);

  const tls = (certificate?: IssuedCertificate) => ({
    ca: ca.certificate,
    ...(certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.key }),
  });

  async function ask(agent: TestAgent, certificate?: IssuedCertificate): Promise<{ status: number; reason: unknown }> {
    const answer = await askRaw(g.url, request({ authorization: `Bearer ${agent.token}` }), tls(certificate));
    const id = answer.header("x-cordon-request-id");
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === id;
    return { status: answer.status, reason: (await g.lines("access", mine)).find(mine)?.["reason"] };
  }

  test("H09 is served on a connection with that certificate, and the tool learns who calls", async () => {
    const agent = await boundTo(own);
    assert.deepEqual(await ask(agent, own), { status: 200, reason: "" });
    assert.equal(g.tool.seen[0]?.headers["x-cordon-agent"], agent.id);
    assert.equal(g.tool.seen[0]?.headers["authorization"], undefined);
  });

  test("H09 is refused with another certificate, with none, with an expired one and with a stranger's", async () => {
    const agent = await boundTo(own);
    assert.deepEqual(await ask(agent, other), { status: 401, reason: "certificate.mismatch" });
    assert.deepEqual(await ask(agent), { status: 401, reason: "certificate.missing" });
    const late = await ask(await boundTo(expired), expired);
    assert.equal(late.status, 401);
    assert.match(String(late.reason), /^certificate\.(?:expired|untrusted)$/);
    assert.deepEqual(await ask(await boundTo(stranger), stranger), { status: 401, reason: "certificate.untrusted" });
    assert.equal(g.tool.seen.length, 0);
  });

  test("H09 is judged anew for each request on a connection: the same certificate carries no other token", async () => {
    const [mine, theirs] = await Promise.all([boundTo(own), boundTo(other)]);
    const connection = await openRaw(g.url, tls(own));
    connection.write(request({ authorization: `Bearer ${mine.token}` }));
    assert.equal((await connection.answers(1))[0]?.status, 200);
    connection.write(request({ authorization: `Bearer ${theirs.token}` }));
    assert.equal((await connection.answers(2))[1]?.status, 401);
    connection.destroy();
    assert.equal(g.tool.seen.length, 1);
  });

  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    test(`H09 a resumed ${version} session keeps its own certificate and lends it to no other token`, async () => {
      const options = { ...tls(own), minVersion: version, maxVersion: version };
      const mine = await boundTo(own);
      const first = await openRaw(g.url, options);
      first.write(request({ authorization: `Bearer ${mine.token}` }));
      assert.equal((await first.answers(1))[0]?.status, 200);
      const session = await first.session;
      first.destroy();

      const again = await openRaw(g.url, { ...options, session });
      assert.equal((again.socket as TLSSocket).isSessionReused(), true);
      again.write(request({ authorization: `Bearer ${mine.token}` }));
      assert.equal((await again.answers(1))[0]?.status, 200);
      again.write(request({ authorization: `Bearer ${(await boundTo(other)).token}` }));
      assert.equal((await again.answers(2))[1]?.status, 401);
      again.destroy();
    });
  }

  test("H09 a certificate that expires ends its token on an open connection and on a resumed session", async () => {
    const seconds = 3;
    const brief = issueCertificate(ca, { uri: ["spiffe://acme.example/d"], clientAuth: true, days: seconds / 86_400 });
    const agent = await boundTo(brief);
    const bytes = request({ authorization: `Bearer ${agent.token}` });
    const open = await openRaw(g.url, tls(brief));
    open.write(bytes);
    assert.equal((await open.answers(1))[0]?.status, 200);
    const session = await open.session;
    // Asked until the answer changes: the only event that tells of the expiry.
    let status: number | undefined;
    for (let count = 2; status !== 401; count++) {
      open.write(bytes);
      status = (await open.answers(count))[count - 1]?.status;
      assert.ok(status === 200 || status === 401);
    }
    open.destroy();
    const resumed = await openRaw(g.url, { ...tls(brief), session });
    assert.equal((resumed.socket as TLSSocket).isSessionReused(), true);
    resumed.write(bytes);
    assert.equal((await resumed.answers(1))[0]?.status, 401);
    resumed.destroy();
    await g.lines("access", (line) => line["reason"] === "certificate.expired");
  });

  test("H09 a DPoP token over TLS is proven for the https origin, and not for the http one", async () => {
    const agent = await g.agent();
    const good = await agent.headers(g.url + PATH);
    assert.equal((await askRaw(g.url, request(good), tls())).status, 200);
    const wrong = await agent.headers((g.url + PATH).replace("https:", "http:"));
    assert.equal((await askRaw(g.url, request(wrong), tls())).status, 401);
    assert.equal(g.tool.seen.length, 1);
  });

  test("H09 a token bound to a key and to a certificate needs both", async () => {
    const keyed = await g.agent();
    const both = await g.agent({ cnf: { jkt: keyed.thumbprint, "x5t#S256": thumbprint(own.certificate) } });
    // The key of `keyed` proves the token of `both`.
    const { generateProof } = await import("dpop");
    const headers = async () => ({
      authorization: `DPoP ${both.token}`,
      dpop: await generateProof(keyed.keys, g.url + PATH, "GET", undefined, both.token),
    });
    assert.equal((await askRaw(g.url, request(await headers()), tls(own))).status, 200);
    assert.equal((await askRaw(g.url, request(await headers()), tls(other))).status, 401);
    assert.equal((await askRaw(g.url, request(await headers()), tls())).status, 401);
    assert.equal((await askRaw(g.url, request({ authorization: `Bearer ${both.token}` }), tls(own))).status, 401);
    assert.equal(g.tool.seen.length, 1);
  });
});
