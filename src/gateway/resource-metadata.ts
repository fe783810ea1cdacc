// In: the configuration, and a request for what this resource says of itself. Out: its metadata (RFC 9728), made once.
// Answered before a caller is known, since it tells an agent where to get a token. It names no route and no tool: the
// path-inserted forms all give the same answer, whatever stands behind them.
import type { ServerResponse } from "node:http";
import type { Config } from "../config/schema.ts";
import { deny } from "../errors.ts";
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

/** Of one public origin: it is the one resource, whatever the path is. */
export function createResourceMetadata(config: Config, origin: string): ResourceMetadata {
  const byCertificate =
    origin.startsWith("https:") &&
    config.listeners.some(({ tls }) => tls !== undefined && tls.client_certificates !== "off");
  const document = JSON.stringify({
    resource: origin,
    authorization_servers: config.issuers.map(({ issuer }) => issuer).filter((issuer) => /^https?:/.test(issuer)),
    // A certificate-bound token comes as Bearer (RFC 8705 section 3); a token without any bond is never taken.
    bearer_methods_supported: byCertificate ? ["header"] : [],
    dpop_signing_alg_values_supported: config.proof.algorithms,
    dpop_bound_access_tokens_required: !byCertificate,
    ...(byCertificate ? { tls_client_certificate_bound_access_tokens: true } : {}),
  });
  return { document, challenge: `resource_metadata="${origin}${METADATA_PATH}"` };
}

/** A look at the raw target, which costs the other requests next to nothing; `isMetadataPath` decides. */
export function mayBeMetadata(target: string | undefined): boolean {
  return target?.includes(METADATA_PATH) === true;
}

/** Also with the path of a resource inserted (RFC 9728 section 3.1). */
export function isMetadataPath(path: string): boolean {
  return path === METADATA_PATH || path.startsWith(`${METADATA_PATH}/`);
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
