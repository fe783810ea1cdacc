// In: a folder and client ids. Out: a private key and a public key set for each, made where absent.
// For the quickstart and the demo: a real client keeps its key where it runs and registers only the public half.
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { CordonError } from "./cordon-error.ts";
import { type AgentKey, createKey, parseKey } from "./create-key.ts";

const FOLDER_MODE = 0o700;
const PRIVATE_MODE = 0o600;
const PUBLIC_MODE = 0o644;

export interface QuickstartKeyFiles {
  readonly clientId: string;
  /** `<folder>/<client>.jwk`, mode 0600. */
  readonly privateFile: string;
  /** `<folder>/<client>.jwks.json`, what `broker.clients[].jwks` names. */
  readonly publicFile: string;
}

/** `folder` is `<data folder>/quickstart`. An existing private key is kept; the public set is made from it. */
export function ensureQuickstartKeys(folder: string, clientIds: readonly string[]): QuickstartKeyFiles[] {
  mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
  return clientIds.map((clientId) => {
    const privateFile = join(folder, `${clientId}.jwk`);
    const publicFile = join(folder, `${clientId}.jwks.json`);
    const fresh = createKey();
    const jwk = { ...fresh.privateKey.export({ format: "jwk" }), kid: fresh.thumbprint, alg: fresh.algorithm };
    writeOnce(privateFile, JSON.stringify(jwk), PRIVATE_MODE);
    const key = readKeyFile(privateFile);
    const entry = { ...key.publicJwk, kid: key.thumbprint, alg: key.algorithm, use: "sig" };
    writeFileSync(publicFile, `${JSON.stringify({ keys: [entry] }, null, 2)}\n`, { mode: PUBLIC_MODE });
    return { clientId, privateFile, publicFile };
  });
}

/** Reads a private JWK file. Throws CordonError `key_invalid` that names the file, never its content. */
export function readKeyFile(file: string): AgentKey {
  let jwk: unknown;
  try {
    jwk = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    // A JSON parser's message may quote the key, so it is not kept as the cause.
    throw new CordonError("key_invalid", missing ? `There is no key file ${file}.` : `${file} is not a private JWK.`);
  }
  return parseKey(jwk);
}

/** Whole or not at all, and never over an existing file. */
function writeOnce(file: string, text: string, mode: number): void {
  const aside = `${file}.${randomUUID()}`;
  writeFileSync(aside, `${text}\n`, { mode, flag: "wx" });
  try {
    linkSync(aside, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}
