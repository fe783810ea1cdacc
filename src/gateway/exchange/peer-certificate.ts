// In: a TLS connection. Out: the facts of its client certificate, read once a connection.
// Trusts: OpenSSL's verdict on the chain at the handshake; validity is checked again for each exchange by `token/`.
import { hash, type X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { CertificateFacts } from "../../token/certificate-binding.ts";
import type { ListenerFacts } from "../thread/services.ts";

/** Leaf, intermediates and a root; OpenSSL itself follows no chain to its end that is much longer. */
const CHAIN_MAX = 8;

const known = new WeakMap<TLSSocket, CertificateFacts | null>();

/** Undefined where the listener does not ask for certificates, or the client presented none. */
export function peerCertificate(socket: TLSSocket, listener: ListenerFacts): CertificateFacts | undefined {
  if (!listener.clientCertificates) return undefined;
  const cached = known.get(socket);
  if (cached !== undefined) return cached ?? undefined;
  const certificate = socket.getPeerX509Certificate();
  const facts =
    certificate === undefined
      ? null
      : {
          thumbprint: hash("sha256", certificate.raw, "base64url"),
          chain: chainOf(certificate),
          validFromMs: certificate.validFromDate.getTime(),
          validToMs: certificate.validToDate.getTime(),
          authorized: socket.authorized,
        };
  known.set(socket, facts);
  return facts ?? undefined;
}

/** A root that was sent along is its own issuer. */
function chainOf(leaf: X509Certificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let one: X509Certificate | undefined = leaf; one !== undefined && chain.length < CHAIN_MAX; ) {
    chain.push(one);
    one = one.issuerCertificate;
  }
  return chain;
}
