// In: raw header pairs of one side. Out: the raw header pairs for the other side.
// Trusts: node's and undici's parsers for the syntax of names and values; no value that the client sent.
//
// The caller's credentials end here, cookies among them: they are ambient bearer credentials, and an agent
// proves itself by key. What a proxy in front would say about the client is the gateway's own to say.

/**
 * RFC 9110 7.6.1, and what frames a message: the connection to the tool has its own. `close` is no field but an option
 * (18.4): whoever sends one of that name beside `Connection: close` has named it.
 */
const HOP_BY_HOP = [
  "connection",
  "close",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  "trailer",
  "http2-settings",
  "proxy-authenticate",
  "proxy-authorization",
  "host",
  "content-length",
  "expect",
  "alt-used",
  // CGI hands it to a tool as HTTP_PROXY, and the tool's own calls would go through it (CVE-2016-5385).
  "proxy",
];

const CALLER_CREDENTIALS = [
  "authorization",
  "dpop",
  "cookie",
  "cookie2",
  "client-cert",
  "client-cert-chain",
  "workload-identity-token",
  "workload-proof-token",
];

/** Who the client is, as a trusted proxy would say it, and requests to judge another method or target than was judged. */
const GATEWAY_WORDS = [
  "forwarded",
  "x-forwarded",
  "x-real-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "true-client-ip",
  "cf-connecting-ip",
  "x-client-cert",
  "ssl-client-cert",
  "ssl-client-verify",
  "x-host",
  "x-original-host",
  "x-http-host-override",
  "x-original-url",
  "x-rewrite-url",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
];

const REQUEST_DROPPED = new Set([...HOP_BY_HOP, ...CALLER_CREDENTIALS, ...GATEWAY_WORDS]);

const WHOLE_RESPONSE_ONLY = new Set(["accept-encoding", "range", "if-range"]);

/**
 * A tool's challenge is addressed to the gateway and its credential: passed on, it would send the agent with its
 * own key to another server (`www-authenticate`), break its proofs (`dpop-nonce`) or lead it around the gateway (`alt-svc`).
 */
const RESPONSE_DROPPED = new Set([
  "connection",
  "close",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  "proxy-authenticate",
  "proxy-authentication-info",
  "authentication-info",
  "www-authenticate",
  "dpop-nonce",
  "alt-svc",
  // A server in front of the gateway would take these for its own backend's word, and answer with a file or URL of its own.
  "x-accel-redirect",
  "x-sendfile",
  "x-lighttpd-send-file",
  "x-reproxy-url",
]);

/** What describes the bytes of a body, and is wrong once they are changed: RFC 9110 8.8.3, RFC 9530, RFC 9421. */
const DESCRIBES_BYTES = new Set([
  "content-length",
  "etag",
  "content-md5",
  "digest",
  "content-digest",
  "repr-digest",
  "accept-ranges",
  "signature",
  "signature-input",
]);

/** Not allowed in a trailer section: RFC 9110 6.5.1. */
const TRAILER_DROPPED = new Set([
  ...RESPONSE_DROPPED,
  "content-length",
  "host",
  "trailer",
  "content-encoding",
  "content-type",
  "content-range",
  "cache-control",
  "expires",
  "age",
  "date",
  "location",
  "retry-after",
  "vary",
  "set-cookie",
  "warning",
]);

const ODD_NAME = /[^a-z0-9-]/;
const ODD_CHARACTERS = /[^a-z0-9-]/g;

export type HeaderPairs = readonly (readonly [string, string])[];

/** A header as undici parses it: lower-case name, one value or several. */
export type ParsedHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** True for a lower-case name that only the gateway may send to a tool, also with another sign for `-`. */
export function isStrippedFromRequest(lowerName: string): boolean {
  const name = folded(lowerName);
  return REQUEST_DROPPED.has(name) || name.startsWith("x-cordon-") || name.startsWith("x-forwarded-");
}

/**
 * The headers to send to the tool. `own` replaces the client's of the same name (identity and the upstream's credential);
 * `mayRedact` also removes what asks for a part or an encoding of the response. Content-Length is the caller's to add.
 */
export function requestHeaders(rawHeaders: readonly string[], own: HeaderPairs, mayRedact: boolean): string[] {
  const out: string[] = [];
  let ownNames: string[] | null = null;
  for (const [name] of own) {
    if (!isStrippedFromRequest(name)) (ownNames ??= []).push(folded(name));
  }
  let named: Set<string> | null = null;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const rawName = rawHeaders[i] as string;
    const lower = rawName.toLowerCase();
    if (lower === "connection") {
      named = addConnectionTokens(rawHeaders[i + 1] as string, named);
      continue;
    }
    if (isStrippedFromRequest(lower) || (mayRedact && WHOLE_RESPONSE_ONLY.has(lower))) continue;
    if (ownNames?.includes(folded(lower))) continue;
    out.push(rawName, rawHeaders[i + 1] as string);
  }
  const kept = named === null ? out : withoutNamed(out, named);
  for (const [name, value] of own) kept.push(name, value);
  return kept;
}

/** The headers for the client, from the tool's parsed ones. `own` replaces the tool's of the same name. */
export function responseHeaders(headers: ParsedHeaders, own: HeaderPairs, changesBody: boolean): string[] {
  const out: string[] = [];
  const connection = headers["connection"];
  let named: Set<string> | null = null;
  if (connection !== undefined) {
    for (const value of typeof connection === "string" ? [connection] : connection)
      named = addConnectionTokens(value, named);
  }
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (value === undefined || RESPONSE_DROPPED.has(name) || name.startsWith("x-cordon-")) continue;
    if (changesBody && DESCRIBES_BYTES.has(name)) continue;
    if (named?.has(name) || own.some(([ownName]) => ownName === name)) continue;
    if (typeof value === "string") out.push(name, value);
    else for (const one of value) out.push(name, one);
  }
  for (const [name, value] of own) out.push(name, value);
  return out;
}

/** The trailer fields that may be passed on. */
export function trailerFields(trailers: ParsedHeaders): [string, string][] {
  const out: [string, string][] = [];
  for (const name of Object.keys(trailers)) {
    const value = trailers[name];
    if (value === undefined || TRAILER_DROPPED.has(name) || name.startsWith("x-cordon-")) continue;
    for (const one of typeof value === "string" ? [value] : value) out.push([name, one]);
  }
  return out;
}

/** CGI-like servers make one name of `a_b` and `a-b`, some of them also of `a.b`. */
function folded(lowerName: string): string {
  return ODD_NAME.test(lowerName) ? lowerName.replaceAll(ODD_CHARACTERS, "-") : lowerName;
}

function addConnectionTokens(value: string, names: Set<string> | null): Set<string> | null {
  if (value === "keep-alive" || value === "close") return names;
  const out = names ?? new Set<string>();
  for (const token of value.split(",")) out.add(token.trim().toLowerCase());
  return out;
}

function withoutNamed(pairs: readonly string[], named: ReadonlySet<string>): string[] {
  const out: string[] = [];
  for (let i = 0; i < pairs.length; i += 2) {
    const name = pairs[i] as string;
    if (!named.has(name.toLowerCase())) out.push(name, pairs[i + 1] as string);
  }
  return out;
}

/** A pair in the place of those of the same name. */
export function withPair(pairs: HeaderPairs, pair: readonly [string, string]): HeaderPairs {
  return [...pairs.filter(([name]) => name !== pair[0]), pair];
}
