// In: an agent manifest, signed or not, and the configured publishers. Out: the agent's provenance.
// Trusts: the publishers' keys only. What nobody signed is kept as said, and marked unverified.
import { createSignatureVerifier } from "../../lib/signature-verifier.ts";
import { mediaTypeOf, parseCompactJws } from "../../lib/parse-compact-jws.ts";
import type { PublicKey } from "../../lib/public-key.ts";
import { ok } from "../../lib/result.ts";
import type { Result } from "../../lib/result.ts";
import { parseStrictObject } from "../../lib/strict-json.ts";
import type { JsonObject } from "../../lib/strict-json.ts";
import { isShortText } from "./read-parameters.ts";
import { type Refusal, refuse } from "./refusal.ts";
import type { Provenance } from "../../token/agent.ts";

export const MANIFEST_TYPE = "agent-manifest+jwt";
/** A handful of names and digests. */
const MANIFEST_CHARS_MAX = 8192;
const LEEWAY_S = 30;
const NAMES = [
  "model",
  "model_version",
  "deployment",
  "environment",
  "config_digest",
  "image_digest",
  "prompt_digest",
] as const;
const UNVERIFIED = { publisher: "", verified: false } as const;

/** Public keys by the publisher's name, which is the `iss` of its manifests. */
export type Publishers = ReadonlyMap<string, readonly PublicKey[]>;

/**
 * A compact JWS with `typ` `agent-manifest+jwt`, or a JSON object. Of an unknown publisher it is unverified; what claims to
 * be of a known one and is not signed by it, or has expired, is refused.
 */
export function readManifest(
  text: string | undefined,
  publishers: Publishers,
  nowS: number,
): Result<Provenance, Refusal> {
  if (text === undefined) return readProvenance({}, UNVERIFIED);
  if (text.length > MANIFEST_CHARS_MAX) return refuse("request_malformed", "manifest: too large");
  if (text.startsWith("{")) {
    const manifest = parseStrictObject(Buffer.from(text, "utf8"));
    return manifest === undefined
      ? refuse("request_malformed", "manifest")
      : readProvenance(members(manifest), UNVERIFIED);
  }
  const jws = parseCompactJws(text, MANIFEST_CHARS_MAX);
  if (!jws.ok) return refuse("request_malformed", "manifest");
  const { header, payload, signature, signingInput } = jws.value;
  const manifest = parseStrictObject(payload);
  if (manifest === undefined || mediaTypeOf(header["typ"]) !== MANIFEST_TYPE) {
    return refuse("request_malformed", "manifest");
  }
  const { iss, exp, nbf } = manifest;
  const keys = typeof iss === "string" ? publishers.get(iss) : undefined;
  if (typeof iss !== "string" || keys === undefined) return readProvenance(members(manifest), UNVERIFIED);
  if (!isWithin(exp, nbf, nowS)) return refuse("manifest_invalid", "time");
  const { alg, kid } = header;
  const signed = keys
    .filter((key) => kid === undefined || key.kid === kid)
    .some((key) => createSignatureVerifier(key, String(alg))?.(signingInput, signature) === true);
  return signed
    ? readProvenance(members(manifest), { publisher: iss, verified: true })
    : refuse("manifest_invalid", "signature");
}

/** RFC 7519 section 4.1; both may be left out. */
function isWithin(exp: unknown, nbf: unknown, nowS: number): boolean {
  if (exp !== undefined && !(typeof exp === "number" && exp > nowS - LEEWAY_S)) return false;
  return nbf === undefined || (typeof nbf === "number" && nbf <= nowS + LEEWAY_S);
}

function members(manifest: JsonObject): JsonObject {
  return Object.fromEntries(
    NAMES.filter((name) => Object.hasOwn(manifest, name)).map((name) => [name, manifest[name]]),
  );
}

function readProvenance(said: JsonObject, by: Pick<Provenance, "publisher" | "verified">): Result<Provenance, Refusal> {
  const wrong = NAMES.find((name) => said[name] !== undefined && said[name] !== "" && !isShortText(said[name]));
  if (wrong !== undefined) return refuse("request_malformed", `manifest.${wrong}`);
  const text = (name: (typeof NAMES)[number]): string => {
    const value = said[name];
    return typeof value === "string" ? value : "";
  };
  return ok({
    model: text("model"),
    model_version: text("model_version"),
    deployment: text("deployment"),
    environment: text("environment"),
    config_digest: text("config_digest"),
    image_digest: text("image_digest"),
    prompt_digest: text("prompt_digest"),
    ...by,
  });
}
