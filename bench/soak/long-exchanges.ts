// In: a port and agents. Out: event streams, tunnels, uploads that break off and heads that never end, some of each at all times.
// Half of them end by themselves or by the gateway, the others are cut by their caller at any moment.
import { connect, type Socket } from "node:net";
import type { BenchAgent } from "../load/agents.ts";
import type { RequestMaker } from "./requests.ts";
import { EVENTS_PATH, SCORE_PATH, TUNNEL_PATH } from "./soak-config.ts";

export interface LongExchanges {
  readonly port: number;
  readonly requests: RequestMaker;
  readonly pick: () => BenchAgent;
  /** The agent that operators contain; its streams are refused and cut. */
  readonly victim: () => BenchAgent;
  /** Called once for each: what it was, and the status of its answer, 0 where none was awaited or came. */
  readonly tally: (kind: string, status: number, expected: readonly number[]) => void;
}

const STREAMS = 16;
const VICTIM_STREAMS = 2;
const TUNNELS = 4;
const BROKEN_UPLOADS = 2;
const HALF_HEADS = 4;
/** A stream of the tool ends after 20 s; the tokens of some expire before. */
const STREAM_MAX_MS = 24_000;
const TUNNEL_MAX_MS = 5000;
const BROKEN_MAX_MS = 3000;
const FRAME_INTERVAL_MS = 100;
/** A masked text frame of 5 bytes: RFC 6455 section 5.7. */
const FRAME = Buffer.from([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
/** So that a refusal does not become a tight loop. */
const PAUSE_MS = 50;

export function startLongExchanges(options: LongExchanges): void {
  const { port, requests, pick, victim, tally } = options;
  const handshake =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  const upload = "Content-Type: application/json\r\nContent-Length: 500000\r\n";

  const stream = (kind: string, agent: () => BenchAgent, expected: readonly number[]) => (): Promise<void> =>
    hold(port, `${requests.head(agent(), "GET", EVENTS_PATH)}\r\n`, STREAM_MAX_MS, (status) =>
      tally(kind, status, expected),
    );
  const tunnel = (): Promise<void> =>
    hold(
      port,
      `${requests.head(pick(), "GET", TUNNEL_PATH, handshake)}\r\n`,
      TUNNEL_MAX_MS,
      (status) => tally("tunnel", status, [101]),
      sendFrames,
    );
  const broken = (): Promise<void> =>
    hold(port, `${requests.head(pick(), "POST", SCORE_PATH, upload)}\r\n{"score": 5`, BROKEN_MAX_MS, () => undefined);
  const halfHead = (): Promise<void> => hold(port, "GET / HTTP/1.1\r\nHost: exa", BROKEN_MAX_MS, () => undefined);

  for (const [count, run] of [
    [STREAMS, stream("stream", pick, [200])],
    [VICTIM_STREAMS, stream("victim-stream", victim, [200, 403])],
    [TUNNELS, tunnel],
    [BROKEN_UPLOADS, broken],
    [HALF_HEADS, halfHead],
  ] as const) {
    for (let index = 0; index < count; index++) void repeat(run);
  }
}

async function repeat(run: () => Promise<void>): Promise<void> {
  for (;;) {
    await run();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** Sends the request, tells the status of the answer, and resolves when the connection has ended, at the latest by itself. */
function hold(
  port: number,
  request: string,
  mostMs: number,
  answered: (status: number) => void,
  begin?: (socket: Socket) => void,
): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    let told = false;
    const tell = (status: number): void => {
      if (told) return;
      told = true;
      answered(status);
    };
    // From 0: some leave before they are answered. They are owed nothing.
    const timer = setTimeout(() => {
      told = true;
      socket.destroy();
    }, Math.random() * mostMs);
    socket.write(request);
    socket.on("data", (chunk) => {
      if (told) return;
      const status = Number(chunk.toString().slice(9, 12));
      tell(status);
      if (status >= 300) socket.destroy();
      else begin?.(socket);
    });
    socket.on("error", () => undefined); // told by the close
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      clearTimeout(timer);
      tell(0);
      resolve();
    });
  });
}

function sendFrames(socket: Socket): void {
  const timer = setInterval(() => socket.write(FRAME), FRAME_INTERVAL_MS);
  socket.once("close", () => clearInterval(timer));
}
