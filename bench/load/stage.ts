// In: the machine's tools and cores. Out: everything under load, running: upstream, bare proxies, gateways, agents.
// Made once for a whole run; what costs processor time while it is idle is not started before it is needed.
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { freePort } from "../../examples/demo/free-ports.ts";
import { issueCertificate, makeCa } from "../../test/fixtures/certificates.ts";
import { type BenchAgent, createIssuer } from "./agents.ts";
import { type Child, type ChildProcesses, createChildProcesses } from "./child-processes.ts";
import {
  BATCHED_PATH,
  type GatewayPorts,
  originsOf,
  type ServerCertificates,
  STRICT_PATH,
  writeGatewayConfig,
} from "./gateway-config.ts";
import type { Cores } from "./choose-cores.ts";
import type { LoadTools } from "./install-debian.ts";
import { makeAgents } from "./make-agents.ts";
import { makeProofs } from "./make-proofs.ts";
import { runWrk, type Round, type WrkTarget } from "./run-wrk.ts";
import { startUpstream } from "./upstream.ts";

/** So many keys that none comes near its share of the replay table (8192 proofs in 13 s), at the default size of the table. */
const AGENTS = 16;

export interface Running {
  readonly pid: number;
  readonly origin: string;
  readonly host: string;
  readonly port: number;
  stop(): Promise<void>;
}

