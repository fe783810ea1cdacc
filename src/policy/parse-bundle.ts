// In: the bytes of an OPA bundle (tar.gz). Out: its WebAssembly module, data, manifest and revision.
// Trusts: nothing; every size is bounded and the module is not run here.
import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { err, ok, type Result } from "../lib/result.ts";
import { readTar } from "./read-tar.ts";
import { isObject } from "../lib/strict-json.ts";

/** A large policy compiles to a few MB of WebAssembly; data may be larger. */
const PACKED_BYTES_MAX = 64 * 1024 * 1024;
/** Bounds what a small archive may unpack to (a compression bomb). */
const UNPACKED_BYTES_MAX = 256 * 1024 * 1024;
const MANIFEST_BYTES_MAX = 1024 * 1024;

/** What the gateway asks every policy for. */
export const DECISION_ENTRYPOINT = "cordon/decision";
/** What it asks where an agent wants a list; a bundle without it shows nothing. */
export const VISIBLE_ENTRYPOINT = "cordon/visible";
/** What it asks for an answer that the decision wants judged; a bundle without it withholds each of these. */
export const RESPONSE_ENTRYPOINT = "cordon/response";

export interface Bundle {
  readonly wasm: Uint8Array<ArrayBuffer>;
  /** The `data` document, JSON text of an object. */
  readonly dataJson: string;
  readonly manifest: Readonly<Record<string, unknown>>;
  /** `revision` of the manifest, or `sha256:<hex>` of the bundle's bytes where it has none. */
  readonly revision: string;
  readonly entrypoints: readonly string[];
}

function parseObject(
  bytes: Uint8Array,
  name: string,
): Result<{ text: string; value: Record<string, unknown> }, string> {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    return isObject(value) ? ok({ text, value }) : err(`${name} is not a JSON object`);
  } catch (cause) {
    return err(`${name} is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function unpack(bytes: Uint8Array): Result<Uint8Array, string> {
  try {
    return ok(gunzipSync(bytes, { maxOutputLength: UNPACKED_BYTES_MAX }));
  } catch (cause) {
    return err(
      `the bundle is not a gzip archive within ${UNPACKED_BYTES_MAX} bytes: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}

function entrypointsOf(manifest: Record<string, unknown>): Result<readonly string[], string> {
  const modules = manifest["wasm"];
  if (!Array.isArray(modules)) return err("the manifest names no WebAssembly module; build with `-t wasm`");
  const names: string[] = [];
  for (const entry of modules as unknown[]) {
    if (!isObject(entry) || typeof entry["entrypoint"] !== "string" || typeof entry["module"] !== "string") {
      return err("the manifest has a malformed `wasm` entry");
    }
    if (entry["module"].replace(/^\//, "") !== "policy.wasm")
      return err("the manifest names a module other than policy.wasm");
    names.push(entry["entrypoint"]);
  }
  return names.includes(DECISION_ENTRYPOINT)
    ? ok(names)
    : err(`the bundle lacks the entry point ${DECISION_ENTRYPOINT}`);
}

/** The standard OPA bundle, `opa build -t wasm -e cordon/decision`. Errors are sentences for the operator. */
export function parseBundle(bytes: Uint8Array): Result<Bundle, string> {
  if (bytes.length > PACKED_BYTES_MAX) return err(`the bundle is larger than ${PACKED_BYTES_MAX} bytes`);
  const archive = unpack(bytes);
  if (!archive.ok) return archive;
  const files = readTar(archive.value);
  if (!files.ok) return files;

  // Nobody may believe that a signature was checked when it was not.
  if (files.value.has(".signatures.json"))
    return err("the bundle is signed, and signatures are not verified here; build it without");
  const wasm = files.value.get("policy.wasm");
  if (wasm === undefined) return err("the bundle has no policy.wasm; build with `-t wasm`");
  const manifestBytes = files.value.get(".manifest");
  if (manifestBytes === undefined) return err("the bundle has no .manifest");
  if (manifestBytes.length > MANIFEST_BYTES_MAX) return err("the manifest is too large");
  for (const path of files.value.keys()) {
    if (/\/data\.(json|ya?ml)$/.test(path) || path === "data.yaml" || path === "data.yml") {
      return err(`the bundle has data in ${path}; \`opa build\` merges it into data.json`);
    }
  }

  const manifest = parseObject(manifestBytes, ".manifest");
  if (!manifest.ok) return manifest;
  const data = parseObject(files.value.get("data.json") ?? Buffer.from("{}"), "data.json");
  if (!data.ok) return data;
  const entrypoints = entrypointsOf(manifest.value.value);
  if (!entrypoints.ok) return entrypoints;

  const declared = manifest.value.value["revision"];
  if (declared !== undefined && typeof declared !== "string") return err("the manifest's revision is not a string");
  const revision =
    declared === undefined || declared === "" ? `sha256:${createHash("sha256").update(bytes).digest("hex")}` : declared;
  return ok({
    wasm: new Uint8Array(wasm),
    dataJson: data.value.text,
    manifest: manifest.value.value,
    revision,
    entrypoints: entrypoints.value,
  });
}
