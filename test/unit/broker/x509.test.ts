// The certificates of this issuer, read by others: OpenSSL's command line and node:crypto.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import * as fc from "fast-check";
import { issueAuthority, issueSvid, pemOf } from "../../../src/broker/x509/certificate.ts";
import { openAuthority } from "../../../src/broker/x509/authority.ts";
import { integer, namedBits, oid, time } from "../../../src/broker/x509/der.ts";

const TRUST_DOMAIN = "acme.example";
const ID = `spiffe://${TRUST_DOMAIN}/agent/hiring/rank-j42/lq3mWb2Ss0gGZ5yF1xkQ0X2b2u7y6v5t4s3r2q1p0oA`;
const NOW_MS = Date.now();
const VALIDITY = { notBeforeMs: NOW_MS - 60_000, notAfterMs: NOW_MS + 300_000 };

const p256 = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const ed25519 = () => generateKeyPairSync("ed25519");

function authority() {
  const made = { trustDomain: TRUST_DOMAIN, key: p256().privateKey };
  return { made, certificate: issueAuthority(made, VALIDITY) };
}

function files(t: TestContext, contents: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-x509-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return Object.fromEntries(
    Object.entries(contents).map(([name, text]) => {
      const file = path.join(folder, name);
      writeFileSync(file, text);
      return [name, file];
    }),
  );
}

const openssl = (...args: string[]) => spawnSync("openssl", args, { encoding: "utf8" });

