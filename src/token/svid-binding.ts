// In: the client certificate of this connection, a JWT-SVID's id, its trust domain's authorities, the time. Out: the thumbprint, or why not.
// Trusts the bundle of that trust domain alone for the name; the TLS layer's chain check (`authorized`) must hold as well.
import type { X509Certificate } from "node:crypto";
import { deny } from "../errors.ts";
import type { Denial } from "../errors.ts";
import { err, ok } from "../lib/result.ts";
import type { Result } from "../lib/result.ts";
import type { CertificateFacts } from "./certificate-binding.ts";

/** What binds a JWT-SVID without `cnf`: the X.509-SVID of the same id. */
export interface SvidBinding {
  readonly id: string;
  /** Of the trust domain's bundle as it is now. */
  readonly authorities: () => readonly X509Certificate[];
}

interface CheckedChain {
  readonly authorities: readonly X509Certificate[];
  readonly id: string | undefined;
  readonly thumbprint: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Signatures are verified once a connection, and again when the authorities change. */
const checked = new WeakMap<CertificateFacts, CheckedChain>();

/** Called for each exchange. */
export function checkSvidBinding(
  certificate: CertificateFacts | undefined,
  binding: SvidBinding,
  nowMs: number,
): Result<string, Denial> {
  if (certificate === undefined) return err(deny("token.unbound", "neither `cnf` nor an X.509-SVID"));
  if (!certificate.authorized) return err(deny("certificate.untrusted"));
  const authorities = binding.authorities();
  let chain = checked.get(certificate);
  if (chain?.authorities !== authorities) {
    chain = checkChain(certificate, authorities);
    checked.set(certificate, chain);
  }
  // Written so that a date that could not be read, NaN, is refused.
  if (!(nowMs >= chain.fromMs && nowMs <= chain.untilMs)) return err(deny("certificate.expired"));
  // The listener may trust authorities of several trust domains: the name counts only below those of its own.
  if (chain.id === undefined) return err(deny("certificate.untrusted", "not an X.509-SVID of this trust domain"));
  return chain.id === binding.id ? ok(chain.thumbprint) : err(deny("certificate.mismatch", "another SPIFFE id"));
}

/** The way from the leaf through what the caller sent to an authority of the bundle. OpenSSL has checked the rest. */
function checkChain(certificate: CertificateFacts, authorities: readonly X509Certificate[]): CheckedChain {
  const { chain, thumbprint } = certificate;
  const path: X509Certificate[] = [];
  let anchored = false;
  for (const [index, one] of chain.entries()) {
    // Only the leaf names the workload; whatever signed it must be an authority (X.509-SVID sections 4 and 5).
    if (one.ca === (index === 0)) break;
    path.push(one);
    const anchor = authorities.find((authority) => isIssuedBy(one, authority));
    if (anchor !== undefined) {
      path.push(anchor);
      anchored = true;
      break;
    }
    const next = chain[index + 1];
    if (next === undefined || !isIssuedBy(one, next)) break;
  }
  const [leaf] = chain;
  return {
    authorities,
    id: anchored && leaf !== undefined ? spiffeIdOf(leaf) : undefined,
    thumbprint,
    fromMs: Math.max(certificate.validFromMs, ...path.map((one) => one.validFromDate.getTime())),
    untilMs: Math.min(certificate.validToMs, ...path.map((one) => one.validToDate.getTime())),
  };
}

function isIssuedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

/** X.509-SVID section 2: exactly one URI name, and it is the identity. A quoted name could hide a second one. */
function spiffeIdOf(leaf: X509Certificate): string | undefined {
  const names = leaf.subjectAltName ?? "";
  const uris = names.includes('"') ? [] : names.split(", ").filter((entry) => entry.startsWith("URI:"));
  const [uri] = uris;
  return uris.length === 1 && uri !== undefined ? uri.slice("URI:".length) : undefined;
}
