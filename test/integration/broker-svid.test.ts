// An agent's certificate: from the issuer, for the key of its proof, to a gateway that takes no connection without one.
import assert from "node:assert/strict";
import { createPublicKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { suite, test } from "node:test";
import { generateProof } from "dpop";
import { granted, spawnedFrom, startAgentBroker, TRUST_DOMAIN } from "../fixtures/agent-broker.ts";
import { issueCertificate, makeCa } from "../fixtures/certificates.ts";
import { type Cleanup, GATEWAY_ORIGIN } from "../fixtures/test-broker.ts";
import { startTestGateway } from "../fixtures/test-gateway.ts";
import { makeKey, type TestKey } from "../unit/token/token-fixtures.ts";

const SVID = { requested_svid: "x509" };
const PATH = "/ats/jobs/J42/candidates/C1";

/** An issuer with an authority, and a gateway whose only listener asks for certificates of it. */
async function start(t: Cleanup) {
  const b = await startAgentBroker(t, { broker: { x509_svid: true } });
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-svid-"));
  const ca = makeCa();
  const server = issueCertificate(ca, { ip: ["127.0.0.1"] });
  const roots = await (await fetch(`${b.issuer}/ca.pem`)).text();
  const write = (name: string, text: string): string => {
    const file = path.join(folder, name);
    writeFileSync(file, text);
    return file;
  };
  const tls = {
    certificate: write("server.pem", server.certificate),
    key: write("server.key", server.key),
    client_certificates: "required",
    client_ca: write("agents.pem", roots),
  };
  const g = await startTestGateway(({ port }) => ({
    public_origins: [`https://127.0.0.1:${port}`],
    listeners: [{ name: "mtls", port, tls }],
    issuers: [
      {
        issuer: b.issuer,
        audience: [GATEWAY_ORIGIN],
        trust_domain: TRUST_DOMAIN,
        jwks: { url: `${b.issuer}/jwks`, allow_private_addresses: true },
      },
    ],
  }));
  t.after(async () => {
    await g.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { b, g, ca, roots };
}

function pem(key: TestKey): string {
  return key.privateKey.export({ type: "pkcs8", format: "pem" });
}

async function proofFor(key: TestKey, url: string, token: string): Promise<string> {
  const algorithm = key.alg === "ES256" ? { name: "ECDSA", namedCurve: "P-256" } : { name: "Ed25519" };
  const privateKey = key.privateKey.toCryptoKey(algorithm, false, ["sign"]);
  const publicKey = createPublicKey(key.privateKey).toCryptoKey(algorithm, true, ["verify"]);
  return generateProof({ privateKey, publicKey }, url, "GET", undefined, token);
}

suite("an agent's certificate", () => {
  for (const algorithm of ["ES256", "Ed25519"] as const) {
    test(`a spawn with a ${algorithm} key gets one that names the agent and ends with its token, and a gateway takes it`, async (t) => {
      const { b, g, ca, roots } = await start(t);
      const key = makeKey(algorithm);
      const answer = granted(await b.requestSpawn(await b.launch(), key, SVID));
      const agent = spawnedFrom(answer, key);
      const cert = String(answer.body["x509_svid"]);
      const leaf = new X509Certificate(cert);
      assert.equal(leaf.subjectAltName, `URI:${agent.id}`);
      assert.ok(leaf.checkPrivateKey(key.privateKey));
      assert.ok(leaf.checkIssued(new X509Certificate(roots)));
      assert.equal(leaf.validToDate.getTime(), agent.claims.exp * 1000);
      // The token is bound to the key itself, which the certificate is for.
      assert.deepEqual(agent.claims["cnf"], { jkt: key.thumbprint });

      const stranger = issueCertificate(makeCa("Another CA"), { uri: [agent.id], clientAuth: true });
      const url = g.url + PATH;
      const ask = async (client: { cert: string; key: string } | undefined): Promise<number> => {
        const dpop = await proofFor(key, url, agent.token);
        const headers = { authorization: `DPoP ${agent.token}`, dpop };
        return new Promise((resolve, reject) => {
          const sent = request(url, { ca: ca.certificate, agent: false, headers, ...client }, (response) => {
            response.resume();
            resolve(response.statusCode ?? 0);
          });
          sent.on("error", reject);
          sent.end();
        });
      };
      assert.equal(await ask({ cert, key: pem(key) }), 200);
      await assert.rejects(ask(undefined));
      await assert.rejects(ask({ cert: stranger.certificate, key: stranger.key }));
      assert.equal(g.tool.seen.length, 1);
      assert.equal(g.tool.seen[0]?.headers["x-cordon-agent"], agent.id);
    });
  }

  test("a renewal and a delegate get one of their own where they ask, and nobody who does not", async (t) => {
    const b = await startAgentBroker(t, { broker: { x509_svid: true } });
    const key = makeKey("ES256");
    const first = granted(await b.requestSpawn(await b.launch(), key, SVID));
    const agent = spawnedFrom(first, key);
    assert.equal(granted(await b.requestSpawn(await b.launch(), makeKey("ES256"))).body["x509_svid"], undefined);
    const authority = await (await fetch(`${b.issuer}/ca.pem`)).text();
    await b.restart(240_000);
    const renewed = granted(await b.renew(agent, SVID));
    const [old, next] = [first, renewed].map(({ body }) => new X509Certificate(String(body["x509_svid"])));
    assert.ok(old !== undefined && next !== undefined);
    assert.equal(next.subjectAltName, old.subjectAltName);
    assert.ok(next.validToDate > old.validToDate && next.serialNumber !== old.serialNumber);
    // The same authority after a restart.
    assert.equal(await (await fetch(`${b.issuer}/ca.pem`)).text(), authority);
    assert.ok(next.checkIssued(new X509Certificate(authority)));
  });

  test("the authority's key is private, and its certificates are published as PEM and as a SPIFFE bundle", async (t) => {
    const b = await startAgentBroker(t, { broker: { x509_svid: true } });
    const folder = path.join(b.dataFolder, "broker");
    assert.equal(statSync(path.join(folder, "ca.json")).mode & 0o777, 0o600);
    assert.equal(statSync(path.join(folder, "ca.pem")).mode & 0o777, 0o644);
    const response = await fetch(`${b.issuer}/ca.pem`);
    assert.equal(response.headers.get("content-type"), "application/pem-certificate-chain");
    const root = new X509Certificate(await response.text());
    assert.ok(root.ca);
    assert.equal(root.subjectAltName, `URI:spiffe://${TRUST_DOMAIN}`);
    const bundle = (await (await fetch(`${b.issuer}/bundle`)).json()) as { keys: Record<string, unknown>[] };
    assert.deepEqual(bundle.keys.length, 1);
    const [entry] = bundle.keys;
    assert.deepEqual([entry?.["use"], entry?.["x5c"]], ["x509-svid", [root.raw.toString("base64")]]);
    assert.equal(entry?.["d"], undefined);
    // Its key signs no token.
    const { keys } = (await (await fetch(`${b.issuer}/jwks`)).json()) as { keys: Record<string, unknown>[] };
    assert.ok(keys.every(({ x }) => x !== entry?.["x"]));
  });

  test("an issuer without an authority refuses before the launch token is spent", async (t) => {
    const b = await startAgentBroker(t);
    const launch = await b.launch();
    const key = makeKey("ES256");
    const refused = await b.requestSpawn(launch, key, SVID);
    assert.deepEqual([refused.status, refused.body["code"]], [400, "svid_unavailable"]);
    assert.equal((await b.requestSpawn(launch, key, { requested_svid: "jwt" })).body["code"], "request_malformed");
    assert.equal((await b.requestSpawn(launch, key)).status, 200);
    assert.equal((await fetch(`${b.issuer}/ca.pem`)).status, 404);
    assert.equal((await fetch(`${b.issuer}/bundle`)).status, 404);
  });
});
