// In: nothing. Out: the gateway in a process of its own, its issuer, four tools and five agents' keys, all on loopback.
// Everything lies in one temporary folder, which `close` removes.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { locateOpa } from "../../src/admin/opa.ts";
import type { AgentKey } from "../../src/agent/create-key.ts";
import { ensureQuickstartKeys, readKeyFile } from "../../src/agent/quickstart-keys.ts";
import { packageRoot } from "../../src/lib/package-root.ts";
import { type Ats, startAts } from "../tools/ats/start-ats.ts";
import { type Monitor, startMonitor } from "../tools/monitor/start-monitor.ts";
import type { AgentSetup, PublicAgent } from "./agents.ts";
import { type Child, startChild } from "./child-process.ts";
import { CLIENTS, type ClientId, demoConfig, NOTES, ORCHESTRATOR } from "./demo-config.ts";
import { freePorts } from "./free-ports.ts";
import { createLedger, type Ledger } from "./ledger.ts";
import { CLI, type CommandResult, createOperator, type Operator, plainEnvironment, runProgram } from "./operator.ts";

export interface Stage {
  readonly gateway: string;
  /** Of this run; removed at its end. */
  readonly folder: string;
  readonly ats: Ats;
  readonly monitor: Monitor;
  readonly ledger: Ledger;
  /** The first operator, with every right. */
  readonly admin: Operator;
  /** A named operator who may contain. */
  readonly responder: Operator;
  /** The folder of Rego that the gateway watches; undefined where there is no `opa`. */
  readonly policyFolder: string | undefined;
  /** Why there is none, and how to get it. */
  readonly opaMissing: string;
  readonly policyData: string;
  readonly auditFile: string;
  /** Folders and files that hold logs. */
  readonly logs: readonly string[];
  readonly accessLog: string;
  readonly decisionLog: string;
  /** Set by the first step. */
  screening: PublicAgent | undefined;
  setup(client: ClientId | typeof ORCHESTRATOR): AgentSetup;
  /** A program in an environment without variables of Cordon, and so without an operator's key. */
  runProgram(command: string, args: readonly string[]): Promise<CommandResult>;
  /** `cordon ARGS`, likewise. */
  runCordon(args: readonly string[]): Promise<CommandResult>;
  /** Ends the gateway by SIGTERM. Its exit code. */
  stopGateway(): Promise<number | string>;
  close(): Promise<void>;
}

export const RESPONDER = "duty-officer";
const MCP_SERVER = "@modelcontextprotocol/server-everything";

