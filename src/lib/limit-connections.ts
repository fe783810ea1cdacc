// In: a server that does not listen yet, and how many connections it may hold. Out: it closes those beyond at once.
// A connection that is refused costs one `accept` and one `close`: neither TLS nor the HTTP parser ever sees it.
import type { Server, Socket } from "node:net";
import { peerKey } from "./peer-key.ts";

export type ConnectionLimit = "connections_max" | "connections_per_peer_max";

/** Counts the connections of each peer. Its size is bounded by the connections that are open. */
export interface PeerConnections {
  /** False where this peer holds as many as it may. */
  enter(peer: string): boolean;
  leave(peer: string): void;
}

export function createPeerConnections(connectionsMax: number): PeerConnections {
  const counts = new Map<string, number>();
  return {
    enter(peer) {
      const count = counts.get(peer) ?? 0;
      if (count >= connectionsMax) return false;
      counts.set(peer, count + 1);
      return true;
    },
    leave(peer) {
      const count = (counts.get(peer) ?? 0) - 1;
      if (count > 0) counts.set(peer, count);
      else counts.delete(peer);
    },
  };
}

export interface ConnectionLimits {
  /** Of this server. */
  readonly connectionsMax: number;
  /** May be shared by several servers: a peer then has one count. */
  readonly peers: PeerConnections;
  readonly onRefused: (limit: ConnectionLimit, address: string) => void;
}

/**
 * Called once, when every listener for `connection` of the server's own kind (HTTP, TLS) is in place. Sets `maxConnections`, which
 * is to be the `backlog` too: where a burst overflows the system's own queue, what its clients sent comes again only after seconds.
 */
export function limitConnections(server: Server, limits: ConnectionLimits): void {
  server.maxConnections = limits.connectionsMax;
  server.on("drop", (drop) => limits.onRefused("connections_max", drop?.remoteAddress ?? ""));
  const serve = server.listeners("connection") as ((socket: Socket) => void)[];
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    const address = socket.remoteAddress;
    // Reset before it was accepted: there is nobody to serve, and no address to count it under.
    if (address === undefined) {
      socket.destroy();
      return;
    }
    const peer = peerKey(address);
    if (!limits.peers.enter(peer)) {
      // A reset: an orderly close would keep the port of an address that has too many already.
      socket.resetAndDestroy();
      limits.onRefused("connections_per_peer_max", address);
      return;
    }
    socket.once("close", () => limits.peers.leave(peer));
    for (const listener of serve) listener.call(server, socket);
  });
}
