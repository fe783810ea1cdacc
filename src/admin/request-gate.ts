// In: the request's target and headers, before anything else is looked at. Out: a refusal, or nothing.
// Keeps web pages out: DNS rebinding by Host, cross-site requests by Origin, Sec-Fetch-Site and the content type.
import type { IncomingMessage } from "node:http";
import { isIPv6 } from "node:net";

export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
}

export interface OwnNames {
  readonly hosts: ReadonlySet<string>;
  readonly origins: ReadonlySet<string>;
}

const READS = new Set(["GET", "HEAD", "OPTIONS"]);
const JSON_TYPE = /^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;
const HTTP_PORT = 80;

/** `allowedHosts` are Host values as they are sent, with their port where it is not the scheme's own. */
export function ownNames(address: string, port: number, allowedHosts: readonly string[]): OwnNames {
  const hosts = new Set<string>();
  for (const host of [isIPv6(address) ? `[${address}]` : address, "localhost", "127.0.0.1", "[::1]"]) {
    hosts.add(`${host}:${port}`.toLowerCase());
    if (port === HTTP_PORT) hosts.add(host.toLowerCase());
  }
  const origins = new Set([...hosts].map((host) => `http://${host}`));
  for (const host of allowedHosts.map((name) => name.toLowerCase())) {
    hosts.add(host);
    // An operator's own name usually stands on a TLS terminator.
    origins.add(`http://${host}`).add(`https://${host}`);
  }
  return { hosts, origins };
}

export function checkRequest(request: IncomingMessage, own: OwnNames): Refusal | undefined {
  const { headers, headersDistinct, method = "", url = "" } = request;
  if (!url.startsWith("/")) return refuse(400, "bad_target", "Send a plain absolute path.");
  const hosts = headersDistinct["host"] ?? [];
  if (hosts.length !== 1 || !own.hosts.has(String(hosts[0]).toLowerCase())) {
    return refuse(403, "host_refused", "This Host is not served here; name it in `admin.allowed_hosts` to allow it.");
  }
  if (headers.origin !== undefined && !own.origins.has(headers.origin.toLowerCase())) {
    return refuse(403, "origin_refused", "Requests from web pages of another origin are refused.");
  }
  // `same-site` is refused too: another port of the same host is the same site, and any program may serve it.
  const site = headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin" && site !== "none") {
    return refuse(403, "origin_refused", "Requests from web pages of another site are refused.");
  }
  // A form can send neither this type nor a preflight; what has no JSON type never reaches a handler.
  if (!READS.has(method) && !JSON_TYPE.test(headers["content-type"] ?? "")) {
    return refuse(415, "unsupported_media_type", "Send `Content-Type: application/json` with every change.");
  }
  return undefined;
}

function refuse(status: number, code: string, detail: string): Refusal {
  return { status, code, detail };
}
