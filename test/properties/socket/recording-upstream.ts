// In: connections of the gateway. Out: every byte that came on them, read by a strict reader of our own, request by request.
import { createServer, type AddressInfo, type Socket } from "node:net";
import { once } from "node:events";
import { GATEWAY, readRequests, type WireRequest } from "./http-reader.ts";

export interface RecordingUpstream {
  readonly url: string;
  /** Whole requests since the last call, in the order in which they were complete. */
  take(): WireRequest[];
  /** What was wrong with the bytes of a connection, since the last call. */
  takeFaults(): string[];
  close(): Promise<void>;
}

const BODY = '{"ok":true}';
const HEAD = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n`;

export async function startRecordingUpstream(): Promise<RecordingUpstream> {
  const sockets = new Set<Socket>();
  let requests: WireRequest[] = [];
  let faults: string[] = [];
  const server = createServer((socket) => {
    let bytes = "";
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (chunk) => {
      bytes += chunk.toString("latin1");
      const read = readRequests(bytes, GATEWAY);
      bytes = bytes.slice(read.end);
      if (read.fault !== "") {
        faults.push(read.fault);
        socket.destroy();
      }
      for (const request of read.requests) {
        requests.push(request);
        socket.write(request.method === "HEAD" ? HEAD : HEAD + BODY);
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    take() {
      const taken = requests;
      requests = [];
      return taken;
    },
    takeFaults() {
      const taken = faults;
      faults = [];
      return taken;
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
