// In: the machine. Out: wrk and nginx on it, or one line that says what is missing and how to get it.
// Installs only where it may: as root, with apt-get. Nothing is started, also not Debian's nginx service.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";

const PACKAGES = ["wrk", "nginx-light", "libnginx-mod-stream"];
export const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";

export interface LoadTools {
  /** Undefined where the tool is not there. */
  readonly wrk: string | undefined;
  readonly nginx: string | undefined;
  /** nginx can speak TLS with a client certificate for wrk, which cannot. */
  readonly stream: boolean;
  /** What cannot be run and how to mend it; empty where everything is there. */
  readonly notes: readonly string[];
}

function find(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(path.delimiter), "/usr/sbin", "/usr/local/sbin"];
  return folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file));
}

function aptGet(...args: string[]): boolean {
  // Runlevel 1 keeps the package from starting its service.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  return spawnSync("apt-get", ["-qq", ...args], { env, stdio: "ignore", timeout: 180_000 }).status === 0;
}

export function findLoadTools(install: boolean, progress: (line: string) => void): LoadTools {
  const isComplete = (): boolean =>
    find("wrk") !== undefined && find("nginx") !== undefined && existsSync(STREAM_MODULE);
  if (!isComplete() && install && process.getuid?.() === 0 && find("apt-get") !== undefined) {
    progress(`installing ${PACKAGES.join(", ")} with apt-get`);
    const wanted = ["install", "-y", "--no-install-recommends", ...PACKAGES];
    if (!aptGet(...wanted) && aptGet("update")) aptGet(...wanted);
  }
  const mend = `install it: apt-get install ${PACKAGES.join(" ")}`;
  const wrk = find("wrk");
  const nginx = find("nginx");
  const stream = nginx !== undefined && existsSync(STREAM_MODULE);
  const notes: string[] = [];
  if (wrk === undefined) notes.push(`no row under load could be run, wrk is missing; ${mend}`);
  if (nginx === undefined) notes.push(`no row under load could be run, nginx is missing; ${mend}`);
  else if (!stream) notes.push(`row mtls-bound could not be run, nginx has no stream module; ${mend}`);
  return { wrk, nginx, stream, notes };
}
