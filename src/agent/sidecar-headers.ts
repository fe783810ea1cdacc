// In: the raw header pairs of one side. Out: the raw header pairs for the other.
// The program's own credentials end here: what it sends as Authorization or DPoP is replaced by the agent's.

/** RFC 9110 section 7.6.1, and what frames a message: each connection has its own. `Expect` is the sidecar's to say. */
const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "expect",
];
const REQUEST_DROPPED = new Set([...HOP_BY_HOP, "host", "authorization", "dpop"]);
/** The program has no key: a nonce is nothing to it, and it would only try to sign. */
const RESPONSE_DROPPED = new Set([...HOP_BY_HOP, "dpop-nonce"]);

/** What the gateway is told of the program's request. */
export interface RequestHeaders {
  /** A header that carries it, as `Referer` may, goes nowhere. */
  readonly secret: string;
  readonly mapOrigin: (origin: string) => string;
}

/** Framing and credentials are the caller's to add. */
export function headersForGateway(raw: readonly string[], { secret, mapOrigin }: RequestHeaders): string[] {
  const kept = keep(raw, (name, value) => !REQUEST_DROPPED.has(name) && !value.includes(secret));
  return mapValues(kept, "origin", mapOrigin);
}

export function headersForProgram(raw: readonly string[], mapLocation: (location: string) => string): string[] {
  const kept = keep(raw, (name) => !RESPONSE_DROPPED.has(name));
  return mapValues(kept, "location", mapLocation);
}

function mapValues(pairs: readonly string[], lowerName: string, map: (value: string) => string): string[] {
  return pairs.map((text, at) => (at % 2 === 1 && pairs[at - 1]?.toLowerCase() === lowerName ? map(text) : text));
}

function keep(raw: readonly string[], isKept: (lowerName: string, value: string) => boolean): string[] {
  const named = namedByConnection(raw);
  const kept: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? "";
    const value = raw[at + 1] ?? "";
    const lowerName = name.toLowerCase();
    if (isKept(lowerName, value) && !named.has(lowerName)) kept.push(name, value);
  }
  return kept;
}

/** What `Connection` names is of this connection too; framing is not the sender's to take away. */
function namedByConnection(raw: readonly string[]): Set<string> {
  const named = new Set<string>();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    if (raw[at]?.toLowerCase() !== "connection") continue;
    for (const name of (raw[at + 1] ?? "").split(",")) named.add(name.trim().toLowerCase());
  }
  named.delete("content-length");
  return named;
}
