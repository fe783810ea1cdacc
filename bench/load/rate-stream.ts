// In: where to send what, at which rate, and from which address. Out: answers counted by status, and their latencies.
// Request i is due at start + i / rate, whether the earlier ones were answered or not, and its latency counts from then.
// A connection that the server ends is opened again for the next request, as any caller would.
import { connect, type Socket } from "node:net";

export interface RateStream {
  readonly ratePerS: number;
  readonly connections: number;
  /** Source address; undefined: as the system chooses. */
  readonly localAddress?: string | undefined;
  /** Requests used in turn. Where there are proofs each ends in "DPoP: ", else they are whole. `|` ends a line. */
  readonly heads: readonly string[];
  readonly proofs: readonly string[] | undefined;
}

export interface StreamResult {
  /** In the counted part of the run, a second. */
  readonly successPerS: number;
  readonly refusedPerS: number;
  /** In the whole run. */
  readonly requests: number;
  readonly successes: number;
  readonly refusals: number;
  /** Connections that ended, or could not be made, instead of an answer. */
  readonly closed: number;
  /** Due, and not answered when the run ended. */
  readonly unanswered: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  /** 99th percentile of how late the generator itself was: what of the latency may be its own. */
  readonly lateP99Us: number;
}

export interface Target {
  readonly host: string;
  readonly port: number;
}

interface Connection {
  socket: Socket | undefined;
  received: string;
  /** Of the request under way; -1 where there is none. */
  index: number;
}

export function percentile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Where a whole response with a declared length stands in the text, its head; else undefined. */
export function headOfWhole(text: string): string | undefined {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const head = text.slice(0, headEnd);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  return length !== undefined && text.length >= headEnd + 4 + Number(length) ? head : undefined;
}

export function createRateStream(target: Target, stream: RateStream, seconds: number, skipS: number) {
  const { ratePerS, heads, proofs } = stream;
  const total = Math.floor(ratePerS * seconds);
  const first = Math.floor(ratePerS * skipS);
  const latencies = new Float64Array(total);
  const lateness = new Float64Array(total);
  const statuses: Record<string, number> = {};
  const all = Array.from(
    { length: stream.connections },
    (): Connection => ({ socket: undefined, received: "", index: -1 }),
  );
  const free = Array.from(all);
  const waiting: number[] = [];
  let startMs = Number.POSITIVE_INFINITY;
  let next = 0;
  let nextWaiting = 0;
  let closed = 0;
  let ended = 0;
  let over = false;
  const successes = { whole: 0, counted: 0 };
  const refusals = { whole: 0, counted: 0 };

  const dueMs = (index: number): number => startMs + (index * 1000) / ratePerS;

  function open(connection: Connection): Socket {
    const { host, port } = target;
    const { localAddress } = stream;
    const socket = connect({ host, port, noDelay: true, ...(localAddress === undefined ? {} : { localAddress }) });
    connection.socket = socket;
    socket.on("data", (chunk) => {
      if (connection.socket === socket) onData(connection, socket, chunk.toString());
    });
    socket.on("error", () => undefined); // told by the close
    socket.on("close", () => {
      if (connection.socket !== socket) return;
      connection.socket = undefined;
      if (connection.index < 0 || over) return;
      closed += 1;
      settle(connection);
    });
    return socket;
  }

  function onData(connection: Connection, socket: Socket, chunk: string): void {
    connection.received += chunk;
    const head = headOfWhole(connection.received);
    if (head === undefined || connection.index < 0) return;
    const status = head.slice(9, 12);
    statuses[status] = (statuses[status] ?? 0) + 1;
    const nowMs = performance.now();
    const kind = status.startsWith("2") ? successes : refusals;
    kind.whole += 1;
    if (nowMs >= startMs + skipS * 1000 && nowMs <= startMs + seconds * 1000) kind.counted += 1;
    if (/\r\nconnection: *close/i.test(head)) {
      connection.socket = undefined;
      socket.destroy();
    }
    settle(connection, nowMs);
  }

  /** The request under way has ended; the connection is there for the next one. */
  function settle(connection: Connection, nowMs = performance.now()): void {
    latencies[connection.index] = (nowMs - dueMs(connection.index)) * 1000;
    ended += 1;
    connection.received = "";
    connection.index = -1;
    const due = waiting[nextWaiting];
    if (due === undefined) {
      free.push(connection);
    } else {
      nextWaiting += 1;
      send(connection, due);
    }
  }

  function send(connection: Connection, index: number): void {
    const head = heads[index % heads.length] ?? "";
    connection.index = index;
    const socket = connection.socket ?? open(connection);
    socket.write(proofs === undefined ? head : `${head}${proofs[index] ?? ""}\r\n\r\n`);
  }

  return {
    /** Opens the connections. One that is refused is tried again by its first request. */
    async open(): Promise<void> {
      const opened = (connection: Connection): Promise<void> =>
        new Promise((resolve) => {
          const socket = open(connection);
          socket.once("connect", resolve);
          socket.once("close", () => resolve());
        });
      await Promise.all(all.map(opened));
    },
    begin(atMs: number): void {
      startMs = atMs;
    },
    /** Sends what is due. */
    tick(nowMs: number): void {
      while (next < total && dueMs(next) <= nowMs) {
        lateness[next] = (nowMs - dueMs(next)) * 1000;
        const connection = free.pop();
        if (connection === undefined) waiting.push(next);
        else send(connection, next);
        next += 1;
      }
    },
    isSettled: () => ended >= total,
    close(): StreamResult {
      over = true;
      const nowMs = performance.now();
      for (const { socket } of all) socket?.destroy();
      // What is not answered yet took at least until now.
      for (const index of [...waiting.slice(nextWaiting), ...all.map((one) => one.index)]) {
        if (index >= 0) latencies[index] = (nowMs - dueMs(index)) * 1000;
      }
      const counted = latencies
        .slice(first)
        .filter((latency) => latency > 0)
        .sort();
      return {
        successPerS: successes.counted / (seconds - skipS),
        refusedPerS: refusals.counted / (seconds - skipS),
        requests: total,
        successes: successes.whole,
        refusals: refusals.whole,
        closed,
        unanswered: total - ended,
        statuses,
        p50Us: percentile(counted, 0.5),
        p99Us: percentile(counted, 0.99),
        maxUs: percentile(counted, 1),
        lateP99Us: percentile(lateness.slice(first).sort(), 0.99),
      };
    },
  };
}
