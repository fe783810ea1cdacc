// In: the file of an application, in YAML or JSON, with the name of its JWKS file. Out: what the operators' API takes.
// A private key is refused here, before anything of it leaves this process: only the orchestrator may have it.
import { readFileSync } from "node:fs";
import path from "node:path";
import { parseDocument } from "yaml";
import { isObject } from "../lib/strict-json.ts";
import { err, ok, type Result } from "../lib/result.ts";

/** Members of a JWK that are secret (RFC 7518 section 6, RFC 8037 section 2). */
const SECRET_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
/** Far more than any definition needs; a wrong file is not parsed for minutes. */
const FILE_BYTES_MAX = 1024 * 1024;
const ALIASES_MAX = 10;

/** Errors are sentences, some with a second line that says how to mend it. No content of a key file is quoted. */
export function readApplication(file: string): Result<Readonly<Record<string, unknown>>, string> {
  const text = readText(file);
  if (!text.ok) return text;
  const document = parseDocument(text.value, { uniqueKeys: true });
  const [problem] = document.errors;
  if (problem !== undefined) return err(`${file} is not well-formed: ${problem.message.split("\n")[0]}`);
  const definition: unknown = document.toJS({ maxAliasCount: ALIASES_MAX });
  if (!isObject(definition)) return err(`${file} does not describe an application.\n${EXAMPLE}`);
  const { jwks } = definition;
  if (jwks === undefined) return err(`${file} names no public keys.\nWrite: jwks: orchestrator.jwks.json`);
  const keys =
    typeof jwks === "string" ? readPublicKeys(path.resolve(path.dirname(file), jwks)) : publicKeys(jwks, file);
  return keys.ok ? ok({ ...definition, jwks: keys.value }) : keys;
}

/** The public keys in a JWKS file. */
export function readPublicKeys(file: string): Result<Readonly<Record<string, unknown>>, string> {
  const text = readText(file);
  if (!text.ok) return text;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.value);
  } catch {
    // The parser's message may quote a key.
    return err(`${file} is not JSON.\nWrite a JWKS: { "keys": [ … ] } with the orchestrator's public keys.`);
  }
  return publicKeys(parsed, file);
}

function publicKeys(value: unknown, file: string): Result<Readonly<Record<string, unknown>>, string> {
  const keys = isObject(value) ? value["keys"] : undefined;
  if (!isObject(value) || !Array.isArray(keys) || keys.length === 0) {
    return err(`${file} holds no JWKS.\nWrite { "keys": [ … ] } with the orchestrator's public keys.`);
  }
  if (keys.some((key) => isObject(key) && SECRET_MEMBERS.some((member) => member in key))) {
    return err(
      `${file} holds a private or a shared key; nothing was sent.\n` +
        "Keep that key with the orchestrator, and write only its public members (kty, crv, x, y) here.",
    );
  }
  return ok(value);
}

function readText(file: string): Result<string, string> {
  try {
    const bytes = readFileSync(file);
    if (bytes.length > FILE_BYTES_MAX) return err(`${file} is larger than 1 MiB.`);
    return ok(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    return err(`${file} cannot be read (${code}).`);
  }
}

const EXAMPLE = `Write, for example:
  name: hiring
  jwks: hiring.jwks.json
  orchestrations: [hiring]
  scope: ["read:candidates:*"]
  principals: ["user:*"]`;
