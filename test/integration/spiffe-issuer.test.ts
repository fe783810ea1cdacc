// JWT-SVIDs of a SPIFFE trust domain at a real gateway: its bundle is a file, and an X.509-SVID on the connection binds them.
import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { generateKeyPair as generateProofKey, generateProof } from "dpop";
import { calculateJwkThumbprint, exportJWK, SignJWT } from "jose";
import { type IssuedCertificate, issueCertificate, makeCa } from "../fixtures/certificates.ts";
import { type CallAnswer, startTestGateway, type TestGateway } from "../fixtures/test-gateway.ts";

const PATH = "/ats/jobs/J42/candidates/C1";
const RANKER = "spiffe://a.example/ns/hiring/sa/ranker";

/** What a SPIFFE server holds: authorities for both kinds of SVID, published as a bundle. */
interface TrustDomain {
  readonly name: string;
  readonly ca: IssuedCertificate;
  readonly keys: { readonly kid: string; readonly privateKey: KeyObject }[];
  readonly file: string;
}

describe("JWT-SVIDs of a trust domain with its bundle file", () => {
  let folder: string;
  let g: TestGateway;
  let a: TrustDomain;
  let b: TrustDomain;
  let server: IssuedCertificate;
  let ranker: IssuedCertificate;

  function trustDomain(name: string): TrustDomain {
    const domain = { name, ca: makeCa(`Authority of ${name}`), keys: [], file: path.join(folder, `${name}.json`) };
    // The same kid in both: a name is no key.
    rotate(domain, "k1");
    return domain;
  }

  /** Replaces the JWT authority, and the file as a whole, as `spiffe-helper` does. */
  function rotate(domain: TrustDomain, kid: string): void {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    domain.keys.splice(0, domain.keys.length, { kid, privateKey });
    const x5c = [new X509Certificate(domain.ca.certificate).raw.toString("base64")];
    const jwk = createPublicKey(privateKey).export({ format: "jwk" });
    const ofCa = createPublicKey(domain.ca.certificate).export({ format: "jwk" });
    const elements = [
      { ...ofCa, use: "x509-svid", x5c },
      { ...jwk, use: "jwt-svid", kid },
    ];
    const text = JSON.stringify({ keys: elements, spiffe_sequence: 1, spiffe_refresh_hint: 60 });
    writeFileSync(`${domain.file}.next`, text);
    renameSync(`${domain.file}.next`, domain.file);
  }

  function svid(domain: TrustDomain, sub = RANKER, claims: Record<string, unknown> = {}, aud = g.url): Promise<string> {
    const [key] = domain.keys;
    assert.ok(key !== undefined);
    return new SignJWT(claims)
      .setProtectedHeader({ alg: "ES256", kid: key.kid, typ: "JWT" })
      .setSubject(sub)
      .setAudience(aud)
      .setExpirationTime("5m")
      .sign(key.privateKey);
  }

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "cordon-spiffe-"));
    [a, b] = [trustDomain("a.example"), trustDomain("b.example")];
    const own = makeCa("The gateway's");
    server = issueCertificate(own, { ip: ["127.0.0.1"] });
    ranker = issueCertificate(a.ca, { uri: [RANKER], clientAuth: true });
    const write = (name: string, text: string): string => {
      writeFileSync(path.join(folder, name), text);
      return path.join(folder, name);
    };
    const tls = {
      certificate: write("server.pem", server.certificate),
      key: write("server.key", server.key),
      client_certificates: "optional",
      client_ca: write("authorities.pem", a.ca.certificate + b.ca.certificate),
    };
    const issuer = (domain: TrustDomain, port: number) => ({
      kind: "spiffe",
      issuer: `spiffe://${domain.name}`,
      trust_domain: domain.name,
      audience: [`https://127.0.0.1:${port}`],
      jwks: { file: domain.file },
      claims: {
        "agent.orchestration": { value: "hiring" },
        "agent.task": { value: "rank-j42" },
        "principal.type": { value: "workload" },
        "principal.id": { claim: "sub" },
        "intent.purpose": { value: "rank-candidates" },
        "intent.scope": { value: ["read:candidates:J42"] },
        "intent.constraints": { value: { job_id: "J42" } },
        "provenance.model": { value: "claude-sonnet-5" },
        "provenance.environment": { value: "production" },
      },
    });
    g = await startTestGateway(({ port }) => ({
      public_origins: [`https://127.0.0.1:${port}`],
      listeners: [{ name: "mtls", port, tls }],
      issuers: [issuer(a, port), issuer(b, port)],
    }));
  });
  after(async () => {
    await g.close();
    rmSync(folder, { recursive: true, force: true });
  });

  interface Ask {
    readonly certificate?: IssuedCertificate | undefined;
    readonly headers?: Readonly<Record<string, string>>;
    readonly agent?: Agent;
  }

  function ask(token: string, { certificate, headers, agent }: Ask = {}): Promise<CallAnswer> {
    const client = certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.key };
    return new Promise((resolve, reject) => {
      const sent = request(
        g.url + PATH,
        {
          agent: agent ?? false,
          // The gateway's own certificate is not what is tested here.
          rejectUnauthorized: false,
          headers: { authorization: `Bearer ${token}`, ...headers },
          ...client,
        },
        (response) => {
          response.setEncoding("utf8");
          let text = "";
          response.on("data", (part: string) => (text += part));
          response.on("end", () => {
            const json = <T>() => JSON.parse(text) as T;
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
          });
        },
      );
      sent.on("error", reject);
      sent.end();
    });
  }

  async function reasonOf(answer: CallAnswer): Promise<unknown> {
    const id = answer.headers["x-cordon-request-id"];
    const mine = (line: Record<string, unknown>): boolean => line["request_id"] === id;
    return (await g.lines("access", mine)).find(mine)?.["reason"];
  }

  async function refused(token: string, options?: Ask): Promise<unknown> {
    const answer = await ask(token, options);
    assert.equal(answer.status, 401, answer.text);
    return reasonOf(answer);
  }

  test("is served on a connection with the X.509-SVID of the same id, judged by policy, and named in the log", async () => {
    const answer = await ask(await svid(a), { certificate: ranker });
    assert.equal(answer.status, 200, answer.text);
    assert.match(
      String(g.tool.seen.at(-1)?.headers["x-cordon-agent"]),
      /^spiffe:\/\/a\.example\/agent\/hiring\/rank-j42\//,
    );
    assert.equal(g.tool.seen.at(-1)?.headers["authorization"], undefined);
    const elsewhere = await svid(a, RANKER, {});
    const salary = await new Promise<number>((resolve, reject) => {
      const headers = { authorization: `Bearer ${elsewhere}` };
      const client = { cert: ranker.certificate, key: ranker.key, agent: false, rejectUnauthorized: false };
      request(`${g.url}${PATH}/salary`, { headers, ...client }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
        .on("error", reject)
        .end();
    });
    assert.equal(salary, 403);
  });

  test("is a bearer token without one, and refused: no certificate, another id's, a stranger's", async () => {
    const token = await svid(a);
    assert.equal(await refused(token), "token.unbound");
    const other = issueCertificate(a.ca, { uri: ["spiffe://a.example/ns/hiring/sa/other"], clientAuth: true });
    assert.equal(await refused(token, { certificate: other }), "certificate.mismatch");
    const nameless = issueCertificate(a.ca, { dns: ["ranker.example"], clientAuth: true });
    assert.equal(await refused(token, { certificate: nameless }), "certificate.untrusted");
    const two = issueCertificate(a.ca, { uri: [RANKER, "spiffe://a.example/x"], clientAuth: true });
    assert.equal(await refused(token, { certificate: two }), "certificate.untrusted");
    const stranger = issueCertificate(makeCa("Nobody's"), { uri: [RANKER], clientAuth: true });
    assert.equal(await refused(token, { certificate: stranger }), "certificate.untrusted");
    const proof = await generateProof(await generateProofKey("ES256"), g.url + PATH, "GET", undefined, token);
    const headers = { authorization: `DPoP ${token}`, dpop: proof };
    assert.equal(await refused(token, { certificate: ranker, headers }), "token.unbound");
  });

  test("an authority of another trust domain makes nobody of this one, though the listener trusts it", async () => {
    const forged = issueCertificate(b.ca, { uri: [RANKER], clientAuth: true });
    assert.equal(await refused(await svid(a), { certificate: forged }), "certificate.untrusted");
    // Nor does its JWT authority: the kid is the same in both bundles.
    assert.equal(await refused(await svid(b), { certificate: ranker }), "token.signature");
    const theirs = await svid(b, "spiffe://b.example/ns/hiring/sa/ranker");
    assert.equal(await refused(theirs, { certificate: ranker }), "certificate.untrusted");
    const named = await svid(a, "spiffe://b.example/ns/hiring/sa/ranker", { iss: "spiffe://a.example" });
    assert.equal(await refused(named, { certificate: ranker }), "token.claims");
    assert.equal(
      await refused(await svid(a, RANKER, {}, "https://other.example"), { certificate: ranker }),
      "token.audience",
    );
  });

  test("an X.509-SVID below an intermediate is followed to the bundle, on each connection of a client that keeps sessions", async () => {
    const middle = issueCertificate(a.ca, { authority: true, name: "Intermediate of a.example" });
    const leaf = issueCertificate(middle, { uri: [RANKER], clientAuth: true });
    const chained = { certificate: leaf.certificate + middle.certificate, key: leaf.key };
    assert.equal((await ask(await svid(a), { certificate: chained })).status, 200);
    // A resumed session would know the leaf alone: none is ever resumed where certificates are asked for.
    const agent = new Agent({ keepAlive: false, maxCachedSessions: 10 });
    for (let index = 0; index < 3; index++) {
      assert.equal((await ask(await svid(a), { certificate: chained, agent })).status, 200);
    }
    // An intermediate that is a workload is none.
    const leafAsAuthority = issueCertificate(ranker, { uri: [RANKER], clientAuth: true });
    const forged = { certificate: leafAsAuthority.certificate + ranker.certificate, key: leafAsAuthority.key };
    assert.equal(await refused(await svid(a), { certificate: forged }), "certificate.untrusted");
  });

  test("with cnf in it, a proof of that key is what binds it, and no certificate is asked for", async () => {
    const keys = await generateProofKey("ES256", { extractable: true });
    const jkt = await calculateJwkThumbprint(await exportJWK(keys.publicKey));
    const token = await svid(a, RANKER, { cnf: { jkt } });
    const proof = () => generateProof(keys, g.url + PATH, "GET", undefined, token);
    assert.equal((await ask(token, { headers: { authorization: `DPoP ${token}`, dpop: await proof() } })).status, 200);
    assert.equal(await refused(token, { certificate: ranker }), "credentials.bound_token_as_bearer");
  });

  test("the bundle file is read again when it changes: the new key verifies, and the old one's tokens fall", async () => {
    const old = await svid(a);
    assert.equal((await ask(old, { certificate: ranker })).status, 200);
    writeFileSync(a.file, "{");
    assert.equal((await ask(old, { certificate: ranker })).status, 200, "a broken file takes nothing away");
    rotate(a, "k2");
    const next = await svid(a);
    let answer = await ask(next, { certificate: ranker });
    while (answer.status !== 200) {
      assert.equal(await reasonOf(answer), "token.key_unknown");
      answer = await ask(next, { certificate: ranker });
    }
    assert.equal(await refused(old, { certificate: ranker }), "token.key_unknown");
    // Nobody asks for a key that is unknown: what is known falls by itself.
    rotate(a, "k3");
    do answer = await ask(next, { certificate: ranker });
    while (answer.status === 200);
    assert.equal(await reasonOf(answer), "token.key_unknown");
  });
});
