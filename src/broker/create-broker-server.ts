// In: a provider and the published keys. Out: the agent-facing HTTP server: two documents, one key set, four endpoints and
// one that only says what to do in its place. Everything else is 404 before the provider sees it. No header of the caller may change the issuer's own URL.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Provider } from "oidc-provider";
import type { KeyRing } from "./keys/key-ring.ts";
import type { CertificateAuthority } from "./x509/authority.ts";
import { type ConnectionLimit, createPeerConnections, limitConnections } from "../lib/limit-connections.ts";
import { SIGNATURE_ALGORITHMS } from "./create-provider.ts";
import { INTROSPECTION_PATH, REVOCATION_PATH } from "./token-endpoints.ts";
import { LAUNCH_GRANT } from "./grants/launch-grant.ts";
import { RELEASE_PATH } from "./release-endpoint.ts";
import { TOKEN_EXCHANGE_GRANT } from "./grants/register-grants.ts";

/** The longest token (16,384 characters) with a proof beside it, as the gateway takes it. */
const HEADER_BYTES_MAX = 32_768;
/** The longest token, or a manifest with an assertion, and what is asked for. */
const BODY_BYTES_MAX = 32_768;
const HEADERS_TIMEOUT_MS = 5000;
const REQUEST_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 5000;
const CONNECTIONS_MAX = 1000;
/** A quarter: who opens many and says nothing must not keep the others from their tokens. */
const CONNECTIONS_PER_PEER_MAX = 250;
/** A token costs about a millisecond of signatures; more than this in flight would only wait. */
const TOKEN_REQUESTS_MAX = 128;
/** Longest time that a cache on the way may keep a document; of the key set at most a tenth of the overlap. */
const DOCUMENT_MAX_AGE_S = 60;

/** Named in the metadata, and nobody signs in there: see `metadataDocument`. */
const AUTHORIZATION_PATH = "/authorize";
const NOBODY_SIGNS_IN =
  "nobody signs in here: an orchestrator launches each agent, and the agent redeems its launch token at the token endpoint";

const JSON_TYPE = "application/json; charset=utf-8";
/** RFC 8555 section 9.1. */
const PEM_TYPE = "application/pem-certificate-chain";

interface Document {
  readonly text: () => string;
  readonly maxAgeS: number;
  /** JSON where absent. */
  readonly type?: string;
}

/** What oidc-provider serves; everything else never reaches it. */
const ENDPOINTS: ReadonlySet<string> = new Set(["/token", REVOCATION_PATH, INTROSPECTION_PATH, RELEASE_PATH]);

