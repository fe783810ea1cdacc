// In: `--port` and `--data`. Out: the applicant-tracking service, until SIGINT or SIGTERM.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startAts } from "./start-ats.ts";

const { values } = parseArgs({
  options: { port: { type: "string", default: "8090" }, data: { type: "string", default: "data" } },
});

mkdirSync(values.data, { recursive: true });
const ats = await startAts({ port: Number(values.port), file: join(values.data, "ats.sqlite") });
console.log(`applicant tracking on ${ats.url}`);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void ats.close());
}
