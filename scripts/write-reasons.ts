// In: the registry of reasons. Out: docs/reasons.md.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../src/lib/package-root.ts";
import { reasonsPage } from "./reasons-page.ts";

writeFileSync(join(packageRoot(import.meta.url), "docs", "reasons.md"), reasonsPage());
