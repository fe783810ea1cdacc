// In: a request behind another one on its connection. Out: null when its turn comes, or the denial that ends it unread.
// Node hands over pipelined requests as soon as they are parsed, and orders their answers only. Run at once, a read would
// overtake the write in front of it (RFC 9112 section 9.3.2); and behind the last answer of a connection, which may refuse
// a head that has another end for another reader, nothing is run at all.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Denial, deny } from "../../errors.ts";

/** More than clients pipeline; each holds its head, and a place among the exchanges of its thread. */
const WAITING_MAX = 16;

const waiting = new WeakMap<Socket, number>();

export function standsBehind(request: IncomingMessage, response: ServerResponse): boolean {
  return response.socket === null || request.socket.writableEnded;
}

export async function awaitTurn(request: IncomingMessage, response: ServerResponse): Promise<Denial | null> {
  const { socket } = request;
  const before = waiting.get(socket) ?? 0;
  if (before >= WAITING_MAX) return deny("gateway.overloaded", "too many requests wait on one connection");
  waiting.set(socket, before + 1);
  // A connection that was reset with its head still unread gives no turn and closes nothing any more.
  const came = !socket.writableEnded && !socket.destroyed && (await isGivenSocket(request, response));
  waiting.set(socket, (waiting.get(socket) ?? 1) - 1);
  return came ? null : deny("exchange.client_closed", "behind the last answer of its connection");
}

function isGivenSocket(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
  return new Promise((resolve) => {
    response.once("socket", () => resolve(true));
    request.once("close", () => resolve(false));
    if (request.closed || response.closed) resolve(false);
    else request.socket.once("close", () => resolve(false));
  });
}
