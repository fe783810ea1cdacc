// In: a request behind another one on its connection. Out: null when its turn comes, or the denial that ends it unread.
// Node hands over pipelined requests as soon as they are parsed, and orders their answers only. Run at once, a read would
// overtake the write in front of it (RFC 9112 section 9.3.2); and behind the last answer of a connection, which may refuse
// a head that has another end for another reader, nothing is run at all.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Denial, deny } from "../../errors.ts";

/** More than clients pipeline; each holds its head, and a place among the exchanges of its thread. */
const WAITING_MAX = 16;

/** Of each connection: how to end the wait of those who stand in line on it. */
const lines = new WeakMap<Socket, Set<() => void>>();

export function standsBehind(request: IncomingMessage, response: ServerResponse): boolean {
  return response.socket === null || request.socket.writableEnded;
}

export async function awaitTurn(request: IncomingMessage, response: ServerResponse): Promise<Denial | null> {
  const { socket } = request;
  const line = lineOf(socket);
  if (line.size >= WAITING_MAX) return deny("gateway.overloaded", "too many requests wait on one connection");
  // A connection that was reset with its head still unread gives no turn and closes nothing any more.
  const came = !socket.writableEnded && !socket.destroyed && (await isGivenSocket(request, response, line));
  return came ? null : deny("exchange.client_closed", "behind the last answer of its connection");
}

/** One listener a connection, however many wait on it and for however long it lives. */
function lineOf(socket: Socket): Set<() => void> {
  const known = lines.get(socket);
  if (known !== undefined) return known;
  const line = new Set<() => void>();
  lines.set(socket, line);
  socket.once("close", () => {
    for (const leave of line) leave();
  });
  return line;
}

function isGivenSocket(request: IncomingMessage, response: ServerResponse, line: Set<() => void>): Promise<boolean> {
  return new Promise((resolve) => {
    const leave = (): void => {
      line.delete(leave);
      resolve(false);
    };
    line.add(leave);
    response.once("socket", () => {
      line.delete(leave);
      resolve(true);
    });
    request.once("close", leave);
    if (request.closed || response.closed) leave();
  });
}
