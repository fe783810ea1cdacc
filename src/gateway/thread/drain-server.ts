// In: a server of this thread. Out: it takes no connection any more, and ends those that carry nothing, without losing a byte.
// Node's own `close` and `closeIdleConnections` take a response for done when it was ended, also while its bytes still wait
// for a slow reader: they would cut an answer that the record says was given.
import type { Server, ServerResponse } from "node:http";
import { Server as NetServer, type Socket } from "node:net";

export interface ServerDrain {
  /** Stops listening; resolves when the last connection has ended. */
  stop(): Promise<void>;
  closeIdle(): void;
}

/** Called before the server listens. */
export function createServerDrain(server: Server, secure: boolean): ServerDrain {
  const open = new Set<Socket>();
  server.on(secure ? "secureConnection" : "connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  // Node knows nothing of a connection before its handshake is done: one that never speaks would hold the drain.
  const handshakes = new Map<string, Socket>();
  if (secure) {
    server.on("connection", (socket: Socket) => {
      const end = otherEnd(socket);
      handshakes.set(end, socket);
      socket.once("close", () => handshakes.delete(end));
    });
    server.on("secureConnection", (socket: Socket) => handshakes.delete(otherEnd(socket)));
  }

  function isBeingRead(socket: Socket): boolean {
    const { _httpMessage: message } = socket as Socket & { _httpMessage?: ServerResponse | null };
    return message?.writableEnded === true;
  }

  return {
    stop: () => new Promise((resolve) => NetServer.prototype.close.call(server, () => resolve())),
    closeIdle() {
      for (const socket of handshakes.values()) socket.destroy();
      for (const socket of open) {
        if (isBeingRead(socket)) return;
      }
      server.closeIdleConnections();
      // Opened ahead and never used: node counts such a connection as one whose request is on its way.
      for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
    },
  };
}

/** The TLS connection and the one below it have the same. */
function otherEnd({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
