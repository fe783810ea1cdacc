// In: facts of the client certificate on this connection, the token's `cnf["x5t#S256"]`, the time. Out: the thumbprint, or why not.
// Trusts the TLS layer's chain check (`authorized`), not its moment: a resumed session skips validity, so it is checked here.
import type { X509Certificate } from "node:crypto";
import { deny } from "../errors.ts";
import type { Denial } from "../errors.ts";
import { err, ok } from "../lib/result.ts";
import type { Result } from "../lib/result.ts";

export interface CertificateFacts {
  /** Base64url SHA-256 of the leaf's DER. */
  readonly thumbprint: string;
  /** As the caller sent them, the leaf first. A resumed session may know the leaf alone. */
  readonly chain: readonly X509Certificate[];
  readonly validFromMs: number;
  readonly validToMs: number;
  /** The chain leads to a configured authority. */
  readonly authorized: boolean;
}

/** RFC 8705 section 3.1. Called for each exchange. */
export function checkCertificateBinding(
  certificate: CertificateFacts | undefined,
  x5tS256: string,
  nowMs: number,
): Result<string, Denial> {
  if (certificate === undefined) return err(deny("certificate.missing"));
  if (!certificate.authorized) return err(deny("certificate.untrusted"));
  // Written so that a date that could not be read, NaN, is refused.
  if (!(nowMs >= certificate.validFromMs && nowMs <= certificate.validToMs)) return err(deny("certificate.expired"));
  const { thumbprint } = certificate;
  return thumbprint === x5tS256 ? ok(thumbprint) : err(deny("certificate.mismatch"));
}
