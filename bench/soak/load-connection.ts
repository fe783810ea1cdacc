// In: the bytes of one request. Out: the status of its answer; 0 where the connection ended without one.
// One request at a time, on one connection that is opened again when the gateway has ended it.
import { connect, type Socket } from "node:net";
import { headOfWhole } from "../load/rate-stream.ts";

/** Longer than any limit of the gateway for what this load does: an exchange that takes it has been forgotten. */
export const ANSWER_MAX_MS = 30_000;
export const NO_ANSWER = 0;

export interface LoadConnection {
  exchange(request: string | Buffer): Promise<number>;
  close(): void;
}

export function createLoadConnection(port: number): LoadConnection {
  let socket: Socket | undefined;
  let received = "";
  let settle: ((status: number) => void) | undefined;

  function end(status: number): void {
    const waiting = settle;
    settle = undefined;
    received = "";
    waiting?.(status);
  }

  function open(): Socket {
    const opened = connect({ host: "127.0.0.1", port, noDelay: true });
    opened.setTimeout(ANSWER_MAX_MS, () => opened.destroy());
    opened.on("data", (chunk) => {
      if (socket !== opened) return;
      received += chunk.toString();
      const head = headOfWhole(received);
      if (head === undefined) return;
      if (/\r\nconnection: *close/i.test(head)) {
        socket = undefined;
        opened.destroy();
      }
      end(Number(head.slice(9, 12)));
    });
    opened.on("error", () => undefined); // told by the close
    opened.on("close", () => {
      if (socket !== opened) return;
      socket = undefined;
      end(NO_ANSWER);
    });
    return opened;
  }

  return {
    exchange: (request) =>
      new Promise((resolve) => {
        settle = resolve;
        socket ??= open();
        socket.write(request);
      }),
    close() {
      socket?.destroy();
    },
  };
}