export function createBrokerServer(options: {
  readonly provider: Provider;
  readonly issuer: string;
  readonly keyRing: KeyRing;
  /** For how long a key is published before it signs. */
  readonly keyOverlapS: number;
  /** Undefined where `broker.x509_svid` is off. */
  readonly authority?: Pick<CertificateAuthority, "roots" | "bundle"> | undefined;
  readonly onConnectionRefused: (limit: ConnectionLimit, address: string) => void;
}): Server {
  const { provider, issuer } = options;
  const { host, protocol } = new URL(issuer);
  provider.proxy = true;
  const handleToken = provider.callback();

  const metadata = JSON.stringify(metadataDocument(issuer));
  const keySetMaxAgeS = Math.min(DOCUMENT_MAX_AGE_S, Math.floor(options.keyOverlapS / 10));
  const { authority } = options;
  const documents = new Map<string, Document>([
    ["/.well-known/oauth-authorization-server", { text: () => metadata, maxAgeS: DOCUMENT_MAX_AGE_S }],
    ["/.well-known/openid-configuration", { text: () => metadata, maxAgeS: DOCUMENT_MAX_AGE_S }],
    ["/jwks", { text: () => options.keyRing.published, maxAgeS: keySetMaxAgeS }],
  ]);
  if (authority !== undefined) {
    documents.set("/ca.pem", { text: () => authority.roots, maxAgeS: DOCUMENT_MAX_AGE_S, type: PEM_TYPE });
    documents.set("/bundle", { text: () => authority.bundle, maxAgeS: DOCUMENT_MAX_AGE_S });
  }
  let inFlight = 0;

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    const document = documents.get(path);
    if (document !== undefined) {
      if (request.method !== "GET" && request.method !== "HEAD")
        return refuse(response, 405, "invalid_request", "use GET");
      response.setHeader("cache-control", `public, max-age=${document.maxAgeS}`);
      return send(response, 200, document.text(), document.type ?? JSON_TYPE);
    }
    if (path === AUTHORIZATION_PATH) return refuse(response, 400, "unsupported_response_type", NOBODY_SIGNS_IN);
    if (!ENDPOINTS.has(path)) return refuse(response, 404, "not_found", "no such endpoint");
    if (request.method !== "POST") return refuse(response, 405, "invalid_request", "use POST");
    if (request.url !== path) return refuse(response, 400, "invalid_request", "the endpoint takes no query");
    // Content-Length is asked for, so that the size is known before a byte is read.
    const length = request.headers["content-length"];
    if (length === undefined) return refuse(response, 411, "invalid_request", "send Content-Length");
    if (Number(length) > BODY_BYTES_MAX) return refuse(response, 413, "invalid_request", "the body is too large");
    onceReceived(request, () => serveToken(request, response));
  }

  /** Counted from here on: a peer that announces a body and does not send it must not take the place of another. */
  function serveToken(request: IncomingMessage, response: ServerResponse): void {
    if (inFlight >= TOKEN_REQUESTS_MAX) {
      response.setHeader("retry-after", "1");
      return refuse(response, 503, "temporarily_unavailable", "too many requests at the moment");
    }
    inFlight += 1;
    response.once("close", () => {
      inFlight -= 1;
    });
    // The provider builds the expected `htu` from these: they are the issuer's, never the caller's.
    request.headers.host = host;
    request.headers["x-forwarded-proto"] = protocol.slice(0, -1);
    delete request.headers["x-forwarded-host"];
    delete request.headers["x-forwarded-for"];
    void handleToken(request, response);
  }

  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      connectionsCheckingInterval: 1000,
      // A whole body has room before anybody reads it.
      highWaterMark: 2 * BODY_BYTES_MAX,
    },
    serve,
  );
  limitConnections(server, {
    connectionsMax: CONNECTIONS_MAX,
    peers: createPeerConnections(CONNECTIONS_PER_PEER_MAX),
    onRefused: options.onConnectionRefused,
  });
  return server;
}

/** Calls `then` when the whole body is here, unread; never where it does not come. */
function onceReceived(request: IncomingMessage, then: () => void): void {
  // An empty one would be at its end before the provider looks.
  if (Number(request.headers["content-length"]) === 0) return then();
  request.on("readable", function look() {
    if (!request.complete) return;
    request.off("readable", look);
    then();
  });
}

/**
 * RFC 8414 section 2. `response_types_supported` is required there, and empty: no grant uses the authorization endpoint. It is
 * named because the public MCP SDK reads no metadata without it, not even for a client that only needs the token endpoint.
 */
function metadataDocument(issuer: string) {
  return {
    issuer,
    authorization_endpoint: issuer + AUTHORIZATION_PATH,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    grant_types_supported: ["client_credentials", LAUNCH_GRANT, TOKEN_EXCHANGE_GRANT],
    response_types_supported: [],
    subject_types_supported: ["public"],
    token_endpoint_auth_methods_supported: ["private_key_jwt", "none"],
    token_endpoint_auth_signing_alg_values_supported: SIGNATURE_ALGORITHMS,
    revocation_endpoint: issuer + REVOCATION_PATH,
    revocation_endpoint_auth_methods_supported: ["private_key_jwt", "none"],
    revocation_endpoint_auth_signing_alg_values_supported: SIGNATURE_ALGORITHMS,
    introspection_endpoint: issuer + INTROSPECTION_PATH,
    introspection_endpoint_auth_methods_supported: ["private_key_jwt"],
    introspection_endpoint_auth_signing_alg_values_supported: SIGNATURE_ALGORITHMS,
    dpop_signing_alg_values_supported: SIGNATURE_ALGORITHMS,
  };
}

function refuse(response: ServerResponse, status: number, error: string, description: string): void {
  // What follows on this connection was meant for a request that is not read to its end.
  response.setHeader("connection", "close");
  send(response, status, JSON.stringify({ error, error_description: description, code: error }), JSON_TYPE);
}

function send(response: ServerResponse, status: number, text: string, type: string): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text) }).end(text);
}