export interface GatewayStart {
  readonly cores?: string | undefined;
  /** Arguments of Node itself. */
  readonly nodeArgs?: readonly string[];
  /** Sections that replace those of the configuration. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  readonly moreRoutes?: readonly object[];
}

/** A request with a body; its `Authorization` and `DPoP` come from the agents. */
export interface Message {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Of bench/load/bare-proxy.ts. */
export type BareKind = "plain" | "tls" | "one-signature" | "pipeline";

export interface Stage {
  readonly folder: string;
  readonly processes: ChildProcesses;
  readonly cores: Cores;
  /** Of nginx. */
  readonly upstreamOrigin: string;
  /** Undefined where nginx cannot present a client certificate. */
  readonly tls: { readonly bare: number; readonly gateway: number } | undefined;
  startBare(kind: BareKind): Promise<Running>;
  startGateway(threads: number, options?: GatewayStart): Promise<Running>;
  /** One round of wrk without proofs. */
  plainRound(target: WrkTarget, seconds: number): Promise<Round>;
  /** The agents that make a load where no others are named. */
  readonly agents: readonly BenchAgent[];
  /** More agents of the same issuer; `scope` beside that of the hiring agent. */
  makeAgents(count: number, scope?: readonly string[]): Promise<BenchAgent[]>;
  /** One round of wrk against the gateway, with a fresh proof for each of up to `count` requests, by these agents in turn. */
  proofRound(
    gateway: Running,
    route: "batched" | "strict",
    seconds: number,
    count: number,
    by?: readonly BenchAgent[],
  ): Promise<Round>;
  /** The same with a POST of this message. */
  messageRound(
    gateway: Running,
    message: Message,
    seconds: number,
    count: number,
    by: readonly BenchAgent[],
  ): Promise<Round>;
  /** Files for a round of the constant-rate generator. */
  proofFiles(
    gateway: Running,
    route: "batched" | "strict",
    count: number,
    by?: readonly BenchAgent[],
  ): Promise<{ heads: string; proofs: string }>;
  /** `Authorization` and `DPoP` as in a round with proofs, for the bare proxy: it reads and forwards the same bytes. */
  sampleHeaders(gateway: Running): Promise<string[]>;
  /** `Authorization` and `Host` for the gateway's TLS listener. */
  certificateHeaders(gateway: Running): string[];
  close(): Promise<void>;
}

const NODE = process.execPath;
const BARE_PROXY = new URL("./bare-proxy.ts", import.meta.url).pathname;
const COMMAND = new URL("../../src/cli/main.ts", import.meta.url).pathname;

export async function createStage(tools: LoadTools, cores: Cores, withTls: boolean): Promise<Stage> {
  const wrk = { command: tools.wrk ?? "wrk", cores: cores.load };
  const folder = mkdtempSync(path.join(tmpdir(), "cordon-bench-"));
  const processes = createChildProcesses();
  const issuer = createIssuer();
  const ports = await choosePorts([
    "upstream",
    "traffic",
    "tls",
    "wrapGateway",
    "wrapBare",
    "bare",
    "bareTls",
    "bareSigned",
    "barePipeline",
  ]);
  const gatewayPorts: GatewayPorts = { upstream: ports.upstream, traffic: ports.traffic, tls: ports.tls };
  const certificates = withTls && tools.stream ? makeCertificates(folder) : undefined;
  const audience = originsOf(gatewayPorts).traffic;
  const agents: readonly BenchAgent[] = Array.from({ length: AGENTS }, () => issuer.agent(audience));
  await startUpstream(processes, {
    nginx: tools.nginx ?? "nginx",
    folder,
    cores: cores.load,
    port: ports.upstream,
    client: certificates?.client,
    tlsClients: [
      { port: ports.wrapGateway, target: ports.tls },
      { port: ports.wrapBare, target: ports.bareTls },
    ],
  });

  function running(child: Child, port: number): Running {
    return { pid: child.pid, stop: child.stop, port, host: `127.0.0.1:${port}`, origin: `http://127.0.0.1:${port}` };
  }

  async function proofFiles(gateway: Running, route: "batched" | "strict", count: number, by = agents) {
    const target = route === "strict" ? STRICT_PATH : BATCHED_PATH;
    const heads = path.join(folder, `heads-${route}`);
    const proofs = path.join(folder, `proofs-${route}`);
    const lines = by.map(
      ({ token }) => `GET ${target} HTTP/1.1|Host: ${gateway.host}|Authorization: DPoP ${token}|DPoP: `,
    );
    writeFileSync(heads, lines.join("\n"));
    await makeProofs(proofs, by, { method: "GET", htu: `${gateway.origin}${target}` }, count);
    return { heads, proofs };
  }

  let gatewayFolders = 0;
  return {
    folder,
    processes,
    cores,
    upstreamOrigin: `http://127.0.0.1:${ports.upstream}`,
    tls: certificates === undefined ? undefined : { bare: ports.wrapBare, gateway: ports.wrapGateway },
    async startBare(kind) {
      const port = {
        plain: ports.bare,
        tls: ports.bareTls,
        "one-signature": ports.bareSigned,
        pipeline: ports.barePipeline,
      }[kind];
      const args = [BARE_PROXY, "--port", String(port), "--upstream", `http://127.0.0.1:${ports.upstream}`];
      if (kind === "one-signature" || kind === "pipeline") args.push(`--${kind}`);
      if (kind === "tls" && certificates !== undefined) {
        const { certificate, key, ca } = certificates.server;
        args.push("--certificate", certificate, "--key", key, "--ca", ca);
      }
      return running(await processes.start(NODE, args, { cores: cores.gateway, ready: /ready/ }), port);
    },
    async startGateway(threads, options: GatewayStart = {}) {
      gatewayFolders += 1;
      const file = writeGatewayConfig({
        folder: path.join(folder, `gateway-${gatewayFolders}`),
        ports: gatewayPorts,
        threads,
        jwks: issuer.jwks,
        tls: certificates?.server,
        overrides: options.overrides,
        moreRoutes: options.moreRoutes,
      });
      const args = [...(options.nodeArgs ?? []), COMMAND, "start", "--config", file];
      const child = await processes.start(NODE, args, {
        cores: "cores" in options ? options.cores : cores.gateway,
        ready: /"ready"/,
      });
      return running(child, ports.traffic);
    },
    plainRound: (target, seconds) => runWrk(processes, wrk, target, seconds),
    proofFiles,
    agents,
    makeAgents: (count, scope) => makeAgents(issuer.privateKey, audience, count, scope),
    async proofRound(gateway, route, seconds, count, by) {
      const files = await proofFiles(gateway, route, count, by);
      const target = { url: gateway.origin, pid: gateway.pid, proofs: { file: files.proofs, heads: files.heads } };
      return runWrk(processes, wrk, target, seconds);
    },
    async messageRound(gateway, message, seconds, count, by) {
      const file = (name: string): string => path.join(folder, `message-${name}`);
      const files = { heads: file("heads"), file: file("proofs"), body: file("body") };
      const headers = { Host: gateway.host, ...message.headers, "Content-Length": Buffer.byteLength(message.body) };
      const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
      const start = [`POST ${message.path} HTTP/1.1`, ...fields].join("|");
      writeFileSync(files.heads, by.map(({ token }) => `${start}|Authorization: DPoP ${token}|DPoP: `).join("\n"));
      writeFileSync(files.body, message.body);
      await makeProofs(files.file, by, { method: "POST", htu: gateway.origin + message.path }, count);
      return runWrk(processes, wrk, { url: gateway.origin, pid: gateway.pid, proofs: files }, seconds);
    },
    async sampleHeaders(gateway) {
      const { proofs } = await proofFiles(gateway, "batched", 1);
      return [`Authorization: DPoP ${agents[0]?.token}`, `DPoP: ${readFileSync(proofs, "utf8").split("\n")[0]}`];
    },
    certificateHeaders: () => [
      `Host: 127.0.0.1:${ports.tls}`,
      `Authorization: Bearer ${issuer.certificateToken(audience, certificates?.thumbprint ?? "")}`,
    ],
    async close() {
      await processes.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A gateway for one measurement: it ends with it, also with one that fails, since the next one needs the same ports. */
export async function withGateway<T>(
  stage: Stage,
  { threads = 1, ...options }: GatewayStart & { readonly threads?: number },
  run: (gateway: Running) => Promise<T>,
): Promise<T> {
  const gateway = await stage.startGateway(threads, options);
  try {
    return await run(gateway);
  } finally {
    await gateway.stop();
  }
}

async function choosePorts<N extends string>(names: readonly N[]): Promise<Record<N, number>> {
  const ports: Partial<Record<N, number>> = {};
  for (const name of names) ports[name] = await freePort();
  return ports as Record<N, number>;
}

function makeCertificates(folder: string) {
  const ca = makeCa("Bench CA");
  const server = issueCertificate(ca, { ip: ["127.0.0.1"] });
  const client = issueCertificate(ca, { uri: ["spiffe://acme.example/agent/hiring/rank-j42/1"], clientAuth: true });
  const write = (name: string, text: string): string => {
    const file = path.join(folder, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const caFile = write("ca.pem", ca.certificate);
  const serverFiles: ServerCertificates = {
    certificate: write("server.pem", server.certificate),
    key: write("server.key", server.key),
    ca: caFile,
  };
  return {
    server: serverFiles,
    client: { certificate: write("client.pem", client.certificate), key: write("client.key", client.key) },
    thumbprint: createHash("sha256").update(new X509Certificate(client.certificate).raw).digest("base64url"),
  };
}
