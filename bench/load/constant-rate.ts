// In: one JSON argument: where to send what, at which rate. Out: one line of JSON with the latencies, in microseconds.
// Open loop: request i is due at start + i / rate, whether the earlier ones were answered or not, and its latency counts
// from that moment. A server that stalls therefore pays for every request that was due meanwhile: no coordinated omission.
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setPriority } from "node:os";

export interface ConstantRateTask {
  readonly host: string;
  readonly port: number;
  readonly ratePerS: number;
  readonly seconds: number;
  /** The start of the run that is not counted: connections are opened, caches are warmed. */
  readonly skipS: number;
  /** Request heads, used in turn; where there are proofs each ends in "DPoP: ", else they are whole. `|` ends a line. */
  readonly headsFile: string;
  readonly proofsFile: string | undefined;
}

export interface ConstantRateResult {
  readonly requests: number;
  readonly errors: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  /** 99th percentile of how late the generator itself sent: what of the latency may be its own. */
  readonly lateP99Us: number;
}

const CONNECTIONS = 64;
/** How long after the last due moment answers are waited for. */
const TAIL_MS = 3000;

interface Connection {
  readonly socket: Socket;
  received: string;
  /** When the request under way was due. */
  dueMs: number;
  index: number;
}

export function percentile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** True once the text holds a whole response with a declared length. */
function isWhole(text: string): boolean {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return false;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, headEnd))?.[1];
  return length !== undefined && text.length >= headEnd + 4 + Number(length);
}

async function run(task: ConstantRateTask): Promise<ConstantRateResult> {
  const heads = readLines(task.headsFile).map((line) => line.replaceAll("|", "\r\n"));
  const proofs = task.proofsFile === undefined ? undefined : readLines(task.proofsFile);
  const total = Math.floor(task.ratePerS * task.seconds);
  const first = Math.floor(task.ratePerS * task.skipS);
  const latencies = new Float64Array(total);
  const lateness = new Float64Array(total);
  const free: Connection[] = [];
  const waiting: number[] = [];
  let answered = 0;
  let errors = 0;

  const open = await Promise.all(Array.from({ length: CONNECTIONS }, () => openConnection(task)));
  free.push(...open);
  for (const connection of open) {
    connection.socket.on("data", (chunk) => onData(connection, chunk.toString()));
    connection.socket.on("close", () => (errors += connection.index < 0 ? 0 : 1));
  }

  function onData(connection: Connection, chunk: string): void {
    connection.received += chunk;
    if (!isWhole(connection.received)) return;
    latencies[connection.index] = (performance.now() - connection.dueMs) * 1000;
    if (!connection.received.startsWith("HTTP/1.1 2")) errors += 1;
    answered += 1;
    connection.received = "";
    connection.index = -1;
    const next = waiting.shift();
    if (next === undefined) free.push(connection);
    else send(connection, next);
  }

  const startMs = performance.now() + 20;
  const dueMs = (index: number): number => startMs + (index * 1000) / task.ratePerS;

  function send(connection: Connection, index: number): void {
    const head = heads[index % heads.length] ?? "";
    connection.index = index;
    connection.dueMs = dueMs(index);
    connection.socket.write(proofs === undefined ? head : `${head}${proofs[index] ?? ""}\r\n\r\n`);
  }

  await new Promise<void>((resolve) => {
    let next = 0;
    const tick = (): void => {
      const nowMs = performance.now();
      while (next < total && dueMs(next) <= nowMs) {
        lateness[next] = (nowMs - dueMs(next)) * 1000;
        const connection = free.pop();
        if (connection === undefined) waiting.push(next);
        else send(connection, next);
        next += 1;
      }
      if (answered + errors >= total || nowMs > dueMs(total) + TAIL_MS) resolve();
      else setImmediate(tick);
    };
    tick();
  });
  for (const { socket } of open) socket.destroy();
  const counted = latencies
    .slice(first)
    .filter((latency) => latency > 0)
    .sort();
  return {
    requests: answered,
    errors: errors + (total - answered),
    p50Us: percentile(counted, 0.5),
    p99Us: percentile(counted, 0.99),
    maxUs: percentile(counted, 1),
    lateP99Us: percentile(lateness.slice(first).sort(), 0.99),
  };
}

function readLines(file: string): string[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");
}

function openConnection(task: ConstantRateTask): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: task.host, port: task.port, noDelay: true });
    socket.once("connect", () => resolve({ socket, received: "", dueMs: 0, index: -1 }));
    socket.once("error", reject);
    socket.on("error", () => undefined);
  });
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  // It polls the clock without a pause, so that it sends in time; the upstream on the same core goes first.
  setPriority(19);
  const result = await run(JSON.parse(process.argv[2] ?? "{}") as ConstantRateTask);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
