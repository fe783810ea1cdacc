// In: a socket whose request has no response object of its own. Out: a whole answer on it, and its end.
import type { Duplex } from "node:stream";

/** `headers` are raw pairs without framing. */
export function answerOnSocket(
  socket: Duplex,
  status: string,
  headers: readonly string[] = [],
  body: string | Buffer = "",
): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  let head = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  for (let at = 0; at + 1 < headers.length; at += 2) head += `${headers[at]}: ${headers[at + 1]}\r\n`;
  socket.on("error", () => socket.destroy());
  socket.write(`${head}\r\n`);
  socket.end(body, () => socket.destroy());
}
