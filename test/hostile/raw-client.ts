// In: bytes, exactly as an attacker wants them on the wire. Out: the answers that came back, and whether the connection ended.
// Trusts: the gateway to frame its own answers by Content-Length; for tests only.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";

export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
  header(name: string): string | undefined;
}

export interface RawConnection {
  readonly socket: Socket;
  /** Everything that was received so far, as latin1. */
  readonly received: () => string;
  write(bytes: string | Uint8Array): void;
  /** Resolves with the first `count` answers, or with those that came before the connection ended. */
  answers(count: number): Promise<RawAnswer[]>;
  /** Resolves when `found` is true of what was received, or the connection ended. */
  until(found: () => boolean): Promise<void>;
  /** Resolves when the head of a first answer is here, or the connection ended without one. */
  readonly answered: () => Promise<boolean>;
  /** Resolves when more has come than at the last call, or the connection ended. */
  readonly more: () => Promise<void>;
  /** Resolves when the other side has ended or reset the connection. */
  readonly closed: Promise<void>;
  /** The TLS session ticket that came last; it may arrive with the handshake or after it. */
  readonly session: Promise<Buffer>;
  destroy(): void;
}

export async function openRaw(url: string, tls?: ConnectionOptions): Promise<RawConnection> {
  const { hostname: host, port, protocol } = new URL(url);
  const secure = protocol === "https:";
  const socket = secure ? connectTls({ host, port: Number(port), ...tls }) : connect({ host, port: Number(port) });
  const session = new Promise<Buffer>((resolve) => socket.once("session", resolve));
  let text = "";
  let waiting: (() => void)[] = [];
  let ended = false;
  let read = 0;
  const wake = (): void => {
    for (const resolve of waiting) resolve();
    waiting = [];
  };
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    wake();
  });
  // A reset is how a refused connection may end; the tests look at `closed` and at what came before.
  socket.on("error", () => socket.destroy());
  const closed = new Promise<void>((resolve) => {
    const end = (): void => {
      ended = true;
      wake();
      resolve();
    };
    socket.once("end", end).once("close", end);
  });
  await once(socket, secure ? "secureConnect" : "connect");
  return {
    socket,
    received: () => text,
    write: (bytes) => void (socket.writable && socket.write(bytes)),
    async answers(count) {
      for (;;) {
        const found = parseAnswers(text);
        if (found.length >= count || ended) return found;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
    async until(found) {
      for (;;) {
        if (found() || ended) return;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
    async answered() {
      for (;;) {
        if (text.includes("\r\n\r\n")) return true;
        if (ended) return false;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
    async more() {
      for (;;) {
        if (text.length > read || ended) break;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
      read = text.length;
    },
    closed,
    session,
    destroy: () => socket.destroy(),
  };
}

/** Sends `bytes` on a connection of its own and waits until the gateway closes it. */
export async function sendRaw(url: string, bytes: string | Uint8Array, tls?: ConnectionOptions): Promise<RawAnswer[]> {
  const connection = await openRaw(url, tls);
  connection.write(bytes);
  await connection.closed;
  connection.destroy();
  return parseAnswers(connection.received());
}

/** Sends `bytes`, waits for one answer, and ends the connection. */
export async function askRaw(url: string, bytes: string | Uint8Array, tls?: ConnectionOptions): Promise<RawAnswer> {
  const connection = await openRaw(url, tls);
  connection.write(bytes);
  const [answer] = await connection.answers(1);
  connection.destroy();
  if (answer === undefined) throw new Error(`no answer, only ${JSON.stringify(connection.received())}`);
  return answer;
}

/** A request head from its lines, without repair: what stands in `lines` goes out. */
export function rawRequest(requestLine: string, lines: readonly string[], body = ""): string {
  return `${[requestLine, ...lines].join("\r\n")}\r\n\r\n${body}`;
}

export function hostOf(url: string): string {
  return new URL(url).host;
}

function parseAnswers(text: string): RawAnswer[] {
  const answers: RawAnswer[] = [];
  let rest = text;
  for (;;) {
    const end = rest.indexOf("\r\n\r\n");
    if (end === -1) return answers;
    const head = rest.slice(0, end);
    const header = (name: string): string | undefined =>
      new RegExp(`^${name}:[ \\t]*(.*)$`, "im").exec(head)?.[1]?.trim();
    const length = Number(header("content-length") ?? 0);
    if (rest.length < end + 4 + length) return answers;
    answers.push({
      status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0),
      head,
      body: rest.slice(end + 4, end + 4 + length),
      header,
    });
    rest = rest.slice(end + 4 + length);
  }
}
