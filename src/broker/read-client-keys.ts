// In: the JWKS files of the registered clients. Out: their public keys by client id.
// A private key in such a file is refused: the issuer must not be able to speak for a client.
import { readFile } from "node:fs/promises";
import type { JWKS } from "oidc-provider";
import type { BrokerClient } from "./agent-claims.ts";
import { isScope } from "../lib/narrowing.ts";

/** Throws an Error whose message names the client, the file and what to mend. */
export async function readClientKeys(
  clients: readonly Pick<BrokerClient, "client_id" | "jwks" | "scope">[],
): Promise<Map<string, JWKS>> {
  const keys = new Map<string, JWKS>();
  for (const client of clients) {
    const { client_id: id, jwks: file } = client;
    const badScope = client.scope.find((scope) => !isScope(scope));
    if (badScope !== undefined) {
      throw new Error(`broker client ${id}: write scope "${badScope}" as action:resource:identifier`);
    }
    if (keys.has(id)) throw new Error(`broker client ${id} is registered twice`);
    keys.set(id, parseKeys(id, file, await readFile(file, "utf8")));
  }
  return keys;
}

function parseKeys(id: string, file: string, text: string): JWKS {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // The parser's message may quote key material: the file is named instead.
    throw new Error(`broker client ${id}: ${file} is not JSON`);
  }
  const jwks = parsed as { keys?: unknown } | null;
  if (!Array.isArray(jwks?.keys) || jwks.keys.length === 0) {
    throw new Error(`broker client ${id}: ${file} is not a JWKS with at least one key`);
  }
  for (const key of jwks.keys as Record<string, unknown>[]) {
    if (key["d"] !== undefined || key["k"] !== undefined) {
      throw new Error(`broker client ${id}: ${file} holds a private or secret key; write only the public key there`);
    }
    if (key["kty"] !== "EC" && key["kty"] !== "OKP") {
      throw new Error(`broker client ${id}: ${file} must hold P-256 or Ed25519 keys`);
    }
  }
  return jwks as JWKS;
}
