// In: bytes on connections. Out: the requests in them, as a reader sees them that repairs nothing.
// Trusts: nothing; what is not one plain HTTP/1.1 request after the other is a fault, and its connection ends.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";

/** A request as every reader must see it: where it begins and ends, and what it asks. */
export interface FramedRequest {
  readonly method: string;
  readonly target: string;
  readonly bytes: number;
  /** Of the body; null where it is empty. */
  readonly sha256: string | null;
}

export interface RecordedRequest extends FramedRequest {
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly framing: "none" | "length" | "chunked";
}

export interface RecordingUpstream {
  readonly url: string;
  /** Whole requests, in the order in which they ended. */
  readonly seen: RecordedRequest[];
  /** Bytes that are no request, and requests that broke off. */
  readonly faults: string[];
  close(): Promise<void>;
}

/** `body` as FramedRequest tells it. */
export function framedBody(body: Buffer): Pick<FramedRequest, "bytes" | "sha256"> {
  const sha256 = body.length === 0 ? null : createHash("sha256").update(body).digest("hex");
  return { bytes: body.length, sha256 };
}

const REQUEST_LINE = /^([A-Z]+) (\/[\x21-\x7e]*) HTTP\/1\.1$/;
const HEADER_LINE =
  /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|)$/;
const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

export async function startRecordingUpstream(): Promise<RecordingUpstream> {
  const seen: RecordedRequest[] = [];
  const faults: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let rest = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        const next = readRequest(rest);
        if (next === "more") return;
        if (typeof next === "string") {
          faults.push(next);
          rest = Buffer.alloc(0);
          socket.destroy();
          return;
        }
        seen.push(next.request);
        rest = rest.subarray(next.length);
        socket.write(ANSWER);
      }
    });
    const brokeOff = (): void => {
      if (rest.length > 0) faults.push(`broke off: ${rest.toString("latin1", 0, 80)}`);
      rest = Buffer.alloc(0);
    };
    socket.on("error", () => socket.destroy());
    socket.on("end", brokeOff);
    socket.on("close", () => {
      sockets.delete(socket);
      brokeOff();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    faults,
    async close() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** The first request of `bytes` and its length; what is wrong with it; or "more" where it is not whole yet. */
function readRequest(bytes: Buffer): { request: RecordedRequest; length: number } | string {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd === -1) return "more";
  const [line = "", ...lines] = bytes.toString("latin1", 0, headEnd).split("\r\n");
  const [, method, target] = REQUEST_LINE.exec(line) ?? [];
  if (method === undefined || target === undefined) return `request line: ${line}`;
  const headers: [string, string][] = [];
  for (const text of lines) {
    const [, name, value] = HEADER_LINE.exec(text) ?? [];
    if (name === undefined || value === undefined) return `header: ${text}`;
    headers.push([name.toLowerCase(), value]);
  }
  const framings = headers.filter(([name]) => name === "content-length" || name === "transfer-encoding");
  const [framing] = framings;
  const bodyStart = headEnd + 4;
  if (framings.length > 1) return "two framings";
  if (framing === undefined) {
    return { request: { method, target, headers, framing: "none", ...framedBody(Buffer.alloc(0)) }, length: bodyStart };
  }
  if (framing[0] === "transfer-encoding") {
    if (framing[1] !== "chunked") return `transfer coding: ${framing[1]}`;
    const chunks = readChunks(bytes, bodyStart);
    if (typeof chunks === "string") return chunks;
    return { request: { method, target, headers, framing: "chunked", ...framedBody(chunks.body) }, length: chunks.end };
  }
  if (!/^\d{1,15}$/.test(framing[1])) return `length: ${framing[1]}`;
  const end = bodyStart + Number(framing[1]);
  if (bytes.length < end) return "more";
  return {
    request: { method, target, headers, framing: "length", ...framedBody(bytes.subarray(bodyStart, end)) },
    length: end,
  };
}

/** Chunks without extensions and without trailers: nobody asked for them. */
function readChunks(bytes: Buffer, start: number): { body: Buffer; end: number } | string {
  const parts: Buffer[] = [];
  for (let at = start; ; ) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd === -1) return "more";
    const line = bytes.toString("latin1", at, lineEnd);
    if (!/^[0-9A-Fa-f]{1,12}$/.test(line)) return `chunk: ${line}`;
    const size = Number.parseInt(line, 16);
    const next = lineEnd + 2 + size;
    if (bytes.length < next + 2) return "more";
    if (bytes.toString("latin1", next, next + 2) !== "\r\n") return size === 0 ? "a trailer" : "a longer chunk";
    if (size === 0) return { body: Buffer.concat(parts), end: next + 2 };
    parts.push(bytes.subarray(lineEnd + 2, next));
    at = next + 2;
  }
}
