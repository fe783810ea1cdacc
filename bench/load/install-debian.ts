// In: the machine. Out: wrk and nginx on it, or one line that says what is missing and how to get it.
// Nothing is started here; scripts/debian-packages.ts says where it installs.
import { existsSync } from "node:fs";
import { findProgram, installHint, installPackages } from "../../scripts/debian-packages.ts";

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

export function findLoadTools(install: boolean, progress: (line: string) => void): LoadTools {
  const isComplete = (): boolean =>
    findProgram("wrk") !== undefined && findProgram("nginx") !== undefined && existsSync(STREAM_MODULE);
  if (install && !isComplete()) installPackages(PACKAGES, progress);
  const mend = installHint(PACKAGES);
  const wrk = findProgram("wrk");
  const nginx = findProgram("nginx");
  const stream = nginx !== undefined && existsSync(STREAM_MODULE);
  const notes: string[] = [];
  if (wrk === undefined) notes.push(`no row under load could be run, wrk is missing; ${mend}`);
  if (nginx === undefined) notes.push(`no row under load could be run, nginx is missing; ${mend}`);
  else if (!stream) notes.push(`row mtls-bound could not be run, nginx has no stream module; ${mend}`);
  return { wrk, nginx, stream, notes };
}
