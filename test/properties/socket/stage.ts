// In: nothing. Out: a whole gateway in front of a recording tool, attempts sent to it, and what its logs say of them.
import { openSync, readSync, closeSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import path from "node:path";
import { call, startTestGateway } from "../../fixtures/test-gateway.ts";
import { bytesOf } from "./attempts.ts";
import type { WireRequest } from "./http-reader.ts";
import { startRecordingUpstream } from "./recording-upstream.ts";

export type LogLine = Readonly<Record<string, unknown>>;

/** One attempt after it was sent. */
export interface Sent {
  readonly attempt: string;
  /** What went over the wire, as latin1. */
  readonly bytes: string;
  /** The SPIFFE id of its caller, which no other attempt has. */
  readonly agent: string;
  /** Everything that came back, as latin1. */
  readonly answered: string;
}

/** What happened while a batch was sent. */
export interface Seen {
  readonly sent: readonly Sent[];
  readonly forwarded: readonly WireRequest[];
  readonly access: readonly LogLine[];
  readonly decision: readonly LogLine[];
  readonly audit: readonly LogLine[];
  /** Bytes at the tool that are no HTTP, and what the gateway reported of itself. */
  readonly faults: readonly string[];
}

export interface Stage {
  /** Resolves when the logs have every line that is owed, or have had the time for it. */
  send(attempts: readonly string[]): Promise<Seen>;
  close(): Promise<void>;
}

const LANES = 8;
/** A gateway that waits for more of a request says nothing: then the client gives up. */
const SILENCE_MS = 400;
/** How long lines may take that are owed; on a busy machine too. */
const LINES_MS = 10_000;

export async function startStage(): Promise<Stage> {
  const upstream = await startRecordingUpstream();
  const route = (name: string, routePath: string, rest: Record<string, unknown>) => ({
    name,
    path: routePath,
    methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    // A verdict that is only observed: whatever can be judged at all is forwarded.
    mode: "observe",
    resource: { type: "any", classification: "any" },
    upstream: { url: upstream.url, allow_private_addresses: true },
    ...rest,
  });
  const g = await startTestGateway({
    routes: [
      route("stream", "/stream/**", { body: "stream" }),
      route("slash", "/slash/**", { encoded_slash: "segment" }),
      route("open", "/**", {}),
    ],
    logs: { safe_fields: ["query.q", "query.x", "arguments./a", "arguments./b"] },
    limits: { request_timeout_ms: 3000, headers_timeout_ms: 3000 },
  });
  const logs = path.join(g.folder, "data", "logs");
  const access = createTail(path.join(logs, "access.jsonl"));
  const decision = createTail(path.join(logs, "decision.jsonl"));
  const audit = createTail(path.join(g.folder, "data", "audit", "audit.jsonl"));
  let reported = g.log.length;

  async function sendOne(attempt: string): Promise<Sent> {
    const agent = await g.agent({ orchestration: "fuzz", instance: randomUUID() });
    const bytes = await bytesOf(attempt, g.url, agent);
    return { attempt, bytes, agent: agent.id, answered: await exchange(g.url, bytes) };
  }

  return {
    async send(attempts) {
      const sent: Sent[] = [];
      const queue = [...attempts];
      const lane = async (): Promise<void> => {
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) sent.push(await sendOne(next));
      };
      await Promise.all(Array.from({ length: LANES }, lane));
      // A line of a later exchange stands behind those of the attempts.
      const marker = `/marker/${randomUUID()}`;
      await call(g.url + marker);
      const endsAt = performance.now() + LINES_MS;
      const forwarded: WireRequest[] = [];
      const isWhole = (): boolean =>
        access.lines.some((line) => line["path"] === marker) &&
        isLogged(
          access.lines,
          sent.flatMap(({ answered }) => answersIn(answered)).map(({ id }) => id),
        ) &&
        isLogged(decision.lines, forwarded.map(requestIdOf)) &&
        isLogged(
          audit.lines.filter((line) => line["type"] === "outcome"),
          [...forwarded.map(requestIdOf), ...audit.lines.filter(isIntent).map((line) => String(line["request_id"]))],
        );
      do {
        await new Promise((resolve) => setTimeout(resolve, 20));
        forwarded.push(...upstream.take());
        for (const tail of [access, decision, audit]) tail.read();
      } while (!isWhole() && performance.now() < endsAt);
      const faults = upstream.takeFaults().map((fault) => `the tool got bytes that are no request: ${fault}`);
      for (const line of g.log.slice(reported)) {
        if (/^fatal|"level":"error"/.test(line)) faults.push(`the gateway reports: ${line}`);
      }
      reported = g.log.length;
      return {
        sent,
        forwarded,
        access: access.take().filter((line) => line["path"] !== marker),
        decision: decision.take(),
        audit: audit.take(),
        faults,
      };
    },
    async close() {
      await g.close();
      await upstream.close();
    },
  };
}

/** Writes `bytes` on a connection of its own; resolves with what came back once the connection has ended. */
function exchange(url: string, bytes: string): Promise<string> {
  const { hostname: host, port } = new URL(url);
  return new Promise((resolve) => {
    let answered = "";
    const socket = connect({ host, port: Number(port) }, () => void socket.write(bytes, "latin1"));
    socket.setTimeout(SILENCE_MS, () => socket.destroy());
    socket.on("data", (chunk) => {
      answered += chunk.toString("latin1");
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => resolve(answered));
  });
}

/** Every answer names its exchange: status and request id, in the order of the answers. */
export function answersIn(text: string): { status: number; id: string }[] {
  const heads = text.matchAll(/HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n(?:[^\r\n]+\r\n)*?x-cordon-request-id: ([^\r\n]+)\r\n/gi);
  return [...heads].map(([, status, id = ""]) => ({ status: Number(status), id }));
}

function requestIdOf({ headers }: WireRequest): string {
  return headers.find(([name]) => name === "x-cordon-request-id")?.[1] ?? "";
}

function isIntent(line: LogLine): boolean {
  return line["type"] === "intent";
}

function isLogged(lines: readonly LogLine[], ids: readonly string[]): boolean {
  const logged = new Set(lines.map((line) => line["request_id"]));
  return ids.every((id) => logged.has(id));
}

interface Tail {
  readonly lines: LogLine[];
  read(): void;
  /** The lines so far; the next ones come after them. */
  take(): LogLine[];
}

function createTail(file: string): Tail {
  const buffer = Buffer.alloc(1 << 20);
  let offset = 0;
  let rest = "";
  const lines: LogLine[] = [];
  return {
    lines,
    read() {
      const fd = openSync(file, "r");
      try {
        for (let size = -1; size !== 0; ) {
          size = readSync(fd, buffer, 0, buffer.length, offset);
          offset += size;
          rest += buffer.toString("latin1", 0, size);
        }
      } finally {
        closeSync(fd);
      }
      const whole = rest.lastIndexOf("\n") + 1;
      for (const line of rest.slice(0, whole).split("\n")) {
        if (line !== "") lines.push(JSON.parse(Buffer.from(line, "latin1").toString("utf8")) as LogLine);
      }
      rest = rest.slice(whole);
    },
    take() {
      return lines.splice(0);
    },
  };
}
