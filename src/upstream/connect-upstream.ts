// In: one upstream's address and TLS rules. Out: a connector for undici and for tunnels: checked address, verified peer.
// Trusts: the configured CA (or the system's) and the resolver's answer after its check.
import { readFileSync } from "node:fs";
import { isIP, type Socket } from "node:net";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { checkServerIdentity } from "node:tls";
import { buildConnector } from "undici";
import type { UpstreamConfig } from "../config/schema.ts";
import { type Denial, deny } from "../errors.ts";
import { AddressRefusedError, createPinnedLookup, isAddressAllowed } from "./pinned-lookup.ts";

/** A connection that was not made; nothing was sent. */
export class ConnectError extends Error {
  readonly denial: Denial;

  constructor(denial: Denial, cause: unknown) {
    super(denial.reason, { cause });
    this.denial = denial;
  }
}

export type SocketEvent = "open" | "close";

export type Connect = (callback: (error: ConnectError | null, socket: Socket | TLSSocket | null) => void) => void;

export interface Connector {
  /** For undici's pools. */
  readonly forPool: buildConnector.connector;
  /** For one tunnel. */
  readonly connect: Connect;
}

type ConnectRules = Pick<
  UpstreamConfig,
  | "server_name"
  | "spiffe_id"
  | "ca"
  | "client_certificate"
  | "client_key"
  | "allow_private_addresses"
  | "connect_timeout_ms"
>;

/** Failures of the network before TLS could say anything about the peer. */
const NETWORK_CODES = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ENETDOWN",
  "ETIMEDOUT",
  "EPIPE",
  "EADDRNOTAVAIL",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EAI_FAIL",
  "EAI_NODATA",
  "EMFILE",
  "ENFILE",
  "EACCES",
  "EPERM",
  "ENOBUFS",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** Throws where a certificate, key or CA file cannot be read. */
export function createConnector(
  url: URL,
  rules: ConnectRules,
  onSocketEvent?: (event: SocketEvent) => void,
): Connector {
  const secure = url.protocol === "https:";
  const hostname = url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname;
  const refusedLiteral = isIP(hostname) !== 0 && !isAddressAllowed(hostname, rules.allow_private_addresses);
  const open = buildConnector({
    lookup: createPinnedLookup(rules.allow_private_addresses),
    timeout: rules.connect_timeout_ms,
    allowH2: false,
    autoSelectFamily: true,
    ...(secure ? tlsOptions(rules) : {}),
  });

  const forPool: buildConnector.connector = (options, callback) => {
    if (refusedLiteral) {
      const error = new ConnectError(deny("upstream.address_refused", hostname), null);
      queueMicrotask(() => callback(error, null));
      return;
    }
    open(options, (...[error, socket]) => {
      if (error !== null) {
        callback(new ConnectError(connectDenial(error, secure), error), null);
        return;
      }
      socket.on("error", asTruncation);
      if (onSocketEvent !== undefined) {
        onSocketEvent("open");
        socket.once("close", () => onSocketEvent("close"));
      }
      callback(null, socket);
    });
  };

  const connect: Connect = (callback) => {
    const options = { hostname, host: url.host, protocol: url.protocol, port: url.port };
    forPool(options, (...[error, socket]) => callback(error as ConnectError | null, socket));
  };
  return { forPool, connect };
}

/**
 * undici takes a reset for the end of a response that the connection's end delimits; a cut response must not look complete.
 * Its check is on the code, and this listener runs before undici's.
 */
function asTruncation(error: NodeJS.ErrnoException): void {
  if (error.code === "ECONNRESET") error.code = "UPSTREAM_RESET";
}

function tlsOptions(rules: ConnectRules): object {
  return {
    // Said here, so that NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment changes nothing.
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    // A resumed session skips the check of name and validity: every connection makes a full handshake.
    maxCachedSessions: 0,
    ...(rules.server_name === undefined ? {} : { servername: rules.server_name }),
    ...(rules.ca === undefined ? {} : { ca: readFileSync(rules.ca) }),
    ...(rules.client_certificate === undefined ? {} : { cert: readFileSync(rules.client_certificate) }),
    ...(rules.client_key === undefined ? {} : { key: readFileSync(rules.client_key) }),
    checkServerIdentity: (name: string, certificate: PeerCertificate) =>
      rules.spiffe_id === undefined
        ? checkServerIdentity(rules.server_name ?? name, certificate)
        : checkSpiffeId(rules.spiffe_id, certificate),
  };
}

/** X.509-SVID section 2: exactly one URI name, and it is the identity. A quoted name could hide a second one. */
export function checkSpiffeId(
  expected: string,
  certificate: Pick<PeerCertificate, "subjectaltname">,
): Error | undefined {
  const names = certificate.subjectaltname ?? "";
  const uris = names.includes('"') ? [] : names.split(", ").filter((entry) => entry.startsWith("URI:"));
  if (uris.length === 1 && uris[0] === `URI:${expected}`) return undefined;
  return Object.assign(new Error(`the certificate does not carry ${expected}`), { code: "ERR_SPIFFE_ID" });
}

function connectDenial(error: Error & { code?: unknown }, secure: boolean): Denial {
  if (error instanceof AddressRefusedError) return deny("upstream.address_refused", error.message);
  const code = typeof error.code === "string" ? error.code : error.name;
  if (error instanceof AggregateError || NETWORK_CODES.has(code) || !secure) return deny("upstream.unreachable", code);
  return deny("upstream.untrusted", code);
}
