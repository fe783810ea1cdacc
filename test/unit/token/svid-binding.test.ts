// The chain from an X.509-SVID to its trust domain's bundle, also where the TLS layer would have let another one pass.
import assert from "node:assert/strict";
import { hash, X509Certificate } from "node:crypto";
import { before, test } from "node:test";
import type { CertificateFacts } from "../../../src/token/certificate-binding.ts";
import { checkSvidBinding } from "../../../src/token/svid-binding.ts";
import { type IssuedCertificate, issueCertificate, makeCa } from "../../fixtures/certificates.ts";

const ID = "spiffe://a.example/ns/hiring/sa/ranker";
const of = ({ certificate }: IssuedCertificate): X509Certificate => new X509Certificate(certificate);

/** What the listener says of a chain that OpenSSL trusts. */
function facts(...chain: readonly X509Certificate[]): CertificateFacts {
  const [leaf] = chain;
  assert.ok(leaf !== undefined);
  return {
    thumbprint: hash("sha256", leaf.raw, "base64url"),
    chain,
    validFromMs: leaf.validFromDate.getTime(),
    validToMs: leaf.validToDate.getTime(),
    authorized: true,
  };
}

function outcome(certificate: CertificateFacts, authorities: readonly X509Certificate[], nowMs = Date.now()): string {
  const bound = checkSvidBinding(certificate, { id: ID, authorities: () => authorities }, nowMs);
  return bound.ok ? "bound" : bound.error.reason;
}

let ca: IssuedCertificate;
let leaf: IssuedCertificate;
before(() => {
  ca = makeCa("A");
  leaf = issueCertificate(ca, { uri: [ID], clientAuth: true });
});

test("a leaf is bound below an authority of the bundle, through the intermediates that were sent", () => {
  const middle = issueCertificate(ca, { authority: true, name: "Middle of A" });
  const below = issueCertificate(middle, { uri: [ID], clientAuth: true });
  assert.equal(outcome(facts(of(leaf)), [of(ca)]), "bound");
  assert.equal(outcome(facts(of(below), of(middle)), [of(ca)]), "bound");
  assert.equal(outcome(facts(of(below), of(middle), of(ca)), [of(ca)]), "bound");
  assert.equal(outcome(facts(of(below)), [of(ca)]), "certificate.untrusted");
  // Another key under the same name, and a certificate that says who signed it and whose signature is not right.
  assert.equal(outcome(facts(of(leaf)), [of(makeCa("A"))]), "certificate.untrusted");
  const forged = Buffer.from(of(leaf).raw);
  forged.writeUInt8(forged.readUInt8(forged.length - 1) ^ 1, forged.length - 1);
  assert.equal(outcome(facts(new X509Certificate(forged)), [of(ca)]), "certificate.untrusted");
});

test("no workload signs for another, and no authority is a workload", () => {
  const forged = issueCertificate(leaf, { uri: [ID], clientAuth: true });
  assert.equal(outcome(facts(of(forged), of(leaf)), [of(ca)]), "certificate.untrusted");
  const authority = issueCertificate(ca, { uri: [ID], authority: true, name: "Middle of A" });
  assert.equal(outcome(facts(of(authority)), [of(ca)]), "certificate.untrusted");
});

test("a certificate outside its validity binds nothing, and one that was checked before is checked against new authorities", () => {
  const shown = facts(of(leaf));
  assert.equal(outcome(shown, [of(ca)], shown.validToMs + 1), "certificate.expired");
  assert.equal(outcome(shown, [of(ca)], shown.validFromMs - 1), "certificate.expired");
  const authorities = [of(ca)];
  assert.equal(outcome(shown, authorities), "bound");
  assert.equal(outcome(shown, authorities), "bound");
  assert.equal(outcome(shown, []), "certificate.untrusted");
  assert.equal(outcome({ ...shown, authorized: false }, authorities), "certificate.untrusted");
});
