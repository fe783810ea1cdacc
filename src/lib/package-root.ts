// In: the URL of a module of this package. Out: the folder that holds the package's package.json.
// Trusts: the installed files. The source runs from src/, the published package from dist/src/; assets lie beside both.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The absolute path of the package's folder. Throws where the installation is broken: no package.json above the module. */
export function packageRoot(callerUrl: string = import.meta.url): string {
  let folder = dirname(fileURLToPath(callerUrl));
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error("Cordon's package.json was not found above its own modules.");
    folder = parent;
  }
  return folder;
}
