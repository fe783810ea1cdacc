// In: the names of programs and packages. Out: where a program is, or Debian's packages installed.
// Installs only where it may: as root, with apt-get. Nothing is started, also no service of a package.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** A mirror that is slow, not one that never answers. */
const APT_TIMEOUT_MS = 180_000;
/** Two processes that want the same at once: the second one waits for the first. */
const LOCK_TIMEOUT_S = 180;
/** Servers lie in folders that are on root's PATH only. */
const SERVER_FOLDERS = ["/usr/sbin", "/usr/local/sbin"];

/** The path of a program, or undefined where it is not there. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(path.delimiter), ...SERVER_FOLDERS];
  return folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file));
}

/** Whether `installPackages` has a chance on this machine. */
export function canInstallPackages(): boolean {
  return process.getuid?.() === 0 && findProgram("apt-get") !== undefined;
}

/** Installs packages with apt-get, after one update of its lists. False where it may not, or apt-get fails. */
export function installPackages(packages: readonly string[], progress: (line: string) => void): boolean {
  if (!canInstallPackages()) return false;
  progress(`installing ${packages.join(", ")} with apt-get`);
  // Lists that are too old or missing make the installation fail; an update that fails may still leave good ones.
  aptGet("update");
  return aptGet("install", "-y", "--no-install-recommends", ...packages);
}

/** One line for a person who has to do it by hand. */
export function installHint(packages: readonly string[]): string {
  return `install it: apt-get install ${packages.join(" ")}`;
}

function aptGet(...args: string[]): boolean {
  // Runlevel 1 keeps a package from starting its service.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  // apt-get does not wait for the lock of its lists, so that this file is the lock of all that come through here.
  const lock = ["--timeout", String(LOCK_TIMEOUT_S), fileURLToPath(import.meta.url)];
  const command = ["apt-get", "-qq", "-o", `DPkg::Lock::Timeout=${LOCK_TIMEOUT_S}`, ...args];
  const options = { env, stdio: "ignore", timeout: APT_TIMEOUT_MS } as const;
  return spawnSync("flock", [...lock, ...command], options).status === 0;
}
