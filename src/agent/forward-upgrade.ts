// In: a WebSocket upgrade of the program behind the sidecar. Out: a byte tunnel through the gateway, or the gateway's refusal.
// The gateway judges the upgrade and checks the tool's answer; here only the proof is added, and both ends are tied together.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { CordonError } from "./cordon-error.ts";
import type { GatewayClient } from "./gateway-client.ts";
import { headersForGateway, headersForProgram, type RequestHeaders } from "./sidecar-headers.ts";
import { answerOnSocket } from "./socket-answer.ts";

/** A refusal is a small problem document; what is longer is cut. */
const REFUSAL_BYTES_MAX = 65_536;
const UPGRADE = ["Connection", "Upgrade", "Upgrade", "websocket"];

export interface Upgrade extends RequestHeaders {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  /** What the program sent behind its request. */
  readonly head: Buffer;
  readonly target: string;
  readonly mapLocation: (location: string) => string;
}

/** Settles when the tunnel stands or was refused; never rejects. */
export async function forwardUpgrade(gateway: GatewayClient, upgrade: Upgrade): Promise<void> {
  try {
    let refusal = await ask(gateway, upgrade);
    if (refusal !== undefined && (await gateway.mayPassAgain(refusal.answer, refusal.accessToken))) {
      refusal.answer.resume();
      refusal = await ask(gateway, upgrade);
    }
    if (refusal !== undefined) await passOnRefusal(refusal.answer, upgrade);
  } catch (error) {
    const known = error instanceof CordonError ? error : undefined;
    const text = JSON.stringify({ title: known?.message ?? "The gateway cannot be reached.", status: 502 });
    answerOnSocket(upgrade.socket, "502 Bad Gateway", ["Content-Type", "application/problem+json"], text);
  }
}

interface Refusal {
  readonly answer: IncomingMessage;
  readonly accessToken: string;
}

/** The gateway's answer where it was none to an upgrade; undefined once the tunnel stands. */
async function ask(gateway: GatewayClient, upgrade: Upgrade): Promise<Refusal | undefined> {
  const { request, socket, head, target, mapLocation } = upgrade;
  const { outgoing, accessToken } = await gateway.open({
    method: request.method ?? "GET",
    target,
    headers: headersForGateway(request.rawHeaders, upgrade),
    framing: UPGRADE,
  });
  const answered = Promise.withResolvers<Refusal | undefined>();
  socket.once("close", () => outgoing.destroy());
  outgoing.once("error", answered.reject);
  outgoing.once("response", (answer) => answered.resolve({ answer, accessToken }));
  outgoing.once("upgrade", (answer, far, farHead) => {
    const headers = [...headersForProgram(answer.rawHeaders, mapLocation), ...UPGRADE];
    socket.write(headOf("101 Switching Protocols", headers));
    tie(socket, far);
    if (head.length > 0) far.write(head);
    if (farHead.length > 0) socket.write(farHead);
    far.pipe(socket);
    socket.pipe(far);
    answered.resolve(undefined);
  });
  outgoing.end();
  return answered.promise;
}

/** When one end is gone, so is the other. */
function tie(near: Duplex, far: Duplex): void {
  near.on("error", () => far.destroy());
  far.on("error", () => near.destroy());
  near.once("close", () => far.destroy());
  far.once("close", () => near.destroy());
}

async function passOnRefusal(answer: IncomingMessage, { socket, mapLocation }: Upgrade): Promise<void> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer) {
    bytes += (chunk as Buffer).length;
    if (bytes > REFUSAL_BYTES_MAX) break;
    chunks.push(chunk as Buffer);
  }
  const headers = headersForProgram(answer.rawHeaders, mapLocation);
  const kept = headers.flatMap((name, at) =>
    at % 2 === 0 && name.toLowerCase() !== "content-length" ? [name, headers[at + 1] ?? ""] : [],
  );
  answerOnSocket(socket, `${answer.statusCode ?? 502} ${answer.statusMessage ?? ""}`, kept, Buffer.concat(chunks));
}

function headOf(status: string, headers: readonly string[]): string {
  let text = `HTTP/1.1 ${status}\r\n`;
  for (let at = 0; at + 1 < headers.length; at += 2) text += `${headers[at]}: ${headers[at + 1]}\r\n`;
  return `${text}\r\n`;
}
