// In: one route's upstream and its resolved credential. Out: a prepared target: pool, connector, path and headers.
// Trusts: the configuration, checked at start.
import { createHash } from "node:crypto";
import { Pool } from "undici";
import type { UpstreamConfig } from "../config/schema.ts";
import { type Connect, createConnector, type SocketEvent } from "./connect-upstream.ts";
import { WaitQueue } from "./wait-queue.ts";

/** Heads and trailers of a tool's answer; node's own limit for a request's, and enough for any tool seen. */
const HEADER_BYTES_MAX = 32_768;

/** One tool with the gateway's own identity towards it: made once at start, used by every exchange of a route. */
export interface UpstreamTarget {
  /** Scheme, host and port of the tool. */
  readonly origin: string;
  /** As it stands in the `Host` header. */
  readonly host: string;
  readonly pool: Pool;
  /** In front of the pool: a request is dispatched when it is its turn, and never waits inside undici. */
  readonly queue: WaitQueue;
  readonly connect: Connect;
  /** The gateway's credential for the tool; lower-case name. */
  readonly credential: readonly [string, string] | null;
  readonly headersTimeoutMs: number;
  readonly bodyIdleTimeoutMs: number;
  /** The path that is sent for a judged path: `strip_prefix` removed, the base path of the URL put in front. */
  pathFor(path: string): string;
}

interface Shared {
  readonly pool: Pool;
  /** In front of the pool: a request is dispatched when it is its turn, and never waits inside undici. */
  readonly queue: WaitQueue;
  readonly connect: Connect;
}

export interface TargetFactory {
  prepare(upstream: UpstreamConfig, credential: string | undefined): UpstreamTarget;
  close(): Promise<void>;
}

/** Routes with the same upstream and the same identity share a pool; nobody else does. */
export function createTargetFactory(onSocketEvent?: (event: SocketEvent) => void): TargetFactory {
  const shared = new Map<string, Shared>();

  function prepare(upstream: UpstreamConfig, credential: string | undefined): UpstreamTarget {
    const url = new URL(upstream.url);
    if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
      throw new Error(`upstream ${url.origin}: write the URL without user, query and fragment`);
    }
    if (upstream.credential !== undefined && (credential === undefined || credential === "")) {
      throw new Error(`upstream ${url.origin}: its credential is missing or empty`);
    }
    const { strip_prefix: prefix, credential: placed, ...identity } = upstream;
    const key = createHash("sha256")
      .update(JSON.stringify([identity, url.origin, placed?.header, placed?.prefix, credential]))
      .digest("base64");
    const connection = shared.get(key) ?? open(url, upstream);
    shared.set(key, connection);
    const base = url.pathname.endsWith("/") ? url.pathname.slice(0, -1) : url.pathname;
    return {
      origin: url.origin,
      host: url.host,
      ...connection,
      credential: placed === undefined ? null : [placed.header.toLowerCase(), placed.prefix + credential],
      headersTimeoutMs: upstream.headers_timeout_ms,
      bodyIdleTimeoutMs: upstream.body_idle_timeout_ms,
      pathFor: (path) => base + withoutPrefix(path, prefix),
    };
  }

  function open(url: URL, upstream: UpstreamConfig): Shared {
    const connector = createConnector(url, upstream, onSocketEvent);
    const pool = new Pool(url.origin, {
      connect: connector.forPool,
      connections: upstream.connections_max,
      // One exchange at a time on a connection: an answer can only belong to the request that is open.
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: upstream.headers_timeout_ms,
      bodyTimeout: upstream.body_idle_timeout_ms,
    });
    return { pool, queue: new WaitQueue(upstream.connections_max), connect: connector.connect };
  }

  async function close(): Promise<void> {
    for (const { queue } of shared.values()) queue.close();
    await Promise.all([...shared.values()].map(({ pool }) => pool.destroy()));
    shared.clear();
  }

  return { prepare, close };
}

/** Only whole segments are removed: `/ats` is no prefix of `/atsx`. */
function withoutPrefix(path: string, prefix: string | undefined): string {
  if (prefix === undefined || !path.startsWith(prefix)) return path;
  const rest = path.slice(prefix.length);
  if (rest === "" || rest.startsWith("?")) return `/${rest}`;
  return rest.startsWith("/") ? rest : path;
}
