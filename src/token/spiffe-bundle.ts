// In: a SPIFFE bundle (SPIFFE Trust Domain and Bundle, section 4). Out: its keys for JWT-SVIDs and its X.509 authorities.
// Trusts what handed it in to be of this trust domain. An element is used for what its `use` says and for nothing else.
import { X509Certificate } from "node:crypto";
import { err, ok } from "../lib/result.ts";
import type { Result } from "../lib/result.ts";
import { isObject, memberOf } from "../lib/strict-json.ts";
import type { ReadKeys } from "./key-set.ts";

/** Keys and authorities of a trust domain that rotates often, several times over. */
const ELEMENTS_MAX = 256;

/**
 * `spiffe_sequence` is not compared: it starts again where a trust domain's server is set up anew. `readKeys` makes the
 * checked keys, so that a bundle's are held to the same rules as any other issuer's.
 */
export function readSpiffeBundle(
  document: unknown,
  readKeys: (list: readonly unknown[]) => Omit<ReadKeys, "authorities">,
): Result<ReadKeys, string> {
  const list = isObject(document) ? memberOf(document, "keys") : undefined;
  if (!Array.isArray(list) || list.length > ELEMENTS_MAX) return err("the document is not a SPIFFE bundle");
  const elements: unknown[] = list;
  const problems: string[] = [];
  const ofSvids = elements.filter((element) => memberOf(element, "use") === "jwt-svid");
  // JWT-SVID section 5.1: a key without `kid` must not be used.
  const named = ofSvids.filter((element) => typeof memberOf(element, "kid") === "string");
  if (named.length < ofSvids.length) problems.push("a key for JWT-SVIDs without `kid` is left out");
  const read = readKeys(named.map((element) => ({ ...(element as object), use: "sig" })));
  const authorities: X509Certificate[] = [];
  for (const element of elements.filter((one) => memberOf(one, "use") === "x509-svid")) {
    const authority = authorityOf(memberOf(element, "x5c"));
    if (authority === undefined) problems.push("an authority for X.509-SVIDs cannot be used");
    else authorities.push(authority);
  }
  return ok({ keys: read.keys, authorities, problems: [...problems, ...read.problems] });
}

/** X.509-SVID section 6.1: `x5c` holds exactly one certificate, in base64, and it is a certificate authority's. */
function authorityOf(x5c: unknown): X509Certificate | undefined {
  const chain: unknown[] = Array.isArray(x5c) ? x5c : [];
  const [text] = chain;
  if (chain.length !== 1 || typeof text !== "string") return undefined;
  try {
    const certificate = new X509Certificate(Buffer.from(text, "base64"));
    return certificate.ca ? certificate : undefined;
  } catch {
    return undefined; // not DER
  }
}
