// In: package-lock.json and what node_modules holds. Out: a complete node_modules, or npm's own error and its exit code.
// Runs on the machine's own Node (20 or newer), before the pinned runtime is there: plain JavaScript, built-ins only.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const lockFile = join(root, "package-lock.json");
const installedLockFile = join(root, "node_modules", ".package-lock.json");
const stampFile = join(root, "node_modules", ".cordon-lock-sha256");
const pinnedRuntime = join(root, "node_modules", ".bin", process.platform === "win32" ? "node.cmd" : "node");

const lockText = readFileSync(lockFile, "utf8");
const lockHash = createHash("sha256").update(lockText).digest("hex");

/** An interrupted install leaves no stamp and no complete record by npm, so it is done again. */
function isComplete() {
  if (!existsSync(pinnedRuntime)) return false;
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8").trim() === lockHash) return true;
  return matchesInstalledRecord();
}

/** True where someone ran npm by hand: npm's own record then names every package at its locked version. */
function matchesInstalledRecord() {
  if (!existsSync(installedLockFile)) return false;
  const installed = JSON.parse(readFileSync(installedLockFile, "utf8")).packages ?? {};
  return Object.entries(JSON.parse(lockText).packages).every(
    ([path, entry]) =>
      path === "" ||
      entry.optional === true ||
      entry.devOptional === true ||
      installed[path]?.version === entry.version,
  );
}

if (!isComplete()) {
  process.stdout.write("Installing the dependencies and the pinned Node; this happens once.\n");
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith(".js") ? [process.execPath, [npm]] : ["npm", []];
  // `--include=dev` because NODE_ENV=production would leave the pinned runtime out.
  const options = ["ci", "--loglevel=error", "--no-audit", "--no-fund", "--no-update-notifier", "--include=dev"];
  const result = spawnSync(command, [...first, ...options], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  if (result.status !== 0 || !existsSync(pinnedRuntime)) {
    process.stderr.write(
      `${result.error?.message ?? "npm could not install the dependencies; its message is above."}\n`,
    );
    process.exit(result.status || 1);
  }
}
if (!existsSync(stampFile) || readFileSync(stampFile, "utf8").trim() !== lockHash)
  writeFileSync(stampFile, `${lockHash}\n`);
