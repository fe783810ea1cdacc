// In: a key, names and a time. Out: an X.509 certificate in DER (RFC 5280), as the X.509-SVID of SPIFFE asks for it.
// Pure, but for the serial number. Trusts: the caller has proven that whoever asked holds the key and the identity.
import { createHash, createPublicKey, type KeyObject, randomBytes, sign } from "node:crypto";
import {
  bitString,
  boolean,
  explicit,
  implicit,
  integer,
  namedBits,
  octetString,
  oid,
  sequence,
  setOfOne,
  time,
  utf8String,
} from "./der.ts";

const OID = {
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

const DIGITAL_SIGNATURE = 0;
const KEY_CERT_SIGN = 5;
const CRL_SIGN = 6;
const URI_NAME = 6;
/** RFC 5280 section 4.1.2.2: at most 20 octets; CAs draw at least 64 bits. */
const SERIAL_BYTES = 16;

export interface Authority {
  readonly trustDomain: string;
  /** P-256, private. */
  readonly key: KeyObject;
}

export interface Validity {
  /** Unix milliseconds, cut to whole seconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** The authority's own certificate: signs agents' certificates, and no further authority. */
export function issueAuthority(authority: Authority, validity: Validity): Buffer {
  const key = createPublicKey(authority.key);
  return issue(authority, {
    subject: authorityName(authority.trustDomain),
    key,
    validity,
    extensions: [
      extension(OID.basicConstraints, true, sequence(boolean(true), integer(Buffer.from([0])))),
      extension(OID.keyUsage, true, namedBits(KEY_CERT_SIGN, CRL_SIGN)),
      extension(OID.subjectKeyIdentifier, false, octetString(keyIdentifier(key))),
      // X.509-SVID section 3.1: an authority is named by its trust domain.
      extension(OID.subjectAltName, false, uriName(`spiffe://${authority.trustDomain}`)),
    ],
  });
}

/** The certificate of one agent. `id` is its SPIFFE id, the one name in it (X.509-SVID section 2). */
export function issueSvid(authority: Authority, id: string, key: KeyObject, validity: Validity): Buffer {
  return issue(authority, {
    subject: sequence(),
    key,
    validity,
    extensions: [
      extension(OID.basicConstraints, true, sequence()),
      extension(OID.keyUsage, true, namedBits(DIGITAL_SIGNATURE)),
      extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth), oid(OID.clientAuth))),
      extension(OID.subjectKeyIdentifier, false, octetString(keyIdentifier(key))),
      extension(
        OID.authorityKeyIdentifier,
        false,
        sequence(implicit(0, keyIdentifier(createPublicKey(authority.key)))),
      ),
      // Critical, since the subject is empty (RFC 5280 section 4.2.1.6).
      extension(OID.subjectAltName, true, uriName(id)),
    ],
  });
}

export function pemOf(certificate: Uint8Array): string {
  const lines = Buffer.from(certificate)
    .toString("base64")
    .replaceAll(/(.{64})(?!$)/g, "$1\n");
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

function issue(
  authority: Authority,
  what: {
    readonly subject: Buffer;
    readonly key: KeyObject;
    readonly validity: Validity;
    readonly extensions: readonly Buffer[];
  },
): Buffer {
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const serial = randomBytes(SERIAL_BYTES);
  // Positive, never zero, and of the same length each time.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const toBeSigned = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(serial),
    algorithm,
    authorityName(authority.trustDomain),
    sequence(time(what.validity.notBeforeMs), time(what.validity.notAfterMs)),
    what.subject,
    what.key.export({ type: "spki", format: "der" }),
    explicit(3, sequence(...what.extensions)),
  );
  const signature = sign("sha256", toBeSigned, { key: authority.key, dsaEncoding: "der" });
  return sequence(toBeSigned, algorithm, bitString(signature));
}

function authorityName(trustDomain: string): Buffer {
  return sequence(attribute(OID.organization, trustDomain), attribute(OID.commonName, "Cordon agents"));
}

function attribute(type: string, value: string): Buffer {
  return setOfOne(sequence(oid(type), utf8String(value)));
}

function extension(type: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(type), ...(critical ? [boolean(true)] : []), octetString(value));
}

function uriName(uri: string): Buffer {
  return sequence(implicit(URI_NAME, Buffer.from(uri, "latin1")));
}

/** RFC 7093 section 2 method 1: a name for the key, no promise about it. */
function keyIdentifier(key: KeyObject): Buffer {
  return createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest()
    .subarray(0, 20);
}
