// In: the configuration, and a request for what this resource says of itself. Out: its metadata (RFC 9728), made once.
// Answered before a caller is known, since it tells an agent where to get a token. It names no route and no tool: the
// path-inserted forms all give the same answer, whatever stands behind them, but where an audience is a URL of this origin.
import type { ServerResponse } from "node:http";
import type { Config } from "../../config/schema.ts";
import { deny } from "../../errors.ts";
import type { Refusal } from "./judge.ts";

const METADATA_PATH = "/.well-known/oauth-protected-resource";
/** It changes with the configuration, and so with a restart only. */
const MAX_AGE_S = 300;

export interface ResourceMetadata {
  /** JSON text of RFC 9728 section 2. */
  readonly document: string;
  /** What a challenge adds (RFC 9728 section 5.1). */
  readonly challenge: string;
}

export interface MetadataOfOrigin {
  /** Of what is asked for at this path. */
  at(path: string): ResourceMetadata;
}

/**
 * A public origin is the one resource, whatever the path is. Who holds to RFC 9728 section 3.3 uses metadata only where
 * `resource` is the URL that it was given, to the letter: so a URL that an issuer's audience names is a resource too.
 */
export function createResourceMetadata(config: Config, origin: string): MetadataOfOrigin {
  const own = describe(config, origin, "");
  const paths = config.issuers.flatMap(({ audience }) => audience.flatMap((text) => pathOf(text, origin)));
  const others = new Map(paths.map((path) => [path, describe(config, origin, path)]));
  return { at: (path) => others.get(path) ?? own };
}

/** Of an audience that is a URL of this origin with a path, and with nothing else. */
function pathOf(audience: string, origin: string): string[] {
  const path = URL.parse(audience)?.pathname;
  return path !== undefined && path !== "/" && audience === origin + path ? [path] : [];
}

function describe(config: Config, origin: string, path: string): ResourceMetadata {
  const byCertificate =
    origin.startsWith("https:") &&
    config.listeners.some(({ tls }) => tls !== undefined && tls.client_certificates !== "off");
  const servers = config.issuers.filter(
    ({ kind, issuer, audience }) =>
      // A SPIFFE trust domain has no token endpoint, also where its issuer is a URL.
      kind === "oauth" && /^https?:/.test(issuer) && (path === "" || audience.includes(origin + path)),
  );
  const document = JSON.stringify({
    resource: origin + path,
    authorization_servers: servers.map(({ issuer }) => issuer),
    // A certificate-bound token comes as Bearer (RFC 8705 section 3); a token without any bond is never taken.
    bearer_methods_supported: byCertificate ? ["header"] : [],
    dpop_signing_alg_values_supported: config.proof.algorithms,
    dpop_bound_access_tokens_required: !byCertificate,
    ...(byCertificate ? { tls_client_certificate_bound_access_tokens: true } : {}),
  });
  return { document, challenge: `resource_metadata="${origin}${METADATA_PATH}${path}"` };
}

/** A look at the raw target, which costs the other requests next to nothing; `isMetadataPath` decides. */
export function mayBeMetadata(target: string | undefined): boolean {
  return target?.includes(METADATA_PATH) === true;
}

/** Also with the path of a resource inserted (RFC 9728 section 3.1). */
export function isMetadataPath(path: string): boolean {
  return path === METADATA_PATH || path.startsWith(`${METADATA_PATH}/`);
}

/** Whose metadata this is: the path behind the well-known one. */
export function describedPath(path: string): string {
  return path.slice(METADATA_PATH.length);
}

export function refuseMetadataMethod(method: string): Refusal | undefined {
  if (method === "GET" || method === "HEAD") return undefined;
  return { denial: deny("route.method_not_allowed", "resource metadata"), allow: "GET, HEAD" };
}

/** Node leaves the body of an answer to HEAD out by itself. */
export function answerMetadata(response: ServerResponse, document: string, requestId: string): void {
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(document),
    "cache-control": `public, max-age=${MAX_AGE_S}`,
    "x-cordon-request-id": requestId,
  });
  response.end(document);
}
