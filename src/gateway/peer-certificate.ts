// In: a TLS connection. Out: the facts of its client certificate, read once a connection.
// Trusts: OpenSSL's verdict on the chain at the handshake; validity is checked again for each exchange by `token/`.
import type { TLSSocket } from "node:tls";
import type { CertificateFacts } from "../token/certificate-binding.ts";
import type { ListenerFacts } from "./services.ts";

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
          raw: certificate.raw,
          validFromMs: certificate.validFromDate.getTime(),
          validToMs: certificate.validToDate.getTime(),
          authorized: socket.authorized,
        };
  known.set(socket, facts);
  return facts ?? undefined;
}
