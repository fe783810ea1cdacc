// In: a process and its folder. Out: what it holds at this moment, and log files that do not fill the disk.
// Trusts: /proc. The access and the decision log are cut while they are written, which appending files allow; the audit log
// is the gateway's alone: it grows to the end, and the soak starts only where it fits.
import { readdirSync, statfsSync, statSync, truncateSync } from "node:fs";
import { usageOf } from "../load/child-processes.ts";

/** More than a second of lines at any rate. */
const LOG_BYTES_MAX = 64 * 1024 * 1024;
/** Two records of an exchange, at a rate that no core of today comes near. */
const AUDIT_BYTES_PER_S = 10_000_000;
/** Below this the soak stops rather than fill the disk of somebody else. */
const FREE_BYTES_MIN = 1024 * 1024 * 1024;

export interface Held {
  readonly rssMiB: number;
  readonly fds: number;
  readonly threads: number;
}

/** Undefined where the process has ended. */
export function heldBy(pid: number): Held | undefined {
  try {
    return {
      rssMiB: usageOf(pid).rssMiB,
      fds: readdirSync(`/proc/${pid}/fd`).length,
      threads: readdirSync(`/proc/${pid}/task`).length,
    };
  } catch {
    return undefined;
  }
}

export function trimLogs(files: readonly string[]): void {
  for (const file of files) if (sizeOf(file) > LOG_BYTES_MAX) truncateSync(file, 0);
}

export function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

export function auditBytesIn(minutes: number): number {
  return minutes * 60 * AUDIT_BYTES_PER_S;
}

export function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

export function isDiskShort(folder: string): boolean {
  return freeBytes(folder) < FREE_BYTES_MIN;
}

export function fitsOnDisk(folder: string, minutes: number): boolean {
  return freeBytes(folder) > auditBytesIn(minutes) + FREE_BYTES_MIN;
}
