// In: the schema of the configuration. Out: docs/config.schema.json, for editors; a test checks that it is current.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { configJsonSchema } from "../src/config/config-json-schema.ts";
import { packageRoot } from "../src/lib/package-root.ts";

const file = join(packageRoot(import.meta.url), "docs", "config.schema.json");
writeFileSync(file, `${JSON.stringify(configJsonSchema(), null, 2)}\n`);
