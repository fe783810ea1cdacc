// In: `--port`. Out: the recording monitor, until SIGINT or SIGTERM.
import { parseArgs } from "node:util";
import { startMonitor } from "./start-monitor.ts";

const { values } = parseArgs({ options: { port: { type: "string", default: "8091" } } });
const monitor = await startMonitor({ port: Number(values.port) });
console.log(`monitor on ${monitor.url}`);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void monitor.close());
}
