// In: the URL of a key set. Out: its text. Trusts: the server's verified certificate; the text is checked by its reader.
import { Client } from "undici";
import { createConnector } from "./connect-upstream.ts";

/** A key set of a thousand RSA keys stays below it; more is no key set. */
const JWKS_BYTES_MAX = 262_144;

export interface JwksFetcherOptions {
  /** For the whole fetch: name, connection, answer and body. */
  readonly timeoutMs: number;
  readonly allowPrivateAddresses: boolean;
  /** PEM file; the system's CAs where absent. */
  readonly ca?: string;
}

/**
 * Returns a fetcher of one document: one connection, no redirect, no retry, status 200 only.
 * Rejects with an Error whose message may stand in a log.
 */
export function createJwksFetcher(options: JwksFetcherOptions): (url: string) => Promise<string> {
  return async (text) => {
    const url = new URL(text);
    const connector = createConnector(url, {
      allow_private_addresses: options.allowPrivateAddresses,
      connect_timeout_ms: options.timeoutMs,
      ca: options.ca,
      server_name: undefined,
      spiffe_id: undefined,
      client_certificate: undefined,
      client_key: undefined,
    });
    const client = new Client(url.origin, {
      connect: connector.forPool,
      allowH2: false,
      maxResponseSize: JWKS_BYTES_MAX,
    });
    try {
      const answer = await client.request({
        path: url.pathname + url.search,
        method: "GET",
        headers: { accept: "application/jwk-set+json, application/json" },
        signal: AbortSignal.timeout(options.timeoutMs),
      });
      if (answer.statusCode !== 200) throw new Error(`the key set was answered with status ${answer.statusCode}`);
      return new TextDecoder("utf-8", { fatal: true }).decode(await answer.body.bytes());
    } finally {
      await client.destroy();
    }
  };
}