for (const [name, make] of [
  ["P-256", p256],
  ["Ed25519", ed25519],
] as const) {
  test(`openssl verifies the certificate of a ${name} key for a client and for a server, and nothing it must not do`, (t) => {
    const { made, certificate } = authority();
    const leaf = issueSvid(made, ID, make().publicKey, VALIDITY);
    const { "ca.pem": ca = "", "leaf.pem": file = "" } = files(t, {
      "ca.pem": pemOf(certificate),
      "leaf.pem": pemOf(leaf),
    });
    for (const purpose of ["sslclient", "sslserver"]) {
      const verified = openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca, file);
      assert.equal(verified.status, 0, verified.stderr);
    }
    const shown = execFileSync("openssl", ["x509", "-in", file, "-noout", "-text"], { encoding: "utf8" });
    assert.match(shown, /X509v3 Basic Constraints: critical\s+CA:FALSE/);
    assert.match(shown, /X509v3 Key Usage: critical\s+Digital Signature\n/);
    assert.match(shown, /TLS Web Server Authentication, TLS Web Client Authentication/);
    assert.match(shown, new RegExp(`X509v3 Subject Alternative Name: critical\\s+URI:${ID}\\n`));
    assert.match(shown, /Version: 3/);
    const parent = execFileSync("openssl", ["x509", "-in", ca, "-noout", "-text"], { encoding: "utf8" });
    assert.match(parent, /X509v3 Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    assert.match(parent, /X509v3 Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    assert.match(parent, /URI:spiffe:\/\/acme\.example\n/);
  });
}

test("a certificate of another authority, one that has expired, or one that was altered is refused by openssl", (t) => {
  const { made, certificate } = authority();
  const other = authority();
  const { publicKey } = p256();
  const altered = issueSvid(made, ID, publicKey, VALIDITY);
  const at = altered.indexOf("rank-j42");
  altered.write("rank-j43", at, "latin1");
  const late = issueSvid(made, ID, publicKey, { notBeforeMs: NOW_MS - 120_000, notAfterMs: NOW_MS - 60_000 });
  const paths = files(t, {
    "ca.pem": pemOf(certificate),
    "stranger.pem": pemOf(issueSvid(other.made, ID, publicKey, VALIDITY)),
    "late.pem": pemOf(late),
    "altered.pem": pemOf(altered),
    // An agent must not be able to make agents: its certificate is no authority.
    "child.pem": pemOf(issueSvid({ trustDomain: TRUST_DOMAIN, key: p256().privateKey }, ID, publicKey, VALIDITY)),
  });
  for (const name of ["stranger.pem", "late.pem", "altered.pem", "child.pem"]) {
    const refused = openssl("verify", "-CAfile", paths["ca.pem"] ?? "", paths[name] ?? "");
    assert.notEqual(refused.status, 0, name);
  }
});

test("node:crypto reads the names, the times and the key, and verifies the signature", () => {
  const { made, certificate } = authority();
  const keys = p256();
  const der = issueSvid(made, ID, keys.publicKey, VALIDITY);
  const leaf = new X509Certificate(der);
  const ca = new X509Certificate(certificate);
  assert.equal(leaf.subjectAltName, `URI:${ID}`);
  assert.ok(leaf.verify(createPublicKey(made.key)) && leaf.checkIssued(ca) && ca.ca && !leaf.ca);
  assert.ok(leaf.checkPrivateKey(keys.privateKey));
  assert.equal(leaf.validFromDate.getTime(), Math.floor(VALIDITY.notBeforeMs / 1000) * 1000);
  assert.equal(leaf.validToDate.getTime(), Math.floor(VALIDITY.notAfterMs / 1000) * 1000);
  assert.equal(new X509Certificate(pemOf(der)).serialNumber, leaf.serialNumber);
});

test("a new root is published long before it signs, beside the old one, and both stand in the file for gateways", async (t) => {
  const dataFolder = mkdtempSync(path.join(tmpdir(), "cordon-authority-"));
  t.after(() => rmSync(dataFolder, { recursive: true, force: true }));
  const open = async (nowMs: number) => {
    const authority = await openAuthority({
      dataFolder,
      trustDomain: TRUST_DOMAIN,
      nowMs: () => nowMs,
      onChange: () => undefined,
      onProblem: (error) => assert.fail(error),
    });
    authority.close();
    assert.equal(readFileSync(path.join(dataFolder, "broker", "ca.pem"), "utf8"), authority.roots);
    return authority;
  };
  const first = await open(NOW_MS);
  const later = await open(NOW_MS + 30 * 86_400_000);
  assert.ok(later.roots.startsWith(first.roots) && later.roots.length > first.roots.length);
  const { publicKey } = p256();
  const leaf = new X509Certificate(later.issue(ID, publicKey, NOW_MS + 30 * 86_400_000 + 300_000));
  const [old, next] = later.roots.split(/(?<=-----END CERTIFICATE-----\n)/).map((root) => new X509Certificate(root));
  assert.ok(old !== undefined && next !== undefined);
  assert.ok(leaf.verify(old.publicKey) && !leaf.verify(next.publicKey));
  // An issuer that is started anew each day turns all the same, and its old root goes when nothing needs it any more.
  for (let day = 31; day <= 37; day++) await open(NOW_MS + day * 86_400_000);
  const turned = await open(NOW_MS + 38 * 86_400_000);
  const late = new X509Certificate(turned.issue(ID, publicKey, NOW_MS + 38 * 86_400_000 + 300_000));
  assert.ok(late.verify(next.publicKey));
  assert.equal(turned.roots, next.toString());
  // Beyond the overlap, the signing and the retirement that are ahead of it.
  assert.ok(next.validToDate.getTime() > NOW_MS + (30 + 7 + 30) * 86_400_000 + 3_660_000);
});

test("serial numbers are positive, of one length, and never the same twice", () => {
  const { made } = authority();
  const { publicKey } = p256();
  const serials = Array.from({ length: 50 }, () => serialOf(made, publicKey));
  assert.equal(new Set(serials).size, 50);
  for (const serial of serials) assert.match(serial, /^[4-7][0-9A-F]{31}$/);
});

function serialOf(made: { trustDomain: string; key: KeyObject }, key: KeyObject): string {
  return new X509Certificate(issueSvid(made, ID, key, VALIDITY)).serialNumber;
}

test("openssl reads every length of name that a SPIFFE id may have", () => {
  const { made } = authority();
  const { publicKey } = p256();
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1900 }), (length) => {
      const id = `spiffe://${TRUST_DOMAIN}/agent/${"a".repeat(length)}`;
      assert.equal(new X509Certificate(issueSvid(made, id, publicKey, VALIDITY)).subjectAltName, `URI:${id}`);
    }),
    { numRuns: 50, examples: [[1], [80], [81], [200], [210], [1900]] },
  );
});

test("the encoder writes the forms that X.690 and RFC 5280 ask for", () => {
  const hex = (bytes: Buffer) => bytes.toString("hex");
  assert.equal(hex(integer(Buffer.from([0, 0]))), "020100");
  assert.equal(hex(integer(Buffer.from([0x80]))), "02020080");
  assert.equal(hex(integer(Buffer.from([0, 0x7f]))), "02017f");
  assert.equal(hex(oid("1.2.840.10045.4.3.2")), "06082a8648ce3d040302");
  assert.equal(hex(namedBits(0)), "03020780");
  assert.equal(hex(namedBits(5, 6)), "03020106");
  assert.equal(time(Date.UTC(2049, 11, 31, 23, 59, 59, 999)).toString("latin1", 2), "491231235959Z");
  assert.equal(time(Date.UTC(2050, 0, 1)).toString("latin1", 2), "20500101000000Z");
});
