// In: `cordon quickstart`. Out: the gateway with its quickstart configuration, an example tool and a monitor, on loopback.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { startAts } from "../../examples/tools/ats/start-ats.ts";
import { startMonitor } from "../../examples/tools/monitor/start-monitor.ts";
import { ensureQuickstartKeys } from "../agent/quickstart-keys.ts";
import type { Config } from "../config/schema.ts";
import type { Gateway } from "../gateway/supervisor/start-gateway.ts";
import { packageRoot } from "../lib/package-root.ts";
import { createProcessLog, EXIT_CONFIG, loadOrExplain, packageVersion, runGateway } from "./run-gateway.ts";

export function register(program: Command): void {
  program
    .command("quickstart")
    .description("run the gateway with a ready configuration, an example tool and an agent's key, all on loopback")
    .option("--no-tools", "do not start the example tool and the monitor: they run elsewhere on their ports")
    .addHelpText(
      "after",
      "\nPorts: traffic 8080 (CORDON_PORT), issuer 8081 (CORDON_ISSUER_PORT), operators 9080 (CORDON_CONTROL_PORT).\n" +
        "Everything is kept in ./data (CORDON_DATA_FOLDER); the configuration is data/quickstart/cordon.yaml.",
    )
    .action(async (options: { tools: boolean }) => {
      process.exitCode = await quickstart(options.tools);
    });
}

async function quickstart(withTools: boolean): Promise<number> {
  const folder = path.resolve(process.env["CORDON_DATA_FOLDER"] || "data");
  const file = prepareFolder(folder);
  const config = loadOrExplain(file);
  if (config === null) return EXIT_CONFIG;
  const tools = withTools ? await startTools(config, folder) : NO_TOOLS;
  if (tools === null) return EXIT_CONFIG;
  return runGateway({
    config,
    log: createProcessLog({ ...config, logs: { ...config.logs, level: "warn" } }, true),
    onRunning: (gateway) => process.stdout.write(welcome(config, gateway, tools.url, file)),
    onStopping: () => process.stdout.write("Draining; open exchanges finish first.\n"),
    onStopped: async () => {
      await tools.close();
      process.stdout.write("Stopped.\n");
    },
  });
}

/** Copies the configuration where the operator can edit it, and makes the agents' keys that it names. */
function prepareFolder(folder: string): string {
  const own = path.join(folder, "quickstart");
  mkdirSync(own, { recursive: true, mode: 0o700 });
  const file = path.join(own, "cordon.yaml");
  if (!existsSync(file)) {
    const example = readFileSync(path.join(packageRoot(), "examples", "quickstart", "cordon.yaml"), "utf8");
    // In the example the data folder is two levels up; here it is the one around this file, whatever its name.
    writeFileSync(file, example.replaceAll("../../data", ".."), { mode: 0o600 });
  }
  ensureQuickstartKeys(own, ["hiring-agent", "hiring"]);
  return file;
}

interface Tools {
  readonly url: string;
  close(): Promise<void>;
}

const NO_TOOLS: Tools = { url: "runs elsewhere", close: () => Promise.resolve() };

/** The example tool and the monitor, on the ports that the configuration forwards to. */
async function startTools(config: Config, folder: string): Promise<Tools | null> {
  const upstream = config.routes.find((route) => route.name.startsWith("ats-"))?.upstream.url;
  const monitorUrl = config.quarantine?.monitor.url;
  try {
    const ats = await startAts({
      port: Number(new URL(upstream ?? "http://127.0.0.1:8090").port),
      file: path.join(folder, "quickstart", "ats.sqlite"),
    });
    const monitor =
      monitorUrl === undefined ? undefined : await startMonitor({ port: Number(new URL(monitorUrl).port) });
    return {
      url: ats.url,
      close: async () => {
        await Promise.all([ats.close(), monitor?.close()]);
      },
    };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    process.stderr.write(`cordon: the example tools cannot start: ${text}\n`);
    return null;
  }
}

function welcome(config: Config, gateway: Gateway, tool: string, file: string): string {
  const relative = (name: string): string => {
    const short = path.relative(process.cwd(), name);
    return short.startsWith("..") ? name : short || ".";
  };
  const traffic = gateway.traffic[0] ?? "";
  const call = process.env["npm_lifecycle_event"] === undefined ? "cordon" : "npm run cordon --";
  return [
    `Cordon ${packageVersion()} is running.`,
    `  traffic    ${traffic}   agents send their tool calls here`,
    `  issuer     ${gateway.issuer ?? "none"}   gives agents tokens bound to their key`,
    `  operators  ${gateway.control}   health, metrics, admin API; key in ${relative(path.join(config.data_folder, "operator.key"))}`,
    `  tool       ${tool}   an example applicant-tracking service`,
    `  files      ${relative(file)}, logs and records in ${relative(config.data_folder)}`,
    "",
    "Try it: an agent gets a key-bound token and reads a candidate through the gateway:",
    `  ${call} call ${traffic}/ats/jobs/J42/candidates/C1`,
    "",
    "Ctrl-C drains and stops.",
    "",
  ].join("\n");
}
