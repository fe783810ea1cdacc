// In: Debian's nginx and haproxy, and an origin for each. Out: both on loopback, and the requests as each of them read them.
// Installs them where that is possible. Each writes one line a request to a syslog socket of this process.
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { findProgram, installHint, installPackages } from "../../scripts/debian-packages.ts";
import { freePort } from "../../examples/demo/free-ports.ts";
import { type FramedRequest, framedBody } from "./recording-upstream.ts";

const PACKAGES = ["nginx-light", "haproxy"];
const isComplete = (): boolean => findProgram("nginx") !== undefined && findProgram("haproxy") !== undefined;
if (!isComplete()) installPackages(PACKAGES, () => undefined);

/** The `skip` option of a test that needs them; with CI=true their absence fails it. */
export const skipWithoutServers =
  isComplete() || process.env["CI"] === "true" ? false : `nginx or haproxy is missing; ${installHint(PACKAGES)}`;

/** Throws where one of them is missing: called before anything is started that a test would then not close. */
export function requireServers(): void {
  if (!isComplete()) throw new Error(`nginx or haproxy is missing; ${installHint(PACKAGES)}`);
}

/** Above all that the gateway lets pass by default, so that a limit of theirs is not taken for agreement. */
export const SERVER_BUFFER_BYTES = 65_536;
const READY_TIMEOUT_MS = 10_000;

/** One line of its log: a request that it answered, or bytes that it refused. */
export interface LoggedRequest extends FramedRequest {
  readonly status: number;
}

export interface RealServer {
  readonly url: string;
  readonly log: LoggedRequest[];
  /** Resolves when it has logged a request for `target`. */
  logged(target: string): Promise<void>;
  close(): Promise<void>;
}

interface ServerLog {
  readonly port: number;
  readonly lines: LoggedRequest[];
  logged(target: string): Promise<void>;
  close(): void;
}

type Parse = (line: Record<string, string>) => LoggedRequest;

/** Syslog over UDP: an event for each line, and on loopback none is lost while this process reads. */
async function openLog(parse: Parse): Promise<ServerLog> {
  const socket: Socket = createSocket("udp4");
  const lines: LoggedRequest[] = [];
  const waiting = new Set<() => void>();
  socket.on("message", (message) => {
    const text = message.toString("latin1");
    if (!text.includes("{")) return; // of the server's own life
    lines.push(parse(JSON.parse(text.slice(text.indexOf("{"))) as Record<string, string>));
    for (const look of waiting) look();
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  socket.unref();
  return {
    port: socket.address().port,
    lines,
    logged: (target) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!lines.some((line) => line.target === target)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    close: () => void socket.close(),
  };
}

/** nginx, which passes on to `origin` what it read whole; `locations` stand beside that. */
export async function startNginx(origin: string, locations = ""): Promise<RealServer> {
  const log = await openLog(({ method = "", target = "", status, body = "" }) => ({
    method,
    target,
    status: Number(status),
    ...framedBody(Buffer.from(body, "latin1")),
  }));
  return startServer("nginx", log, (folder, port) => {
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${folder}/${name};`)
      .join("\n  ");
    return {
      args: ["-p", folder, "-e", "stderr", "-c"],
      config: `daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 256; }
http {
  ${temporary}
  log_format framed escape=json '{"method":"$request_method","target":"$request_uri","status":"$status","body":"$request_body"}';
  access_log syslog:server=127.0.0.1:${log.port},nohostname framed;
  client_body_buffer_size ${SERVER_BUFFER_BYTES};
  client_max_body_size ${SERVER_BUFFER_BYTES};
  client_header_timeout 5s;
  client_body_timeout 5s;
  # What it drops by default is no matter of framing; here all of it is to be seen behind it.
  ignore_invalid_headers off;
  underscores_in_headers on;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${origin};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
    ${locations}
  }
}
`,
    };
  });
}

/** haproxy, which passes on to `origin` what it read whole. */
export async function startHaproxy(origin: string): Promise<RealServer> {
  const log = await openLog(({ method = "", target = "", status, bytes, sha256 = "" }) => ({
    method,
    target,
    status: Number(status),
    bytes: Number(bytes),
    sha256: Number(bytes) === 0 ? null : sha256.toLowerCase(),
  }));
  return startServer("haproxy", log, (_folder, port) => ({
    args: ["-db", "-f"],
    config: `global
  nbthread 1
  log 127.0.0.1:${log.port} len 65000 format raw local0
  tune.bufsize ${SERVER_BUFFER_BYTES}
  tune.http.logurilen ${SERVER_BUFFER_BYTES}
defaults
  mode http
  option dontlognull
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend tool
  log global
  bind 127.0.0.1:${port}
  http-request wait-for-body time 5s
  http-request set-var(txn.bytes) req.body_len
  http-request set-var(txn.sha256) req.body,sha2(256),hex
  log-format '{"method":"%HM","target":"%HU","status":"%ST","bytes":"%[var(txn.bytes)]","sha256":"%[var(txn.sha256)]"}'
  default_backend origin
backend origin
  server origin ${new URL(origin).host}
`,
  }));
}

async function startServer(
  name: "nginx" | "haproxy",
  log: ServerLog,
  describe: (folder: string, port: number) => { args: readonly string[]; config: string },
): Promise<RealServer> {
  requireServers();
  const program = findProgram(name) ?? name;
  const folder = mkdtempSync(path.join(tmpdir(), `cordon-${name}-`));
  const port = await freePort();
  const { args, config } = describe(folder, port);
  const file = path.join(folder, `${name}.conf`);
  writeFileSync(file, config);
  const errors = path.join(folder, "stderr");
  const child = spawn(program, [...args, file], { stdio: ["ignore", "ignore", openSync(errors, "a")] });
  child.unref();
  const onExit = (): void => void child.kill("SIGKILL");
  process.once("exit", onExit);
  const ended = once(child, "exit");
  await listening(child, port).catch((error: Error) => {
    child.kill("SIGKILL");
    throw new Error(`${name}: ${error.message}\n${readFileSync(errors, "utf8")}`);
  });
  return {
    url: `http://127.0.0.1:${port}`,
    log: log.lines,
    logged: log.logged,
    async close() {
      process.off("exit", onExit);
      child.kill("SIGKILL");
      await ended;
      log.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Neither of them says that it is ready, so they are asked. */
async function listening(child: ChildProcess, port: number): Promise<void> {
  const until = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const answered = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    });
    socket.destroy();
    if (answered) return;
    if (child.exitCode !== null || Date.now() > until) throw new Error("it does not listen");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