/** `keep`: the folder stays. Rejects with what could not be started, when nothing of it runs any more. */
export async function startStage(options: { readonly keep: boolean }): Promise<Stage> {
  const closers: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    return await start(options.keep, closers, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(keep: boolean, closers: (() => unknown)[], close: () => Promise<void>): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), "cordon-demo-"));
  if (keep) process.stderr.write(`The files of this run stay in ${folder}\n`);
  else {
    const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    closers.push(remove);
    // Also when a signal comes before all has started.
    process.once("exit", remove);
  }

  const [traffic = 0, issuer = 0, control = 0, ats = 0, monitor = 0, mcp = 0, notes = 0] = await freePorts(7);
  const tool = await startAts({ port: ats, file: join(folder, "ats.sqlite") });
  closers.push(() => tool.close());
  const mirror = await startMonitor({ port: monitor });
  closers.push(() => mirror.close());

  const keys = new Map<string, AgentKey>();
  const keyFiles = ensureQuickstartKeys(join(folder, "keys"), [...CLIENTS, ORCHESTRATOR]);
  for (const { clientId, privateFile } of keyFiles) keys.set(clientId, readKeyFile(privateFile));
  const policy = await preparePolicy(folder);
  const configFile = join(folder, "cordon.yaml");
  const config = demoConfig({
    ports: { traffic, issuer, control, ats, monitor, mcp, notes },
    policySource: policy.folder,
    policyData: policy.data,
    keyFile: (client) => join(folder, "keys", `${client}.jwks.json`),
  });
  writeFileSync(configFile, config, { mode: 0o600 });

  const logFile = join(folder, "gateway.log");
  const starting = [
    startGateway(configFile, logFile),
    startMcpServer(mcp, join(folder, "mcp-server.log")),
    startChangingServer(notes, join(folder, "changing-mcp-server.log")),
  ];
  const children = await Promise.allSettled(starting);
  for (const child of children) if (child.status === "fulfilled") closers.push(() => child.value.stop());
  const [cordon] = await Promise.all(starting);

  const dataFolder = join(folder, "data");
  const controlUrl = `http://127.0.0.1:${control}`;
  const ledger = createLedger();
  const adminKey = readFileSync(join(dataFolder, "operator.key"), "utf8").trim();
  const admin = createOperator(controlUrl, adminKey);
  const { key } = await admin.ask<{ key: string }>("operators", "add", RESPONDER, "responder");
  for (const secret of [adminKey, key]) ledger.keepSecret(secret);
  for (const one of keys.values()) ledger.keepSecret(String(one.privateKey.export({ format: "jwk" }).d));

  const gateway = `http://127.0.0.1:${traffic}`;
  return {
    gateway,
    folder,
    ats: tool,
    monitor: mirror,
    ledger,
    admin,
    responder: createOperator(controlUrl, key),
    policyFolder: policy.folder,
    opaMissing: policy.missing,
    policyData: policy.data,
    auditFile: join(dataFolder, "audit", "audit.jsonl"),
    logs: [join(dataFolder, "logs"), join(dataFolder, "audit"), logFile],
    accessLog: join(dataFolder, "logs", "access.jsonl"),
    decisionLog: join(dataFolder, "logs", "decision.jsonl"),
    screening: undefined,
    setup(clientId) {
      const clientKey = keys.get(clientId);
      if (clientKey === undefined) throw new Error(`there is no key of ${clientId}`);
      return { issuer: `http://127.0.0.1:${issuer}`, clientId, clientKey, gateway, ledger };
    },
    runProgram: (command, args) => runProgram(command, args, plainEnvironment()),
    runCordon: (args) => runProgram(process.execPath, [CLI, ...args], plainEnvironment()),
    stopGateway: async () => (cordon === undefined ? "not started" : cordon.stop()),
    close,
  };
}

/** A copy of the policies to edit, and their data with both jobs open and the tools of the demo's own MCP server. */
async function preparePolicy(folder: string): Promise<{ folder: string | undefined; data: string; missing: string }> {
  const source = join(packageRoot(import.meta.url), "policies");
  const file = join(folder, "policy-data.json");
  const data = JSON.parse(readFileSync(join(source, "data.json"), "utf8")) as { mcp: Record<string, unknown> };
  const open = { open: true, closes_at: "2036-01-01T00:00:00Z" };
  const tools = {
    "read-note": { purposes: ["assist"], foreign: true },
    "keep-note": { purposes: ["assist"], writes: true },
  };
  const mcp = { ...data.mcp, [NOTES]: { tools } };
  writeFileSync(file, JSON.stringify({ ...data, mcp, jobs: { J42: open, J43: open } }, null, 2));
  const opa = await locateOpa();
  if (!opa.ok) return { folder: undefined, data: file, missing: opa.error };
  const copy = join(folder, "policies");
  mkdirSync(copy);
  cpSync(source, copy, { recursive: true });
  return { folder: copy, data: file, missing: "" };
}

function startGateway(configFile: string, logFile: string): Promise<Child> {
  return startChild({
    name: "the gateway",
    args: [CLI, "start", "--config", configFile],
    env: plainEnvironment(),
    logFile,
    ready: /"message":"ready"/,
  });
}

function startMcpServer(port: number, logFile: string): Promise<Child> {
  const entry = join(dirname(fileURLToPath(import.meta.resolve(`${MCP_SERVER}/package.json`))), "dist", "index.js");
  return startChild({
    name: MCP_SERVER,
    args: ["--import", import.meta.resolve("./loopback-only.ts"), entry, "streamableHttp"],
    // Nothing else: one of its tools tells its whole environment.
    env: { PORT: String(port) },
    logFile,
    ready: /listening on port/,
  });
}

function startChangingServer(port: number, logFile: string): Promise<Child> {
  return startChild({
    name: "the MCP server that changes",
    args: [fileURLToPath(import.meta.resolve("./changing-mcp-server.ts"))],
    env: { PORT: String(port) },
    logFile,
    ready: /listening on loopback/,
  });
}
