// A whole issuer in a process of its own, to be killed: prints its URL once it runs. What it does comes as JSON in argv.
import { startBroker } from "../../src/broker/start-broker.ts";
import type { BrokerConfig } from "../../src/config/schema.ts";
import { readClockBase } from "../../src/lib/clock.ts";

const { config, dataFolder } = JSON.parse(process.argv[2] ?? "{}") as { config: BrokerConfig; dataFolder: string };
const broker = await startBroker({
  broker: config,
  publicOrigins: ["http://127.0.0.1:8080"],
  dataFolder,
  clock: readClockBase(),
  assertionsFromMs: 0,
  onLog: () => undefined,
  onFeed: async () => undefined,
  onExit: () => process.exit(1),
});
process.stdout.write(`${broker.url}\n`);
// Whoever started it may be gone: it must not stay behind.
process.stdin.on("close", () => process.exit(0)).resume();
